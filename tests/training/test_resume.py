"""A run killed anywhere and resumed ends bit for bit where the uninterrupted run ends."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from collm.config import TrainConfig, resolve
from collm.errors import CheckpointError, DivergedError, TaskError
from collm.presets import merged
from collm.tasks.minecraft.str_build import StrBuild, StrBuildOptions
from collm.tasks.protocol import JointAction, Problem, Step
from collm.training import checkpoint
from collm.training.metrics import read, without_time
from collm.training.run import resume, train

SMALL: dict[str, Any] = {
    "task": {"turns": 2, "max_length": 2, "train_size": 12, "validation_size": 4, "test_size": 4},
    "env_steps": 64,
    "rollout": {"problems": 5},
    "sampling": {"max_new_tokens": 12},
    "policy": {"epochs": 2, "minibatches": 2, "schedule": "linear"},
    "critic": {"minibatches": 2, "warmup_updates": 1},
    "evaluation": {"every": 3, "validation_problems": 4, "test_problems": 4},
    "run": {"checkpoint_every": 2, "threads": 2},
}


def small(**values: Any) -> TrainConfig[Any]:
    return resolve("str-build", preset="default", values={**SMALL, **values})


def ending(run: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], list[dict[str, Any]]]:
    """All tensors (weights and optimisers), the state and the records of a finished run, wall-clock apart."""
    tensors, state = checkpoint.load(checkpoint.latest(run / "checkpoints"))
    return tensors, {k: v for k, v in state.items() if k != "metrics_offset"}, without_time(read(run / "metrics.jsonl"))


def assert_same_ending(run: Path, other: Path) -> None:
    (a, state_a, records_a), (b, state_b, records_b) = ending(run), ending(other)
    assert state_a == state_b
    assert records_a == records_b
    assert a.keys() == b.keys()
    assert any("optimiser" in name and "exp_avg_sq" in name for name in a)
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(small(), run)
    return run


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "collm", "train", "str-build", "--quiet", *arguments]


def test_kill_nine_at_three_random_moments(uninterrupted: Path, tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "small.yaml"
    config.write_text(json.dumps(SMALL))
    moments = random.Random(time.time_ns())
    arguments = ["--config", str(config), "--out", str(run)]
    for _ in range(3):
        process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        grown = len(metrics_lines(run)) + moments.randint(1, 2)
        deadline = time.monotonic() + 120
        while process.poll() is None and len(metrics_lines(run)) < grown and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.2))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, (process.stderr.read() if process.stderr else b"").decode()
        arguments = ["--resume", str(run)]
    subprocess.run(command(*arguments), check=True, stdout=subprocess.DEVNULL)
    assert_same_ending(uninterrupted, run)


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "slow critics and a KL in the reward": (
        "collm-dc",
        {"critic": {"target": "polyak", "kind": "q"}, "policy": {"kl": "reward"}, "credit": {"target_lam": 1.0}},
    ),
    "caches and a hard target": ("collm-cc", {"critic": {"encoding": "caches", "target": "hard", "target_every": 2}}),
    "states and a slow critic": ("collm-cc", {"critic": {"encoding": "state", "target": "polyak"}}),
    "what each agent knows of the state": ("collm-dc", {"critic": {"encoding": "state"}}),
    "a value head on the policy": ("ac", {"critic": {"backbone": "policy"}}),
    "trees": ("marloo", {"rollout": {"samples": 2, "shape": "tree-cross"}, "env_steps": 350}),
    "running means and a KL in the loss": ("magrpo", {"rollout": {"samples": 2}, "policy": {"kl": "loss"}}),
    "greedy rollouts": ("maremax-greedy", {"rollout": {"samples": 2}}),
}


QUICK = ("slow critics and a KL in the reward",)


@pytest.mark.parametrize(
    ("method", "values"),
    [pytest.param(*OTHERS[name], id=name, marks=() if name in QUICK else pytest.mark.slow) for name in OTHERS],
)
def test_what_other_methods_keep_is_in_the_checkpoint(method: str, values: dict[str, Any], tmp_path: Path) -> None:
    """A run that goes on from its first checkpoint ends where it ended before."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    common = {key: value for key, value in SMALL.items() if method in ("collm-cc", "collm-dc", "ac") or key != "critic"}
    every = {
        "run": {"checkpoint_every": 2, "threads": 1, "keep": 10},
        "evaluation": {**SMALL["evaluation"], "every": 0},
    }
    config = resolve("str-build", method, values=merged(common, every, values))
    train(config, run)
    shutil.copytree(run, copy)
    first = checkpoint.available(copy / "checkpoints")[-1].name
    assert first != checkpoint.latest(run / "checkpoints").name
    resume(copy, name=first)
    assert_same_ending(run, copy)


class Moody(StrBuild):
    """Judges a problem by its mood of the first time, as a program near a time limit by how busy the machine was."""

    name: ClassVar[str] = "moody"

    def __init__(self, options: StrBuildOptions, mood: float) -> None:
        super().__init__(options)
        self.mood = mood
        self.verdicts: dict[str, float] = {}

    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        step = super().step(problem, state, actions)
        verdict = self.verdicts.setdefault(problem.id, self.mood)
        assert isinstance(step.reward, float)
        return dataclasses.replace(step, reward=step.reward * verdict)

    def memory(self) -> dict[str, float]:
        return self.verdicts

    def remember(self, memory: Mapping[str, Any]) -> None:
        self.verdicts = dict(memory)


