"""vLLM as the engine, against the library's own decoding. In fp32 on a processor the two differ by rounding only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collm.config import resolve
from collm.errors import ConfigError
from collm.learning.reference import reference_logprobs
from collm.models.loading import load_policies
from collm.models.policy import Policy, copies
from collm.models.settings import WeightSettings
from collm.rollout.collector import Job, Rollout, collect
from collm.rollout.engines import HF, Engine, make_engine
from collm.rollout.sampling import Sampling
from collm.rollout.vllm_engine import VllmEngine
from collm.tasks import Task, make_task
from collm.training import checkpoint
from collm.training.metrics import read
from collm.training.run import resume, train
from tests.training.test_resume import SMALL, assert_same_ending

pytestmark = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed; make test-vllm has it")

CACHE_GIB = 0.03
GREEDY = Sampling(temperature=0.0, max_new_tokens=32)
SAMPLED = Sampling(temperature=0.8, max_new_tokens=32)


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task("str-build", turns=2, max_length=2, train_size=32, validation_size=4, test_size=4)


@pytest.fixture(scope="module")
def team() -> list[Policy]:
    return load_policies("tiny", 2)


@pytest.fixture(scope="module")
def engines() -> Iterator[list[VllmEngine]]:
    """All engines of these tests, to be closed together: engines of one process share what closing ends."""
    found: list[VllmEngine] = []
    yield found
    for engine in found:
        engine.close()


@pytest.fixture(scope="module")
def engine(team: list[Policy], engines: list[VllmEngine]) -> VllmEngine:
    return started(team, engines)


def started(team: list[Policy], engines: list[VllmEngine], context: int = 1024, gib: float = CACHE_GIB) -> VllmEngine:
    found = make_engine("vllm", team, "cpu", context, gib)
    assert isinstance(found, VllmEngine)
    engines.append(found)
    return found


@pytest.fixture
def adapters() -> list[Policy]:
    """Three agents on one base, each with an adapter that says something of its own."""
    found = load_policies("tiny", 3, settings=WeightSettings(train="lora"))
    for number, policy in enumerate(found):
        disturb(policy, number, 0.1)
    return found


def disturb(policy: Policy, seed: int, size: float) -> None:
    """Other weights, as an update leaves them."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in policy.own.parameters():
            weight.add_(torch.randn(weight.shape, generator=random) * size)
    policy.version += 1


def play(
    task: Task, team: list[Policy], engine: Engine, sampling: Sampling, problems: slice = slice(0, 16), key: int = 0
) -> Rollout:
    jobs = [Job(problem, group) for group, problem in enumerate(task.problems("train")[problems])]
    return collect(task, team, jobs, sampling, ("test", key), engine=engine)


def spoken(rollout: Rollout) -> dict[tuple[str, int], list[int]]:
    """(problem, agent) → everything in that history."""
    return {
        (episode.job.problem.id, agent): list(rollout.forest.transcript(path, agent).tokens)
        for path, episode in enumerate(rollout.episodes)
        for agent in range(rollout.forest.agents)
    }


def assert_same(one: Rollout, other: Rollout) -> None:
    """Token for token, with the same log-probabilities up to rounding."""
    assert spoken(one) == spoken(other)
    for a, b in zip(one.forest.decisions, other.forest.decisions, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=2e-4)
        assert a.logprobs.dtype == np.float32


def test_greedy_is_token_for_token_that_of_hf(task: Task, team: list[Policy], engine: Engine) -> None:
    found = play(task, team, engine, GREEDY)
    assert found.forest.turn.max() == 1
    assert_same(found, play(task, team, HF, GREEDY))


@pytest.mark.parametrize("sampling", [SAMPLED, Sampling(temperature=1.0, max_new_tokens=32)])
def test_logprobs_are_those_of_the_sampling_distribution(
    task: Task, team: list[Policy], engine: Engine, sampling: Sampling
) -> None:
    forest = play(task, team, engine, sampling).forest
    learners = reference_logprobs(team, forest, sampling.temperature, 4096)
    for decision, own in zip(forest.decisions, learners, strict=True):
        np.testing.assert_allclose(decision.logprobs, own, atol=2e-4)


def test_draws_are_those_of_the_decision_not_of_the_batch(task: Task, team: list[Policy], engine: Engine) -> None:
    together = spoken(play(task, team, engine, SAMPLED))
    alone = spoken(play(task, team, engine, SAMPLED, slice(5, 6)))
    assert alone.items() <= together.items()
    assert together != spoken(play(task, team, engine, SAMPLED, key=1))


def test_more_prompts_than_one_pass_takes(team: list[Policy], engine: VllmEngine) -> None:
    """Whole prompts wait for the next pass; they are not read in two parts."""
    random = np.random.default_rng(0)
    prompts = random.integers(10, 1000, (150, 96)).tolist()
    sampling, seeds = Sampling(max_new_tokens=3), random.random((150, 3))
    session = engine.session([team[0]] * 150, sampling, lambda row, turn: seeds[row])
    found = session.respond(list(range(150)), prompts, 0)
    few = engine.session([team[0]] * 2, sampling, lambda row, turn: seeds[148 + row])
    assert [one.tokens for one in few.respond([0, 1], prompts[148:], 0)] == [one.tokens for one in found[148:]]


