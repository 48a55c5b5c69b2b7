import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from collm.tasks import make_task
from collm.tasks.protocol import JointAction, Message, Observation, Problem, Split, Start, Step, Task
from collm.testing import check_task, malformed_actions

WORLDS = [("fresh", "dense"), ("persistent", "dense"), ("persistent", "terminal")]
FEEDBACK = itertools.cycle(["own", "position", "perfect", "score"])
BUILDS = [
    (world, reward, profile, agents, next(FEEDBACK))
    for (world, reward), profile, agents in itertools.product(WORLDS, ["paper", "hardened"], [1, 2, 3, 4])
]


@pytest.mark.parametrize(("world", "reward", "profile", "agents", "feedback"), BUILDS)
def test_str_build_keeps_the_contract(world: str, reward: str, profile: str, agents: int, feedback: str) -> None:
    # The cycle would tie each feedback to one number of agents; the target modes follow the profile.
    shown = {"paper": "string+grid", "hardened": "string"}[profile]
    sizes = {"train_size": 1, "validation_size": 1, "test_size": 1}
    options = {"world": world, "reward": reward, "profile": profile, "agents": agents, "show_target": shown}
    check_task(make_task("str-build", options, feedback=feedback, turns=2, **sizes))


@pytest.mark.parametrize("feedback", ["own", "position", "perfect", "score"])
@pytest.mark.parametrize("source", ["mini", "released"])
def test_str_build_keeps_the_contract_in_every_feedback_mode(feedback: str, source: str) -> None:
    check_task(make_task("str-build", feedback=feedback, source=source), problems_per_split=1)


@dataclasses.dataclass(frozen=True)
class Sum(Problem):
    """Say a number per agent; the total should be ``goal``."""

    goal: int


class Total(Task):
    """A small sound task: every agent says a digit, the total over two turns should be the goal."""

    name: ClassVar[str] = "total"
    summary: ClassVar[str] = "digits that add up"
    Options: ClassVar[type] = Sum
    agents = 2
    turns = 2
    gamma = 1.0

    def problems(self, split: Split) -> Sequence[Sum]:
        first = {"train": 1, "validation": 4, "test": 7}[split]
        return [self.problem(str(goal)) for goal in range(first, first + 3)]

    def problem(self, text: str) -> Sum:
        return Sum(text, int(text))

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        return Start({"said": np.zeros(2), "turn": 0}, self.tell("Say a digit."))

    def tell(self, text: str) -> tuple[Observation, ...]:
        return ((Message("user", text),),) * self.agents

    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        said = [int(text) if text in tuple("123456789") else 0 for text in actions]
        after = {"said": state["said"] + said, "turn": state["turn"] + 1}
        ended = after["turn"] == self.turns
        reward = self.final(problem, after) - self.final(problem, state)
        return Step(after, None if ended else self.tell("Again."), reward, {}, terminated=ended)

    def final(self, problem: Problem, state: Any) -> float:
        assert isinstance(problem, Sum)
        return 0.0 - abs(problem.goal - float(state["said"].sum()))

    def floor(self, problem: Problem) -> float:
        assert isinstance(problem, Sum)
        return -float(problem.goal)

    def ceiling(self, problem: Problem) -> float:
        return 0.0

    def paper_score(self, problem: Problem, state: Any) -> float:
        return self.score(problem, state)

    def components(self, problem: Problem, state: Any) -> Mapping[str, float]:
        return {"said": float(state["said"].sum())}

    def best_plan(self, problem: Problem) -> Sequence[JointAction]:
        assert isinstance(problem, Sum)
        return [[str(problem.goal), ""]]


def test_a_sound_task_with_arrays_in_its_state_passes() -> None:
    check_task(Total())


class Overlapping(Total):
    def problems(self, split: Split) -> Sequence[Sum]:
        return [self.problem("3"), self.problem({"train": "1", "validation": "2", "test": "4"}[split])]


class Repeating(Total):
    def problems(self, split: Split) -> Sequence[Sum]:
        return [*super().problems(split), super().problems(split)[0]]


class Empty(Total):
    def problems(self, split: Split) -> Sequence[Sum]:
        return [] if split == "validation" else super().problems(split)


class Impure(Total):
    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        step = super().step(problem, state, actions)
        state["said"] += 1
        return step


