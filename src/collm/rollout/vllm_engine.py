"""Playing with vLLM: every agent's responses from one engine per base model, with LoRA adapters per request."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from collm.errors import ConfigError
from collm.models.base import Base
from collm.models.policy import Policy
from collm.rollout.engine import Response
from collm.rollout.engines import Uniforms
from collm.rollout.path import context_limit
from collm.rollout.sampling import Sampling
from collm.rollout.vllm_backend import Backend, require_vllm


class VllmEngine:
    """vLLM in this process. An engine per base model starts when it is first asked to play, and takes over weights that
    changed at the beginning of a session; nothing is started again for an update."""

    def __init__(self, team: Sequence[Policy], device: str, max_history: int | None, cache_gib: float) -> None:
        """``team`` is what will be trained: an engine is kept for each of its base models. Raises ConfigError if vLLM cannot
        play here."""
        require_vllm(device)
        self.context = context_limit(team, max_history)
        self.cache_gib = cache_gib
        self.adapters = len({(id(policy.base), policy.adapter) for policy in team if policy.adapter is not None})
        self.most = len({id(policy.base) for policy in team})
        self.backends: list[Backend] = []
        """The one that was used last stands last."""

    def tables(self, policies: Sequence[Policy]) -> list[list[int]]:
        """One session per base model."""
        found: dict[int, list[int]] = {}
        for agent, policy in enumerate(policies):
            found.setdefault(id(policy.base), []).append(agent)
        return list(found.values())

    def session(self, policies: Sequence[Policy], sampling: Sampling, uniforms: Uniforms) -> VllmSession:
        """The empty histories of a rollout; ``policies`` has one per row, all of one base model."""
        return VllmSession(self, policies, sampling, uniforms)

    def backend(self, base: Base) -> Backend:
        """The engine for this base model: its own, a new one, or that of the longest unused model of the same shape."""
        found = next((one for one in self.backends if one.base is base), None)
        if found is None and len(self.backends) >= self.most:
            found = next((one for one in self.backends if one.fits(base)), None)
        if found is None:
            found = Backend(base, self.adapters, self.context, self.cache_gib)
        else:
            self.backends.remove(found)
        self.backends.append(found)
        return found

    def close(self) -> None:
        """Stop all engines. vLLM then ends what the engines of a process share: others do not go on either."""
        for backend in self.backends:
            backend.close()
        self.backends = []


class VllmSession:
    """The histories that policies of one base continue during a rollout, as token ids: vLLM keeps their keys and values.

    A session begins with empty caches, so what it plays depends on weights and keys, not on what was played before. It lives
    between two updates, and continuing it after an update raises RuntimeError.
    """

    def __init__(self, engine: VllmEngine, policies: Sequence[Policy], sampling: Sampling, uniforms: Uniforms) -> None:
        """``uniforms(row, turn)`` returns the row's uniform numbers for a turn; the first one is its response's seed."""
        self.engine, self.policies, self.sampling, self.uniforms = engine, list(policies), sampling, uniforms
        self.distinct = list({id(policy): policy for policy in policies}.values())
        self.base = policies[0].base
        if any(policy.base is not self.base for policy in self.distinct):
            raise ValueError("a session is one batch, and its policies are of several base models.")
        self.versions = [policy.version for policy in self.distinct]
        self.histories: list[list[int]] = [[] for _ in policies]
        self.parameters: Any = importlib.import_module("vllm").SamplingParams
        backend = engine.backend(self.base)
        backend.hold(self.distinct)
        backend.forget()

    def known(self, row: int) -> int:
        """Tokens of a row's history that the session was given or has sampled."""
        return len(self.histories[row])

    def read(self, rows: Sequence[int], observations: Sequence[Sequence[int]]) -> None:
        """Append one observation to each of these rows, which nobody will answer."""
        for row, observation in zip(rows, observations, strict=True):
            self.histories[row] += map(int, observation)

    def respond(self, rows: Sequence[int], observations: Sequence[Sequence[int]], turn: int) -> list[Response]:
        """Append one observation to each of these rows and sample their responses. All rows in one batch."""
        if [policy.version for policy in self.distinct] != self.versions:
            raise RuntimeError("the policy was updated during a rollout; begin a new session.")
        self.read(rows, observations)
        backend = self.engine.backend(self.base)
        # Other sessions may have played with other weights in between.
        backend.hold(self.distinct)
        answers = backend.generate(
            [self.histories[row] for row in rows],
            [self._sampling(row, turn) for row in rows],
            [self.policies[row] for row in rows],
        )
        responses = [_response(answer.outputs[0]) for answer in answers]
        for row, response in zip(rows, responses, strict=True):
            self.histories[row] += response.tokens
        return responses

    def branch(self, parents: Sequence[int]) -> None:
        """The session's rows become copies: row r continues the history of what was row ``parents[r]``."""
        self.histories = [list(self.histories[parent]) for parent in parents]
        self.policies = [self.policies[parent] for parent in parents]

    def memory(self, row: int) -> list[Any]:
        """Raises ConfigError: what vLLM keeps cannot be read by a critic."""
        raise ConfigError(
            "critic.encoding = caches reads the policies' caches, and those of vLLM cannot be read. Use "
            "rollout.engine = hf, or critic.encoding = time-order."
        )

    def _sampling(self, row: int, turn: int) -> Any:
        """vLLM's settings for one response; its seed is the row's own first uniform number."""
        sampling = self.sampling
        return self.parameters(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=sampling.max_new_tokens,
            seed=int(float(self.uniforms(row, turn)[0]) * 2**53),
            stop_token_ids=list(self.policies[row].stop_ids),
            ignore_eos=True,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
        )


def _response(output: Any) -> Response:
    tokens = list(output.token_ids)
    logprobs = np.array(output.logprobs.logprobs, dtype=np.float32)
    if len(logprobs) != len(tokens) or list(output.logprobs.token_ids) != tokens:
        raise RuntimeError("vLLM's log-probabilities are not those of the tokens it sampled.")
    return Response(tokens, logprobs)
