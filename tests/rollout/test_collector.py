"""What a rollout refuses, cuts and numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from collm.errors import ConfigError, TaskError
from collm.models.policy import Policy
from collm.rollout.collector import Job, Rollout, collect
from collm.rollout.sampling import Sampling
from collm.tasks import Message, Problem, Step, Task
from tests.games import ONE_TOKEN, Memory, game_chat, game_policy


@pytest.fixture(scope="module")
def players() -> list[Policy]:
    chat = game_chat()
    return [game_policy(chat, 0), game_policy(chat, 1)]


def play(game: Task, players: list[Policy], **options: Any) -> Rollout:
    return collect(
        game, players, [Job(Problem("only"), 0, sample) for sample in range(3)], ONE_TOKEN, ("t",), **options
    )


class Broken(Memory):
    """Memory with a step of the test's own making."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.change = change

    def step(self, problem: Problem, state: Any, actions: Sequence[str]) -> Step:
        return self.change(super().step(problem, state, actions))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda step: dataclasses.replace(step, observations=None, terminated=False), "tuple of 2 observations"),
        (
            lambda step: dataclasses.replace(step, observations=step.observations and step.observations[:1]),
            "tuple of 2",
        ),
        (lambda step: dataclasses.replace(step, observations=(["hi"], ["hi"]), terminated=False), "tuple of Message"),
        (lambda step: dataclasses.replace(step, reward=(1.0, 2.0, 3.0)), "3 rewards for 2 agents"),
        (
            lambda step: dataclasses.replace(step, observations=((Message("user", "on"),),) * 2, terminated=False),
            "goes on after its last turn",
        ),
    ],
)
def test_a_step_that_breaks_the_protocol_is_named(change: Any, message: str, players: list[Policy]) -> None:
    with pytest.raises(TaskError, match=message):
        play(Broken(change), players)


def test_an_end_stays_an_end_with_observations_behind_it(players: list[Policy]) -> None:
    """Some environments return an observation with their last step; nothing is bootstrapped from it."""
    seen = ((Message("user", "next"),),) * 2
    forest = play(Broken(lambda step: dataclasses.replace(step, observations=seen)), players).forest
    assert not forest.truncated.any()
    assert forest.terminated.sum() == 3


def test_an_episode_that_may_not_fit_is_cut_and_keeps_its_next_observation(players: list[Policy]) -> None:
    forest = play(Memory(), players, max_history=4).forest
    assert forest.truncated.all()
    assert not forest.terminated.any()
    assert (forest.turn == 0).all()
    for transcript in forest.transcripts:
        assert len(transcript.tokens) > transcript.spans[-1].stop


def test_a_first_observation_that_does_not_fit_is_refused(players: list[Policy]) -> None:
    with pytest.raises(ConfigError, match=r"first observation has 2 tokens.*sampling\.max_new_tokens"):
        play(Memory(), players, max_history=2)


def test_samples_of_one_problem_differ_and_repeat(players: list[Policy]) -> None:
    jobs = [Job(Problem("only"), 0, sample) for sample in range(40)]
    one = collect(Memory(), players, jobs, ONE_TOKEN, ("t",)).forest
    again = collect(Memory(), players, jobs[20:21], ONE_TOKEN, ("t",)).forest
    assert len({tuple(transcript.tokens) for transcript in one.transcripts}) > 5
    assert again.transcript(0, 1).tokens == one.transcript(20, 1).tokens


def test_a_response_at_the_limit_has_no_mark_and_is_an_action(players: list[Policy]) -> None:
    forest = collect(Memory(), players, [Job(Problem("only"), 0)], Sampling(max_new_tokens=1), ("t",)).forest
    assert all(decision.span.stop - decision.span.said == 1 for decision in forest.decisions)
    assert not forest.truncated.any()
