"""The task of equal work: fixed texts, a fixed number of turns, a reward that any text earns some of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from collm.bench.models import word
from collm.bench.side.worker import reward
from collm.tasks.protocol import JointAction, Message, Observation, Problem, Start, Step, Task

_WORDS = 997
"""Different words in the texts of the task."""


@dataclasses.dataclass(frozen=True)
class FixedOptions:
    """What makes one of these tasks."""

    agents: int = 2
    """Number of agents."""
    turns: int = 2
    """Turns of every episode."""
    opening: int = 61
    """Words of a first observation."""
    following: int = 16
    """Words of every later one."""
    problems: int = 96
    """Problems of every split."""


@dataclasses.dataclass(frozen=True)
class FixedProblem(Problem):
    """A problem is a number, which its words come from."""

    number: int


class Fixed(Task):
    """Observations whose length is chosen and whose words mean nothing; nothing ends an episode but its last turn."""

    name: ClassVar[str] = "fixed-work"
    summary: ClassVar[str] = "texts of fixed lengths, for measuring"
    Options: ClassVar[type] = FixedOptions
    gamma = 1.0

    def __init__(self, options: FixedOptions) -> None:
        self.options = options
        self.agents, self.turns = options.agents, options.turns

    def problems(self, split: str) -> list[FixedProblem]:
        return [FixedProblem(f"{split}-{number}", number) for number in range(self.options.problems)]

    def problem(self, text: str) -> FixedProblem:
        return self.problems("test")[0]

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        assert isinstance(problem, FixedProblem)
        return Start((), tuple(self.opening(problem.number, agent) for agent in range(self.agents)))

    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        paid = (*state, reward(actions))
        ended = len(paid) == self.turns
        return Step(paid, None if ended else self.followings(len(paid)), paid[-1], {}, terminated=ended)

    def opening(self, number: int, agent: int) -> Observation:
        return _said(self.options.opening, 131 * number + 17 * agent)

    def followings(self, turn: int) -> tuple[Observation, ...]:
        return tuple(_said(self.options.following, 29 * turn + 5 * agent) for agent in range(self.agents))

    def final(self, problem: Problem, state: Any) -> float:
        return float(sum(state))

    def floor(self, problem: Problem) -> float:
        return 0.0

    def ceiling(self, problem: Problem) -> float:
        return float(self.turns)

    def paper_score(self, problem: Problem, state: Any) -> float:
        return self.score(problem, state)

    def components(self, problem: Problem, state: Any) -> Mapping[str, float]:
        return {}


def _said(words: int, first: int) -> Observation:
    return (Message("user", " ".join(word((first + 7 * place) % _WORDS) for place in range(words))),)


def texts(task: Fixed, chat: Any) -> dict[str, Any]:
    """What the agents see as plain text, for a library that makes prompts of its own.

    ``openings`` (problems, agents); ``followings`` (turns − 1, agents), each behind a response; ``joint`` stands before one.
    """

    def plain(tokens: Sequence[int]) -> str:
        text = str(chat.tokenizer.decode(list(tokens)))
        assert chat.tokenizer.encode(text, add_special_tokens=False) == list(tokens), "text and tokens are one to one"
        return text

    openings = [
        [plain(chat.opening(task.opening(problem.number, agent))) for agent in range(task.agents)]
        for problem in task.problems("train")
    ]
    followings = [
        [f" {plain(chat.following(observation, None))}" for observation in task.followings(turn)]
        for turn in range(1, task.turns)
    ]
    return {"openings": openings, "followings": followings, "joint": " "}
