"""The task protocol: a Dec-POMDP over text, in plain Python (no torch anywhere below ``tasks/``).

A task poses problems, shows each agent its own observation, takes the joint action of all agents at once and
returns the next observations and the reward. It never learns who is acting or training.
"""

from __future__ import annotations

import abc
import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Message:
    """One chat message."""

    role: Literal["system", "user"]
    content: str


Observation = tuple[Message, ...]
"""What one agent receives at one turn: system and user messages at turn 0, user messages later."""

Conversation = list[tuple[Observation, str]]
"""One agent's episode as text: what it saw and what it answered, turn by turn."""

JointAction = Sequence[str]
"""One response text per agent, in agent order."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One instance of a task. Tasks subclass it with their own fields; ``id`` is unique within the task."""

    id: str


@dataclasses.dataclass(frozen=True)
class Start:
    """The beginning of an episode: the hidden state and one observation per agent."""

    state: Any
    observations: tuple[Observation, ...]


@dataclasses.dataclass(frozen=True)
class Step:
    """What one env step (one joint action) leads to."""

    state: Any
    observations: tuple[Observation, ...] | None
    """One observation per agent for the next turn; None when the task ended the episode. A truncated step keeps them."""
    reward: float | tuple[float, ...]
    """The team's reward, or one reward per agent."""
    components: Mapping[str, float]
    """The named parts of the outcome, for logs."""
    terminated: bool = False
    """The task ended the episode (solved, or its turn limit is reached): nothing is worth anything beyond."""
    truncated: bool = False
    """The episode was cut from outside the task's rules: the value beyond is unknown, not zero."""
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Per-turn facts for displays and logs that are not part of the reward."""

    @property
    def ended(self) -> bool:
        return self.terminated or self.truncated


@dataclasses.dataclass(frozen=True)
class Move:
    """A joint action that is about to be executed."""

    problem: Problem
    state: Any
    actions: JointAction


class Task(abc.ABC):
    """A task for ``agents`` agents over at most ``turns`` turns.

    ``reset`` and ``step`` are pure functions of their arguments; everything that changes during an episode is in the
    state they return. Chance, where a task needs it, comes from the ``seed`` of ``reset``.
    """

    name: ClassVar[str]
    """The name in the registry, in commands and logs."""
    summary: ClassVar[str]
    """One line for ``collm tasks``."""
    Options: ClassVar[type]
    """A frozen dataclass: the options of ``make_task`` and the ``--task.*`` flags."""
    options: Any
    agents: int
    """Number of agents n that act at every turn."""
    turns: int
    """The turn limit H; it is part of the task, so reaching it terminates the episode."""
    gamma: float
    """The task's default discount; a method may override it."""
    per_agent_rewards: bool = False
    """Whether ``Step.reward`` is one number per agent."""
    profiles: ClassVar[tuple[str, ...]] = ()
    """Names of the rewards that the option ``profile`` chooses from; a team's score under each of them is logged."""

    @abc.abstractmethod
    def problems(self, split: Split) -> Sequence[Problem]:
        """All problems of a split, in a fixed order. Splits never share a problem."""

    @abc.abstractmethod
    def problem(self, text: str) -> Problem:
        """The problem a person asks for by name (``collm play --problem``); raises ProblemError if it cannot be posed."""

    @abc.abstractmethod
    def reset(self, problem: Problem, seed: int = 0) -> Start:
        """Begin an episode."""

    @abc.abstractmethod
    def step(self, problem: Problem, state: Any, actions: JointAction) -> Step:
        """Execute one joint action."""

    def under(self, profile: str) -> Task:
        """The same task under another of its ``profiles``; states of one are states of the other."""
        other = copy.copy(self)
        other.options = dataclasses.replace(self.options, profile=profile)
        return other

    def prepare(self, moves: Sequence[Move]) -> None:  # noqa: B027 (optional)
        """Called with all steps of a turn before the first of them, so that costly work can be done in one batch.

        It may remember results for the steps that follow, and may not change what ``step`` returns.
        """

    def memory(self) -> Mapping[str, Any] | None:
        """What was found out once and might come out otherwise if it were asked again, such as the verdict on a program near
        a time limit: checkpoints keep it, so that a run which goes on elsewhere meets the same outcomes.

        As JSON can hold it; None where a step depends on nothing but its arguments.
        """
        return None

    def remember(self, memory: Mapping[str, Any]) -> None:  # noqa: B027 (optional)
        """Take back what ``memory`` gave, in place of what is known now.

        May raise KeyError, TypeError or ValueError if that is of another version of the task.
        """

    def notes(self) -> Sequence[str]:
        """What a person should know before relying on this task here: problems that were dropped, a weak sandbox."""
        return ()

    @abc.abstractmethod
    def final(self, problem: Problem, state: Any) -> float:
        """R of the outcome the state holds, in the task's own units: the plain number people quote."""

    @abc.abstractmethod
    def floor(self, problem: Problem) -> float:
        """R_0: the final of an episode of empty joint actions (of the one with seed 0, where chance decides it)."""

    def episode_floor(self, problem: Problem, state: Any) -> float:
        """R_0 of the episode that the state belongs to; another than ``floor`` only where chance decides it."""
        return self.floor(problem)

    @abc.abstractmethod
    def ceiling(self, problem: Problem) -> float:
        """R_max: the attainable maximum of ``final`` for this problem."""

    @abc.abstractmethod
    def paper_score(self, problem: Problem, state: Any) -> float:
        """What the paper's table prints for this task."""

    @abc.abstractmethod
    def components(self, problem: Problem, state: Any) -> Mapping[str, float]:
        """The named parts of the outcome that the state holds."""

    def score(self, problem: Problem, state: Any) -> float:
        """100·(final − R_0)/(R_max − R_0): 0 is doing nothing, 100 is perfect; below 0 is possible."""
        floor, ceiling = self.episode_floor(problem, state), self.ceiling(problem)
        if not ceiling > floor:
            raise ValueError(f"ceiling = {ceiling} must be above floor = {floor}, or there is no score")
        return 100.0 * (self.final(problem, state) - floor) / (ceiling - floor)

    def standing(self, problem: Problem, state: Any) -> Mapping[str, float]:
        """How things stand in a state, in named numbers: what a central critic with ``critic.encoding = state`` is told.

        Hidden parts of the state may be among them; agents never see them.
        """
        return {"score": self.score(problem, state) / 100.0, **self.components(problem, state)}

    def observed_standing(self, problem: Problem, state: Any, agent: int) -> Mapping[str, float]:
        """What an agent's latest observation says of this state, in named numbers: what a critic of that agent alone with
        ``critic.encoding = state`` is told beside the state that the agent's own actions would have made."""
        return {}

    def best_plan(self, problem: Problem) -> Sequence[JointAction] | None:
        """Canonical joint actions, turn by turn, that reach R_max; None where the task has no such plan."""
        return None

    def empty_action(self, agent: int) -> str:
        """The action of an agent that does nothing."""
        return ""

    def role(self, agent: int) -> str:
        """What an agent's part in the team is called."""
        return f"agent {agent + 1} of {self.agents}" if self.agents > 1 else "the only agent"

    def single_agent(self) -> Task:
        """The same task with one agent that writes all roles (the form of single-model baselines)."""
        raise NotImplementedError(f"the task '{self.name}' has no single-agent form")

    def as_text(self, problem: Problem, state: Any) -> str:
        """The state as a person would like to see it in a terminal (ANSI colours allowed)."""
        return str(state)

    def picture(self, problem: Problem, state: Any) -> Any | None:
        """The state as a ``PIL.Image``, or None where there is nothing to see."""
        return None

    def as_blocks(self, problem: Problem, state: Any) -> Mapping[tuple[int, int, int], str] | None:
        """The state as blocks of a Minecraft world, (x, y, z) with y upwards to block name; None if it is no build."""
        return None


def team_rewards(step: Step, agents: int) -> tuple[float, ...]:
    """The reward as one number per agent; a team reward is everybody's."""
    if isinstance(step.reward, tuple):
        return step.reward
    return (step.reward,) * agents


@dataclasses.dataclass(frozen=True)
class Replay:
    """The end of an episode that was played with given joint actions."""

    state: Any
    rewards: tuple[tuple[float, ...], ...]
    """(turns, agents)."""
    turns: int


def replay(task: Task, problem: Problem, joint_actions: Sequence[JointAction], seed: int = 0) -> Replay:
    """Play given joint actions from the start until they run out or the episode ends."""
    state = task.reset(problem, seed).state
    rewards = []
    for actions in joint_actions:
        step = task.step(problem, state, actions)
        state = step.state
        rewards.append(team_rewards(step, task.agents))
        if step.ended:
            break
    return Replay(state, tuple(rewards), len(rewards))


def idle(task: Task, actions: JointAction, agent: int) -> JointAction:
    """A joint action with one agent's part replaced by the empty one."""
    return [task.empty_action(i) if i == agent else action for i, action in enumerate(actions)]
