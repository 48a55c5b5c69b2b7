"""A task out of a data set and functions: prompts, a reward and, for several turns, a transition."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from collm.errors import ConfigError, ProblemError, TaskError
from collm.tasks.function_settings import (
    Bound,
    Functions,
    Prompt,
    Responses,
    Reward,
    check_name,
    check_prompts,
    check_settings,
)
from collm.tasks.protocol import JointAction, Message, Observation, Problem, Split, Start, Step, Task
from collm.tasks.rows import Row, RowProblem, Rows, fingerprint, split_rows

_MEASURED = ("return", "final", "score", "paper_score", "turns")
_TOLERANCE = 1e-9


@dataclasses.dataclass(frozen=True)
class FunctionOptions:
    """What a task of functions is, for a run's config.yaml; nothing here can be set."""

    agents: int
    """Number of agents."""
    turns: int
    """The turn limit."""
    rows: str
    """A hash of the rows and their splits."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the responses of one turn are worth."""

    rewards: tuple[float, ...]
    """One for the team, or one per agent."""
    components: Mapping[str, float]

    @property
    def value(self) -> float:
        return sum(self.rewards) / len(self.rewards)


@dataclasses.dataclass(frozen=True)
class FunctionState:
    """All responses so far, and what the last ones are worth."""

    responses: tuple[Responses, ...] = ()
    outcome: Outcome | None = None


def from_functions(
    name: str,
    rows: Rows,
    prompts: Sequence[Callable[[Row], Prompt]],
    reward: Callable[[Responses, Row], Reward],
    ceiling: Bound,
    *,
    floor: Bound | None = None,
    turns: int = 1,
    transition: Callable[[Row, tuple[Responses, ...], int], Sequence[Prompt] | None] | None = None,
    pays: Literal["change", "each"] = "change",
    gamma: float = 1.0,
    best: Callable[[Row], Sequence[str]] | None = None,
    single: Callable[[str], Sequence[str]] | None = None,
    single_prompt: Callable[[Row], Prompt] | None = None,
    id: str | Callable[[Row], Any] = "id",
    held_out: float = 0.2,
    seed: int = 0,
    summary: str = "",
) -> Task:
    """A task for as many agents as there are prompts.

    Args:
        name: what it is called in configurations, logs and, behind an entry point, in commands.
        rows: the data set, split by a seeded hash with ``held_out`` of it for validation and test; or a mapping with
            the rows of ``train``, ``validation`` and ``test`` (of the last two, one is enough).
        prompts: one function per agent, from a row to a text or to messages.
        reward: from the responses of one turn (one per agent) and the row to a number for the team, one number per agent, or
            named components, whose ``reward`` (or sum) it is. It must be a pure function.
        ceiling: the greatest reward that can be reached: a number, or a function of the row. It sets the scale of scores.
        floor: what empty responses earn, if known; by default ``reward`` is asked.
        turns: the turn limit.
        transition: with several turns: from the row, the responses of all turns so far and the number of the coming turn
            (1, 2, …) to the next prompt of each agent, or to None to end. Prompts hold what is new only: agents keep
            their own conversation.
        pays: what a turn is paid: with ``change`` what it adds to the reward of the turn before, so that the return is the
            last turn's reward; with ``each`` its own reward (then an early end should cost nothing: let rewards be at
            most 0).
        gamma: the discount.
        best: from a row to responses that reach the ceiling, for checks and `collm play --team best`.
        single: from the text of one writer to the responses of all agents: the form for single-model methods. Where it
            gets nothing, all roles stay empty.
        single_prompt: what the one writer is told; by default all agents' prompts, one behind the other.
        id: the field, or function, that names a row; rows without the field are named by a hash of what they hold.
        seed: of the split.
        summary: one line for `collm tasks`.

    Raises:
        ConfigError: naming the row, for missing fields, empty prompts, rows and ids that come twice or are in train and in
            another split; and for settings that do not go together.
        TaskError: naming row and agent, for an exception in ``prompts`` or ``reward`` while rows are read.

    Train with ``collm.train(collm.resolve(task), out, task=task)``; ``collm.resume`` and ``collm.load_team`` need the same
    object. An entry point in the group ``collm.tasks`` that names the object makes it a task of every command.

    From CoMLRL: its ``formatters`` are ``prompts``. Its batched reward becomes ``lambda responses, row:
    their_reward(*[[text] for text in responses], batch_items=[row])[0]``, with scale and shift of a reward processor inside.
    Its ``external_transition`` gets ``agent_completions=responses[-1]``, ``num_agents=len(responses[-1])`` and the
    histories ``[list(agent) for agent in zip(*responses)]``; what it repeats of earlier turns can go. Its early end is
    a ``transition`` that returns None, its paid turns are ``pays="each"``.
    """
    check_name(name)
    check_prompts(prompts)
    given = Functions(
        tuple(prompts), reward, ceiling, floor, transition, turns, pays, gamma, best, single, single_prompt
    )
    check_settings(given)
    problems = split_rows(rows, id, held_out, seed)
    named = {"name": name, "summary": summary or f"{len(prompts)} agents, {turns} turns, from functions"}
    kind: type[FunctionTask] = type("FunctionTask", (FunctionTask,), named)
    return kind(given, problems)