def moody(mood: float) -> tuple[Moody, TrainConfig[Any]]:
    task = Moody(StrBuildOptions(**{**SMALL["task"], "train_size": 5}), mood)
    values = {key: value for key, value in SMALL.items() if key != "task"}
    values["run"] = {"checkpoint_every": 2, "threads": 1, "keep": 10}
    values["evaluation"] = {
        "every": 0,
        "test_problems": 4,
    }  # all problems that are met are met before the first checkpoint
    return task, resolve(task, preset="default", values=values)


def test_what_a_task_found_out_is_in_the_checkpoint(tmp_path: Path) -> None:
    """Verdicts are given once: a run that goes on in another process meets those of the first."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    task, config = moody(1.0)
    train(config, run, task=task)
    shutil.copytree(run, copy)
    resume(copy, name=checkpoint.available(copy / "checkpoints")[-1].name, task=moody(0.5)[0])
    assert_same_ending(run, copy)


def test_a_run_without_a_checkpoint_begins_with_its_first_verdicts_again(tmp_path: Path) -> None:
    """What was measured before training is measured again, because what was found out with it is gone."""
    run = tmp_path / "run"
    task, config = moody(1.0)
    train(config, run, task=task)
    shutil.rmtree(run / "checkpoints")
    resume(run, task=moody(0.5)[0])
    _, state = checkpoint.load(checkpoint.latest(run / "checkpoints"))
    assert set(state["task"].values()) == {0.5}
    assert {word.id for word in task.problems("test")} <= state["task"].keys()


@pytest.mark.parametrize("memory", [{1: 2}, {"a": torch.zeros(1)}])
def test_a_memory_that_cannot_be_kept_is_said(tmp_path: Path, memory: Any) -> None:
    task, config = moody(1.0)
    task.memory = lambda: memory  # type: ignore[method-assign]
    with pytest.raises(
        TaskError, match=r"the memory of the task 'moody' cannot be kept in a checkpoint: TypeError: memory"
    ):
        train(config, tmp_path / "run", task=task)


def test_a_memory_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, config = moody(1.0)
    train(config, tmp_path / "run", task=task)
    monkeypatch.setattr(Moody, "remember", lambda self, memory: memory["verdicts"])
    with pytest.raises(CheckpointError, match=r"what the task 'moody' knew .* go on with the version that wrote it"):
        resume(tmp_path / "run", task=moody(1.0)[0])


def metrics_lines(run: Path) -> list[str]:
    path = run / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_an_exception_in_the_task_leaves_the_run_resumable(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names problem, turn and agents; what was learned before it is kept; resumed, nothing is different."""
    run, right, calls = tmp_path / "run", StrBuild.step, iter(range(10**6))

    def breaks_once(self: StrBuild, *arguments: Any) -> Any:
        if next(calls) == 300:
            raise KeyError("the author's own mistake")
        return right(self, *arguments)

    monkeypatch.setattr(StrBuild, "step", breaks_once)
    with pytest.raises(TaskError, match=r"problem '[A-Z]{2}' at turn \d \(agents 0, 1\): KeyError") as caught:
        train(small(), run)
    assert isinstance(caught.value.__cause__, KeyError)
    assert checkpoint.available(run / "checkpoints")
    resume(run)
    assert_same_ending(uninterrupted, run)


def test_a_damaged_checkpoint_is_named_and_the_previous_one_offered(uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    subprocess.run(["cp", "-r", str(uninterrupted), str(run)], check=True)
    newest, previous = checkpoint.available(run / "checkpoints")[:2]
    weights = newest / "tensors.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError) as caught:
        resume(run)
    assert newest.name in str(caught.value)
    assert f"--resume {run} --checkpoint {previous.name}" in str(caught.value)
    resume(run, name=previous.name)
    assert_same_ending(uninterrupted, run)


def test_a_non_finite_loss_is_skipped_counted_and_stops_the_run_after_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from collm.learning import policy_update

    monkeypatch.setattr(policy_update, "surrogate", _not_a_number)
    with pytest.raises(DivergedError, match=r"5 updates in a row.*try a lower policy\.lr"):
        train(small(env_steps=10_000), tmp_path / "run")
    records = read(tmp_path / "run" / "metrics.jsonl")
    skipped = [record["skipped_steps"] for record in records]
    # The first update moves only the critic; each later one has two agents × two epochs × two parts.
    assert skipped == [0, 8, 16, 24, 32, 40]
    tensors, _ = checkpoint.load(checkpoint.latest(tmp_path / "run" / "checkpoints"))
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values() if tensor.is_floating_point())


def _not_a_number(batch: Any, *rest: Any, **named: Any) -> Any:
    from collm.learning.losses import Surrogate

    return Surrogate(batch.logprobs.sum() * np.nan, batch.logprobs.detach(), batch.logprobs.new_zeros(()))