def test_a_response_ends_with_its_mark_or_at_the_limit(task: Task, team: list[Policy], engine: Engine) -> None:
    for decision in play(task, team, engine, Sampling(max_new_tokens=6)).forest.decisions:
        assert len(decision.logprobs) == decision.span.stop - decision.span.said <= 6
    tokens = [
        list(forest.transcripts[d.transcript].tokens[d.span.said : d.span.stop])
        for forest in [play(task, team, engine, GREEDY).forest]
        for d in forest.decisions
    ]
    assert all((response[-1] in team[0].stop_ids) == (len(response) < 32) for response in tokens)


def test_each_agent_speaks_through_its_own_adapter(
    task: Task, adapters: list[Policy], engines: list[VllmEngine]
) -> None:
    """One engine and one batch for three adapters and the base; the same as models that have the adapters merged in."""
    engine = started(adapters, engines)
    team = [*adapters, Policy(adapters[0].base)]
    prompts = [adapters[0].chat.opening(task.reset(one, 0).observations[0]) for one in task.problems("train")[:8]]
    rows = [(policy, prompt) for prompt in prompts for policy in team]
    session = engine.session([policy for policy, _ in rows], GREEDY, lambda row, turn: np.zeros(32))
    found = session.respond(list(range(len(rows))), [prompt for _, prompt in rows], 0)
    assert len(engine.backends) == 1
    plain = [Policy(policy.base.merged(str(policy.adapter))) for policy in adapters] + [load_policies("tiny", 1)[0]]
    for number, policy in enumerate(plain):
        own = HF.session([policy] * len(prompts), GREEDY, lambda row, turn: np.zeros(32))
        for one, other in zip(
            own.respond(list(range(len(prompts))), prompts, 0), found[number :: len(team)], strict=True
        ):
            assert one.tokens == other.tokens
            np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-3)
    assert len({tuple(map(tuple, (r.tokens for r in found[n :: len(team)]))) for n in range(len(team))}) == len(team)
    for number, policy in enumerate(adapters):
        disturb(policy, 10 + number, 0.1)
    assert_same(play_in(engine, adapters), play_in(HF, adapters))
    assert len(engine.backends) == 1


def play_in(engine: Engine, team: list[Policy]) -> Rollout:
    """A task for this many agents."""
    task = make_task(
        "str-build", agents=len(team), turns=2, max_length=2, train_size=32, validation_size=4, test_size=4
    )
    return play(task, team, engine, GREEDY, slice(0, 8))


def test_an_update_reaches_the_engine_without_a_restart(task: Task, engine: VllmEngine, team: list[Policy]) -> None:
    before = play(task, team, engine, GREEDY)
    running = [backend.llm for backend in engine.backends]
    moved = copies(team)
    kept = [{name: weight.clone() for name, weight in policy.model.state_dict().items()} for policy in team]
    session = engine.session([team[0]], GREEDY, lambda row, turn: np.zeros(32))
    for number, policy in enumerate(team):
        disturb(policy, number, 0.02)
    with pytest.raises(RuntimeError, match="updated during a rollout"):
        session.respond([0], [[5, 6, 7]], 0)
    after = play(task, team, engine, GREEDY)
    assert spoken(after) != spoken(before)
    assert_same(after, play(task, team, HF, GREEDY))
    assert [id(backend.llm) for backend in engine.backends] == [id(one) for one in running]
    # Another team of the same shape takes the engines over instead of getting more of them.
    assert spoken(play(task, moved, engine, GREEDY)) == spoken(before)
    assert len(engine.backends) == len(running)
    for policy, weights in zip(team, kept, strict=True):
        policy.model.load_state_dict(weights)
        policy.version += 1
    assert spoken(play(task, team, engine, GREEDY)) == spoken(before)


def test_the_process_is_left_as_it_was(task: Task, team: list[Policy], engine: Engine) -> None:
    play(task, team, engine, GREEDY, slice(0, 1))
    assert torch.get_num_threads() == 1
    assert torch.set_num_threads.__module__ != "vllm.v1.worker.cpu_worker"
    assert "LD_PRELOAD" not in os.environ or "libtcmalloc" not in os.environ["LD_PRELOAD"]


def test_a_cache_that_is_too_small_is_said_in_a_line(team: list[Policy], engines: list[VllmEngine]) -> None:
    small = started(team, engines, context=4096, gib=1e-4)
    with pytest.raises(ConfigError, match=r"rollout\.kv_cache_gib"):
        small.session(team[:1], GREEDY, lambda row, turn: np.zeros(32))


@pytest.mark.parametrize("weights", ["full", "lora"])
def test_a_run_trains_through_vllm_and_resumes(weights: str, tmp_path: Path) -> None:
    rollout: dict[str, Any] = {"problems": 5, "engine": "vllm", "kv_cache_gib": CACHE_GIB, "max_history": 1024}
    policy = {**SMALL["policy"], "importance_cap": 2.0}
    run = {**SMALL["run"], "threads": 1, "keep": 9}
    config = resolve(
        "str-build",
        values={**SMALL, "rollout": rollout, "policy": policy, "run": run, "weights": {"train": weights}},
    )
    summary = train(config, tmp_path / "whole")
    records = read(tmp_path / "whole" / "metrics.jsonl")
    moved = [record["policy"] for record in records if "policy" in record]
    assert len(moved) == summary["updates"] - 1
    assert all(0 <= one["engine_kl"] < 1e-6 and abs(one["importance"] - 1) < 1e-4 for one in moved)
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    checkpoints = sorted((tmp_path / "again" / "checkpoints").iterdir())
    for late in checkpoints[1:]:
        shutil.rmtree(late)
    assert checkpoint.available(tmp_path / "again" / "checkpoints")
    resume(tmp_path / "again")
    assert_same_ending(tmp_path / "whole", tmp_path / "again")