class FunctionTask(Task):
    """The task that :func:`from_functions` makes; its subclasses have a name."""

    name: ClassVar[str] = "functions"
    summary: ClassVar[str] = "a task from functions"
    Options: ClassVar[type] = FunctionOptions

    def __init__(
        self, given: Functions, problems: Mapping[Split, tuple[RowProblem, ...]], one_writer: bool = False
    ) -> None:
        self.given, self._problems, self.one_writer = given, problems, one_writer
        self.roles = len(given.prompts)
        self.agents = 1 if one_writer else self.roles
        self.turns, self.gamma = given.turns, given.gamma
        self.options = FunctionOptions(self.roles, given.turns, fingerprint(problems))
        self._by_id = {problem.id: problem for split in problems.values() for problem in split}
        self._floors: dict[str, float] = {}
        for problem in self._by_id.values():
            self._opening(problem)
        self.per_agent_rewards = self._look(list(self._by_id.values())) > 1 and not one_writer

    def _look(self, problems: Sequence[RowProblem]) -> int:
        """Ask every row for the reward of empty responses once; returns how many numbers it is."""
        counts = [self._first_look(problem) for problem in problems]
        for problem, count in zip(problems, counts, strict=True):
            if count != counts[0]:
                raise ConfigError(
                    f"the task '{self.name}': reward gives {count} numbers on problem {problem.id!r} and {counts[0]} on "
                    f"{problems[0].id!r}. Let it give the same number of them for every row."
                )
        return counts[0]

    def _first_look(self, problem: RowProblem) -> int:
        """Ask for the reward of empty responses once; returns how many numbers it is."""
        try:
            empty = self._outcome(problem, ("",) * self.roles)
            ceiling, floor = self.ceiling(problem), self.floor(problem)
        except Exception as error:
            raise TaskError(
                f"the task '{self.name}': reward, floor or ceiling failed on problem {problem.id!r} with empty responses: "
                f"{type(error).__name__}: {error}"
            ) from error
        if abs(floor - empty.value) > _TOLERANCE:
            raise ConfigError(
                f"floor = {floor}, but empty responses to problem {problem.id!r} earn {empty.value}. Leave floor out."
            )
        if not ceiling > floor:
            raise ConfigError(
                f"ceiling = {ceiling} must be above {floor}, what empty responses to problem {problem.id!r} earn."
            )
        return len(empty.rewards)

    def problems(self, split: Split) -> Sequence[RowProblem]:
        return self._problems[split]

    def problem(self, text: str) -> RowProblem:
        if text not in self._by_id:
            some = ", ".join(list(self._by_id)[:5])
            raise ProblemError(f"the task '{self.name}' has no row with the id '{text}'. It has, for instance, {some}.")
        return self._by_id[text]

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        assert isinstance(problem, RowProblem)
        return Start(FunctionState(), self._opening(problem))

    def _opening(self, problem: RowProblem) -> tuple[Observation, ...]:
        """The first observations. Raises TaskError or ConfigError, naming the agent, if there is none."""
        if self.one_writer and self.given.single_prompt is not None:
            return (self._first(problem, self.given.single_prompt, "single_prompt"),)
        return self._seen(
            tuple(self._first(problem, prompt, f"prompts[{i}]") for i, prompt in enumerate(self.given.prompts))
        )

    def _first(self, problem: RowProblem, prompt: Callable[[Row], Prompt], what: str) -> Observation:
        place = f"the task '{self.name}': {what}"
        try:
            found = prompt(problem.row)
        except Exception as error:
            raise TaskError(
                f"{place} failed on problem {problem.id!r} at turn 0: {type(error).__name__}: {error}"
            ) from error
        try:
            return observation(found, ("system", "user"))
        except ValueError as error:
            raise ConfigError(f"{place} on problem {problem.id!r} gives {error}.") from error

    def _seen(self, observations: tuple[Observation, ...]) -> tuple[Observation, ...]:
        """What the agents of this form see: the one writer sees all roles' messages, in one."""
        if not self.one_writer:
            return observations
        parts = [
            "\n".join([f"[Agent {role + 1}]", *(message.content for message in seen)])
            for role, seen in enumerate(observations)
        ]
        return ((Message("user", "\n\n".join(parts)),),)

    def step(self, problem: Problem, state: FunctionState, actions: JointAction) -> Step:
        assert isinstance(problem, RowProblem)
        responses = self._responses(actions)
        outcome = self._outcome(problem, responses)
        history = (*state.responses, responses)
        observations = self._next(problem, history)
        reward = self._paid(state.outcome, outcome)
        after = FunctionState(history, outcome)
        return Step(after, observations, reward, outcome.components, terminated=observations is None)

    def _responses(self, actions: JointAction) -> Responses:
        """One response per role."""
        if not self.one_writer:
            return tuple(actions)
        assert self.given.single is not None
        parts = tuple(self.given.single(actions[0])) if actions[0].strip() else ("",) * self.roles
        if len(parts) != self.roles or not all(isinstance(part, str) for part in parts):
            raise ValueError(f"single returned {parts!r:.80}; expected {self.roles} texts")
        return parts

    def _outcome(self, problem: RowProblem, responses: Responses) -> Outcome:
        found = as_outcome(self.given.reward(responses, problem.row), self.roles)
        ceiling = self.ceiling(problem)
        if found.value > ceiling + _TOLERANCE:
            raise ValueError(f"the reward {found.value} is above ceiling = {ceiling}; give from_functions a higher one")
        return found

    def _paid(self, before: Outcome | None, after: Outcome) -> float | tuple[float, ...]:
        rewards: tuple[float, ...] = after.rewards
        if before is not None and self.given.pays == "change":
            rewards = tuple(new - old for new, old in zip(after.rewards, before.rewards, strict=True))
        return rewards if self.per_agent_rewards else sum(rewards) / len(rewards)

    def _next(self, problem: RowProblem, history: tuple[Responses, ...]) -> tuple[Observation, ...] | None:
        if self.given.transition is None or len(history) == self.turns:
            return None
        found = self.given.transition(problem.row, history, len(history))
        if found is None:
            return None
        if isinstance(found, str) or len(found) != self.roles:
            raise ValueError(f"transition returned {found!r:.80}; expected {self.roles} prompts, or None")
        return self._seen(tuple(observation(prompt, ("user",)) for prompt in found))

    def final(self, problem: Problem, state: FunctionState) -> float:
        return self.floor(problem) if state.outcome is None else state.outcome.value

    def floor(self, problem: Problem) -> float:
        assert isinstance(problem, RowProblem)
        if self.given.floor is not None:
            return _bound(self.given.floor, problem, "floor")
        if problem.id not in self._floors:
            self._floors[problem.id] = self._outcome(problem, ("",) * self.roles).value
        return self._floors[problem.id]

    def ceiling(self, problem: Problem) -> float:
        assert isinstance(problem, RowProblem)
        return _bound(self.given.ceiling, problem, "ceiling")

    def paper_score(self, problem: Problem, state: FunctionState) -> float:
        """The score: no table of the paper has this task."""
        return self.score(problem, state)

    def components(self, problem: Problem, state: FunctionState) -> Mapping[str, float]:
        return {} if state.outcome is None else state.outcome.components

    def best_plan(self, problem: Problem) -> Sequence[JointAction] | None:
        """The best responses, again at every turn; None in the single-agent form."""
        assert isinstance(problem, RowProblem)
        if self.given.best is None or self.one_writer:
            return None
        return [tuple(self.given.best(problem.row))] * self.turns

    def single_agent(self) -> Task:
        """One writer whose text ``single`` splits into the roles' responses."""
        if self.given.single is None:
            raise NotImplementedError(f"the task '{self.name}' has no single-agent form (no single= was given)")
        return type(self)(self.given, self._problems, one_writer=True)

    def as_text(self, problem: Problem, state: FunctionState) -> str:
        return "  ".join(f"{name} {value:.3f}" for name, value in self.components(problem, state).items())


