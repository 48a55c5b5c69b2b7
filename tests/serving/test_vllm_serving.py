"""An exported agent served by vLLM: token ids in, token ids out, and greedily the tokens that it gives here."""

from __future__ import annotations

import contextlib
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest

import collm
from collm.rollout.engine import Session
from collm.rollout.talk import Word
from collm.serving.export import export_team
from collm.serving.remote import RemoteSettings
from collm.serving.seats import seated
from tests.serving.made import make_run
from tests.serving.stations import Served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed; make test-vllm has it"),
]
PORT = 8197
PATIENCE = 600.0


def test_greedy_tokens_are_those_of_the_agent_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    run = make_run(tmp_path / "run")
    team = export_team(run, tmp_path / "team").folder
    config, task, policies = collm.load_team(run)
    policy, sampling = policies[0], config.sampling.greedy()
    openings = [task.reset(problem).observations[0] for problem in task.problems("test")[:4]]
    prompts = [list(policy.chat.opening(opening)) for opening in openings]
    session = Session([policy] * len(prompts), sampling, lambda row, turn: np.zeros(sampling.max_new_tokens))
    here = session.respond(range(len(prompts)), prompts, 0)
    url = f"http://127.0.0.1:{PORT}"
    with contextlib.closing(Served(team / "agent_0", PORT, "--engine", "vllm")):
        _wait(url)
        with seated([url], RemoteSettings(), None) as seats:
            assert seats.cards == (None,)
            agent, call = seats.agents[0], seats.portal.call
            assert agent.model == "agent_0"
            for prompt, expected, opening in zip(prompts, here, openings, strict=True):
                assert call(agent.go_on, prompt, policy.stop_ids, sampling, 0) == expected.tokens
                messages = [{"role": message.role, "content": message.content} for message in opening]
                said = call(agent.ask, messages, sampling, 0)
                assert isinstance(said, Word), said
                assert said.text == policy.chat.text(expected.tokens)


def _wait(url: str) -> None:
    """Until the server has loaded and compiled its model."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(URLError), urlopen(f"{url}/health") as response:
            assert response.status == 200
            return
        time.sleep(1.0)
    raise AssertionError("vLLM did not come up")