class Forgetful(Total):
    """Impure only in what it keeps for itself: the reward depends on how often it was asked."""

    asked = 0

    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        self.asked += 1
        step = super().step(problem, state, actions)
        return dataclasses.replace(step, info={"half": self.asked // 2})


class Moody(Total):
    """Equal when asked twice at once, different later."""

    seen: ClassVar[list[str]] = []

    def final(self, problem: Problem, state: Any) -> float:
        if not self.seen or self.seen[-1] != problem.id:
            self.seen.append(problem.id)
        late = self.seen.count(problem.id) > 1
        return super().final(problem, state) - late


class Random(Total):
    def reset(self, problem: Problem, seed: int = 0) -> Start:
        return Start({"said": np.zeros(2), "turn": 0}, self.tell(str(np.random.default_rng().random())))


class Touchy(Total):
    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        for text in actions:
            int(text or "0")
        return super().step(problem, state, actions)


class LowFloor(Total):
    def floor(self, problem: Problem) -> float:
        return super().floor(problem) - 1


class LowCeiling(Total):
    def ceiling(self, problem: Problem) -> float:
        return -0.5


class HighCeiling(Total):
    def ceiling(self, problem: Problem) -> float:
        return 0.5


class Upside(Total):
    def ceiling(self, problem: Problem) -> float:
        return self.floor(problem)


class Secretive(Total):
    def memory(self) -> Mapping[str, Any]:
        return {"said": np.zeros(2)}


class Absent(Total):
    def __init__(self) -> None:
        self.known = {"1": 0.5}

    def memory(self) -> Mapping[str, Any]:
        return self.known

    def remember(self, memory: Mapping[str, Any]) -> None:
        self.known = {}


class Endless(Total):
    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        return dataclasses.replace(
            super().step(problem, state, actions), terminated=False, observations=self.tell("On.")
        )


class Talkative(Total):
    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        return dataclasses.replace(super().step(problem, state, actions), observations=self.tell("On."))


class Mute(Total):
    def reset(self, problem: Problem, seed: int = 0) -> Start:
        return dataclasses.replace(super().reset(problem, seed), observations=((), ()))


class Lonely(Total):
    def reset(self, problem: Problem, seed: int = 0) -> Start:
        start = super().reset(problem, seed)
        return dataclasses.replace(start, observations=start.observations[:1])


class SystemLater(Total):
    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        step = super().step(problem, state, actions)
        later = ((Message("system", "Now."),),) * 2
        return dataclasses.replace(step, observations=step.observations and later)


class LostFromTheStart(Total):
    """What it says of a state needs a turn that was played."""

    def standing(self, problem: Problem, state: Any) -> Mapping[str, float]:
        return {"mean": float(state["said"].sum()) / state["turn"], "turn": state["turn"]}


class Vague(Total):
    def standing(self, problem: Problem, state: Any) -> Mapping[str, Any]:
        return {"how": "well" if state["turn"] else 0.0}


class Dim(Total):
    def observed_standing(self, problem: Problem, state: Any, agent: int) -> Mapping[str, float]:
        return {"heard": float("inf") if agent else 0.0}


class NotANumber(Total):
    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        return dataclasses.replace(super().step(problem, state, actions), reward=float("nan"))


class Undeclared(Total):
    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        return dataclasses.replace(super().step(problem, state, actions), reward=(0.0, 0.0))


class OneRewardShort(Total):
    per_agent_rewards = True

    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        return dataclasses.replace(super().step(problem, state, actions), reward=(0.0,))


class CrowdAlone(Total):
    def single_agent(self) -> Task:
        return Total()


BROKEN: list[tuple[Callable[[], Task], str]] = [
    (Overlapping, "the splits 'train' and 'validation' share problems: ['3']"),
    (Repeating, "the split 'train' has problems twice: ['1']"),
    (Empty, "the split 'validation' is empty"),
    (Impure, "problem '1', turn 0, trying empty actions: step changed its problem, state or actions"),
    (Forgetful, "problem '1', turn 0, trying empty actions: step differs when called again"),
    (Moody, "when called later"),
    (Random, "problem '1', turn 0: reset(seed=1) differs when called again"),
    (Touchy, "problem '1', turn 0, trying malformed action 'whitespace': step raised ValueError"),
    (LowFloor, "problem '1', trying empty actions: the final is -1.0, the floor -2.0"),
    (LowCeiling, "problem '1', turn 0, trying the best plan: the final 0.0 exceeds the ceiling -0.5"),
    (HighCeiling, "problem '1', trying the best plan: the final is 0.0, the ceiling 0.5"),
    (Upside, "problem '1': the ceiling -1.0 is not above the floor -1.0"),
    (Secretive, "memory, as JSON, raised TypeError"),
    (Absent, "memory differs from what remember was given"),
    (Endless, "problem '1', turn 1, trying empty actions: the episode goes on after its last turn"),
    (Talkative, "problem '1', turn 1, trying empty actions: a terminated episode still has observations"),
    (Mute, "problem '1', turn 0: the observation of agent 0 is empty"),
    (Lonely, "problem '1', turn 0: 1 observations for 2 agents"),
    (SystemLater, "problem '1', turn 0, trying empty actions: the observation of agent 0 has role 'system'"),
    (LostFromTheStart, "problem '1', turn 0: standing raised ZeroDivisionError"),
    (Dim, "problem '1', turn 0: observed_standing of agent 1: 'heard' = inf is not finite"),
    (Vague, "problem '1', turn 0, trying empty actions: standing 'how' = 'well' is not finite"),
    (NotANumber, "problem '1', turn 0, trying empty actions: the reward nan is not a finite number"),
    (Undeclared, "a reward per agent needs per_agent_rewards = True"),
    (OneRewardShort, "the reward (0.0,) is not a tuple of 2 numbers"),
    (CrowdAlone, "single-agent form: has 2 agents, not 1"),
]


@pytest.mark.parametrize(("broken", "message"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
def test_a_broken_task_fails_with_the_place_of_its_violation(broken: Callable[[], Task], message: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_task(broken())
    assert message in str(caught.value)
    assert "task 'total'" in str(caught.value)


def test_malformed_actions_cover_the_ways_to_be_malformed() -> None:
    texts = malformed_actions("the prompt", "/setblock 0 0 0 stone")
    assert max(map(len, texts.values())) == 100_000
    assert texts["prompt echo"] == "the prompt"
    for part in ("\x00", "\x1b", "```", "🧱", "ÿ"):
        assert any(part in text for text in texts.values())
    assert all(text.encode() for text in texts.values())
