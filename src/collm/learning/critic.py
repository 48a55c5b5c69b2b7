"""Critics: what they read, and values of all turns of an episode from one pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from collm.errors import ConfigError
from collm.learning.batching import micro_batches, padded
from collm.models.policy import Policy
from collm.models.value import ValueModel
from collm.rollout.forest import Forest


@dataclasses.dataclass(frozen=True)
class Reading:
    """One path as a critic reads it: tokens in order of time, and where each value is read."""

    tokens: list[int]
    places: list[int]
    """Positions of V(h_t), in the order of ``nodes``: the last observation token before the turn's actions."""
    nodes: list[int]
    bootstrap: int | None
    """Position of V behind the last node, if the episode was cut from outside."""


def readings(forest: Forest, agents: Sequence[int], marks: Sequence[Sequence[int]]) -> list[Reading]:
    """Every path laid out in order of time: at each turn all observations, then all actions (DESIGN, contract 2).

    ``agents`` are those whose histories are read: all for the joint history h_t, one for h_i,t. ``marks`` are the
    tokens that say whose part follows.
    """
    nodes_of: list[list[int]] = [[] for _ in range(forest.paths)]
    for node in range(len(forest)):
        nodes_of[int(forest.path[node])].append(node)
    return [_reading(forest, path, nodes, agents, marks) for path, nodes in enumerate(nodes_of)]


def _reading(
    forest: Forest, path: int, nodes: list[int], agents: Sequence[int], marks: Sequence[Sequence[int]]
) -> Reading:
    histories = [(marks[agent], forest.transcript(path, agent)) for agent in agents]
    tokens: list[int] = []
    places = []
    for turn in range(len(histories[0][1].spans)):
        for mark, transcript in histories:
            span = transcript.spans[turn]
            tokens += [*mark, *transcript.tokens[span.seen : span.said]]
        places.append(len(tokens) - 1)
        for mark, transcript in histories:
            span = transcript.spans[turn]
            tokens += [*mark, *transcript.tokens[span.said : span.stop]]
    own = [places[int(forest.turn[node])] for node in nodes]
    if not forest.truncated[nodes[-1]]:
        return Reading(tokens[: places[-1] + 1], own, nodes, None)
    for mark, transcript in histories:
        tokens += [*mark, *transcript.tokens[transcript.spans[-1].stop :]]
    return Reading(tokens, own, nodes, len(tokens) - 1)


def agent_marks(policy: Policy, agents: int) -> list[list[int]]:
    """The tokens that begin each agent's part in a joint history."""
    encode = policy.chat.tokenizer.encode
    return [encode(f"\n[Agent {agent + 1}]\n", add_special_tokens=False) for agent in range(agents)]


class Critic:
    """A value model with its way of reading a forest."""

    def __init__(self, policy: Policy, agents: Sequence[int], team: int, outputs: int, normalise: bool) -> None:
        """``policy`` provides backbone and tokenizer, ``agents`` are the ones it reads out of a team of ``team``."""
        self.model = ValueModel(policy, outputs, normalise).eval()
        self.context = policy.context
        self.agents = tuple(agents)
        self.marks = agent_marks(policy, team) if len(self.agents) > 1 else [[]] * team
        self.pad_id = policy.pad_id
        self.device = policy.device

    def read(self, forest: Forest) -> list[Reading]:
        """What this critic sees of a forest."""
        return readings(forest, self.agents, self.marks)

    @torch.no_grad()
    def values(self, forest: Forest, token_budget: int) -> tuple[np.ndarray, np.ndarray]:
        """(nodes, outputs) values in the task's units, and bootstraps behind truncated nodes (0 elsewhere)."""
        outputs = self.model.head.out_features
        values, bootstraps = np.zeros((len(forest), outputs)), np.zeros((len(forest), outputs))
        todo = self.read(forest)
        self._check_length(max(len(reading.tokens) for reading in todo))
        for group in micro_batches([len(reading.tokens) for reading in todo], token_budget):
            batch = [todo[i] for i in group]
            places = [(row, place) for row, reading in enumerate(batch) for place in _all_places(reading)]
            found = self.model.in_units(self._at(batch, places)).cpu().numpy()
            cursor = 0
            for reading in batch:
                count = len(reading.nodes)
                values[reading.nodes] = found[cursor : cursor + count]
                cursor += count
                if reading.bootstrap is not None:
                    bootstraps[reading.nodes[-1]] = found[cursor]
                    cursor += 1
        return values, bootstraps

    def _check_length(self, longest: int) -> None:
        if longest > self.context:
            raise ConfigError(
                f"a joint history has {longest} tokens, and the critic's model reads {self.context}. "
                "Set a smaller rollout.max_history, sampling.max_new_tokens or number of turns."
            )

    def losses(self, todo: Sequence[Reading], targets: np.ndarray, token_budget: int) -> Iterator[torch.Tensor]:
        """Summed squared errors of normalised values, micro-batch by micro-batch."""
        for group in micro_batches([len(reading.tokens) for reading in todo], token_budget):
            batch = [todo[i] for i in group]
            places = [(row, place) for row, reading in enumerate(batch) for place in reading.places]
            nodes = [node for reading in batch for node in reading.nodes]
            wanted = self.model.in_norm(torch.from_numpy(targets[nodes]).to(self.device))
            yield (self._at(batch, places) - wanted).square().sum()

    def _at(self, batch: Sequence[Reading], places: Sequence[tuple[int, int]]) -> torch.Tensor:
        tokens = padded([reading.tokens for reading in batch], self.pad_id, self.device)
        index = torch.tensor(places, device=self.device)
        return self.model(tokens, index[:, 0], index[:, 1])


def _all_places(reading: Reading) -> list[int]:
    return [*reading.places, *([] if reading.bootstrap is None else [reading.bootstrap])]