def observation(prompt: Prompt, roles: tuple[str, ...]) -> Observation:
    """A prompt as messages; raises ValueError if it is empty or has other roles than these."""
    if isinstance(prompt, str):
        prompt = [Message("user", prompt)]
    if not isinstance(prompt, Sequence):
        raise ValueError(f"{prompt!r:.80}, not a text or messages")
    messages = []
    for one in prompt:
        if not isinstance(one, (Message, Mapping)):
            raise ValueError(f"the message {one!r:.80}; expected a mapping with role and content")
        role, content = (one.role, one.content) if isinstance(one, Message) else (one.get("role"), one.get("content"))
        if role not in roles or not isinstance(content, str):
            raise ValueError(f"the message {one!r:.80}; expected content and one of the roles {', '.join(roles)}")
        messages.append(Message("system" if role == "system" else "user", content))
    if not any(message.content.strip() for message in messages if message.role == "user"):
        raise ValueError("an empty prompt")
    return tuple(messages)


def as_outcome(reward: Reward, agents: int) -> Outcome:
    """A reward in any of its forms; raises ValueError for anything but finite numbers of the right count."""
    if isinstance(reward, Mapping):
        parts = {str(name): _number(value) for name, value in reward.items()}
        taken = [name for name in parts if name in _MEASURED]
        if taken:
            raise ValueError(f"a component is called '{taken[0]}', which evaluations measure themselves; rename it")
        total = parts["reward"] if "reward" in parts else sum(parts.values())
        return Outcome((total,), {**parts, "reward": total})
    if not isinstance(reward, (Sequence, np.ndarray)) or isinstance(reward, str):
        total = _number(reward)
        return Outcome((total,), {"reward": total})
    rewards = tuple(map(_number, reward))
    if len(rewards) != agents:
        raise ValueError(f"{len(rewards)} rewards for {agents} agents")
    own = {f"reward_{agent}": value for agent, value in enumerate(rewards)}
    return Outcome(rewards, {"reward": sum(rewards) / agents, **own})


def _number(value: Any, what: str = "reward") -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"the {what} is {value!r:.80}; expected finite numbers")
    return number


def _bound(bound: Bound, problem: RowProblem, what: str) -> float:
    return _number(bound(problem.row) if callable(bound) else bound, what)
