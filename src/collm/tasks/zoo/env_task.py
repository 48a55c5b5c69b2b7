"""A task from a PettingZoo environment: seeds are its problems, and agents read and write texts."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pettingzoo import ParallelEnv
from pettingzoo.utils.conversions import turn_based_aec_to_parallel_wrapper

from collm.errors import CollmError, ConfigError, ProblemError, TaskError
from collm.tasks.inside import inside_task
from collm.tasks.protocol import SPLITS, JointAction, Message, Observation, Problem, Split, Start, Step, Task
from collm.tasks.rows import RowProblem, fingerprint
from collm.tasks.zoo.live import Answers, Stable, Turn, parallel
from collm.tasks.zoo.seat import Act, Observe, Seat, seat
from collm.tasks.zoo.settings import (
    SEEDS,
    Ceiling,
    Given,
    Names,
    Seeds,
    check_agents,
    check_given,
    seed_problems,
    seed_row,
)

_TOLERANCE = 1e-9
_LINES = "Write the answers of all agents: one line for each, in this order."


@dataclasses.dataclass(frozen=True)
class EnvOptions:
    """What a task of an environment is, for a run's config.yaml; nothing here can be set."""

    environment: str
    """What the environment calls itself."""
    agents: int
    """Number of agents."""
    turns: int
    """The turn limit."""
    repeat: int
    """For how many steps of the environment an action holds."""
    reward: str
    """Who is paid: the team its mean, or each agent its own."""
    seeds: str
    """A hash of the seeds and their splits."""
    play: str
    """A hash of what agents are shown and paid in the first problem when nobody answers."""


@dataclasses.dataclass(frozen=True)
class EnvState:
    """All answers so far, and what they earned: with the seed, this says where the environment stands."""

    answers: tuple[Answers, ...] = ()
    rewards: tuple[tuple[float, ...], ...] = ()
    """(turns, agents)."""
    asked: int = 0
    """How many answers were read so far."""
    valid: int = 0
    """How many of them were legal actions."""
    over: bool = False

    @property
    def paid(self) -> float:
        """The mean return of the agents so far."""
        return sum(sum(turn) / len(turn) for turn in self.rewards)


def from_parallel_env(
    make_env: Callable[[], Any],
    name: str,
    *,
    turns: int,
    ceiling: Ceiling,
    rules: str | Mapping[str, str] | None = None,
    actions: Names = (),
    default: Any = None,
    observe: Observe | None = None,
    act: Act | None = None,
    repeat: int = 1,
    reward: Literal["team", "agent"] = "team",
    best: Callable[[int], Sequence[JointAction]] | None = None,
    seeds: Seeds = SEEDS,
    gamma: float = 1.0,
    kept: int = 256,
    summary: str = "",
) -> Task:
    """A task for the agents of a PettingZoo environment.

    Args:
        make_env: makes an environment: a ``ParallelEnv``, or an ``AECEnv``, in which agents whose turn it is not are told so
            and are not read. All its chance must come from ``reset(seed)``; it is asked for one per episode.
        name: what the task is called in configurations and logs.
        turns: the turn limit; an environment may end its episodes earlier.
        ceiling: the greatest return (the mean over agents) that can be reached, or a bound above it: a number, or a function
            of the seed. It sets the scale of scores, whose 0 is what agents earn that never answer.
        rules: what agents are told first; one text for all, or one for each agent by name.
        actions: names of the actions of ``Discrete`` spaces, in order; for all agents, or by agent. Numbers are read too.
        default: the action, or its name, of a text that cannot be read or is not legal; without it ``noop``, or 0, or the
            nearest to 0 that there is. Where it is not legal, the first legal action is taken.
        observe: from agent and observation to text; without it numbers are written in rows, with two decimals.
        act: from agent, its text and its observation to an action, or to None if it is none; without it the first numbers
            of the text, or its first name, are the action.
        repeat: for how many steps of the environment an action holds; their rewards are added.
        reward: ``team`` pays everybody the mean over all agents, ``agent`` each its own.
        best: from the seed to the joint actions (texts) that reach the ceiling, for checks and `collm play --team best`.
        seeds: the seeds of ``train``, ``validation`` and ``test`` (of the last two, one is enough).
        gamma: the discount.
        kept: how many environments are kept alive between turns. With more episodes at once, some are played again from
            their beginning at every turn.
        summary: one line for `collm tasks`.

    Raises:
        ConfigError: for settings that are not allowed or do not fit the environment's spaces, and for an environment that
            does not repeat itself.
        TaskError: for an exception in the environment or the functions, naming problem, turn and agents.

    An agent that is out of the game, or has no legal action, is told so and is not read. With ``act`` or ``observe``, masks
    (``action_mask`` in observation or infos) still make illegal actions of ``Discrete`` spaces the default. The component
    ``valid`` is the share of answers that were legal actions. The single-agent form writes one line per agent.

    Train with ``collm.train(collm.resolve(task), out, task=task)``; ``collm.resume`` and ``collm.load_team`` need the same
    object, as with :func:`collm.tasks.from_functions`.
    """
    given = Given(
        make_env, name, turns, ceiling, rules, actions, default, observe, act, repeat, reward, best, gamma, kept
    )  # fmt: skip
    check_given(given)
    env = _made(given)
    agents = list(env.possible_agents)
    check_agents(given, agents)
    if repeat > 1 and isinstance(env, turn_based_aec_to_parallel_wrapper):
        raise ConfigError(
            f"repeat = {repeat} needs agents that act at once, and those of {env} take turns; leave it out."
        )
    seats = [
        seat(one, env.observation_space(one), env.action_space(one), given.names_for(one), default, observe, act)
        for one in agents
    ]
    called = str(env)
    env.close()
    named = {"name": name, "summary": summary or f"{len(agents)} agents, {turns} turns, the environment {called}"}
    kind: type[EnvTask] = type("EnvTask", (EnvTask,), named)
    return kind(given, seats, seed_problems(seeds), called)


class EnvTask(Task):
    """The task that :func:`from_parallel_env` makes; its subclasses have a name."""

    name: ClassVar[str] = "environment"
    summary: ClassVar[str] = "a task from a PettingZoo environment"
    Options: ClassVar[type] = EnvOptions

    def __init__(
        self, given: Given, seats: Sequence[Seat], problems: Mapping[Split, tuple[RowProblem, ...]], called: str
    ) -> None:
        self.given, self.seats, self._problems = given, tuple(seats), problems
        self.agents, self.turns, self.gamma = len(seats), given.turns, given.gamma
        self.per_agent_rewards = given.reward == "agent"
        self.one_writer = False
        self._stable = Stable(given.make_env, self.seats, given.repeat, given.kept)
        self._floors: dict[int, float] = {}
        played = self._look()
        self.options = EnvOptions(
            called, self.agents, given.turns, given.repeat, given.reward, fingerprint(problems), played
        )

    def _look(self) -> str:
        """Play the first problem of every split without answers; a hash of the first of these episodes."""
        for split in SPLITS:
            self.ceiling(self._problems[split][0])
        first = self._problems["train"][0]
        once, again = self._told_unanswered(first), self._told_unanswered(first)
        if once != again:
            raise ConfigError(
                f"the environment of '{self.name}' does not repeat itself on {first.id}; let all its chance come from "
                "reset(seed)."
            )
        return hashlib.blake2b(once.encode(), digest_size=8).hexdigest()

    def _told_unanswered(self, problem: RowProblem) -> str:
        """What agents are shown and paid when nobody answers, in an environment of its own."""
        self._stable.clear()
        with inside_task(self, problem, 0):
            start = self.reset(problem)
        state, told = start.state, [repr(start.observations)]
        while not state.over:
            with inside_task(self, problem, len(state.answers)):
                step = self.step(problem, state, [""] * self.agents)
            state = step.state
            told.append(f"{step.observations!r} {[f'{reward:.6g}' for reward in state.rewards[-1]]}")
        return "\n".join(told)

    def problems(self, split: Split) -> Sequence[RowProblem]:
        return self._problems[split]

    def problem(self, text: str) -> RowProblem:
        """Any seed, as ``seed-7`` or ``7``."""
        number = text.removeprefix("seed-")
        if not (number.isascii() and number.isdigit()):
            raise ProblemError(f"the task '{self.name}' has no problem '{text}'; problems are seeds, such as seed-7.")
        return RowProblem(f"seed-{int(number)}", seed_row(int(number), "play"))

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        """Begin an episode. All chance is the problem's: the seed of the episode changes nothing."""
        live = self._stable.fresh(_seed(problem))
        observations = self._opening(live.shown())
        self._stable.keep((_seed(problem), ()), live)
        return Start(EnvState(), observations)

    def step(self, problem: Problem, state: EnvState, actions: JointAction) -> Step:
        if state.over:
            raise ValueError("the episode is over")
        answers = self._answers(actions)
        live = self._stable.at((_seed(problem), state.answers), state.rewards)
        turn = live.play(answers, self.given.repeat)
        after = self._after(state, answers, turn)
        terminated = after.over and not (turn.cut and len(after.answers) < self.turns)
        observations = None if terminated else self._seen(live.shown())
        if after.over:
            live.close()
            self._require_below_ceiling(problem, after)
        else:
            self._stable.keep((_seed(problem), after.answers), live)
        reward = turn.rewards if self.per_agent_rewards else sum(turn.rewards) / len(turn.rewards)
        components = self.components(problem, after)
        return Step(after, observations, reward, components, terminated, truncated=after.over and not terminated)

    def _after(self, state: EnvState, answers: Answers, turn: Turn) -> EnvState:
        history = (*state.answers, answers)
        return EnvState(
            history,
            (*state.rewards, turn.rewards),
            state.asked + turn.asked,
            state.valid + turn.valid,
            turn.over or len(history) == self.turns,
        )

    def _answers(self, actions: JointAction) -> Answers:
        """One text per seat; the one writer's lines go to the seats in order."""
        if not self.one_writer:
            return tuple(actions)
        lines = [line for line in actions[0].splitlines() if line.strip()][: len(self.seats)]
        return (*lines, *[""] * (len(self.seats) - len(lines)))

    def _opening(self, shown: Sequence[str]) -> tuple[Observation, ...]:
        """The first observations: rules and how to answer, then what is to be seen."""
        names = [one.agent for one in self.seats]
        told = [f"{self.given.rules_for(one.agent, names)}\n{one.asks()}".strip() for one in self.seats]
        if self.one_writer:
            (seen,) = self._seen([f"{rules}\n{text}" for rules, text in zip(told, shown, strict=True)])
            return ((Message("system", _LINES), *seen),)
        # Rules may be empty where act= reads the texts.
        system = [(Message("system", rules),) if rules else () for rules in told]
        return tuple((*rules, *seen) for rules, seen in zip(system, self._seen(shown), strict=True))

    def _seen(self, shown: Sequence[str]) -> tuple[Observation, ...]:
        """What the agents of this form see: the one writer sees everybody's, in one message."""
        if not self.one_writer:
            return tuple((Message("user", text),) for text in shown)
        parts = [f"[Agent {number}]\n{text}" for number, text in enumerate(shown, 1)]
        return ((Message("user", "\n\n".join(parts)),),)

    def _require_below_ceiling(self, problem: Problem, state: EnvState) -> None:
        ceiling = self.given.bound(_seed(problem))
        if state.paid > ceiling + _TOLERANCE:
            raise ValueError(
                f"the return {state.paid} is above ceiling = {ceiling}; give from_parallel_env a higher one"
            )

    def final(self, problem: Problem, state: EnvState) -> float:
        """The mean return of the agents; while an episode goes on, what was paid so far, and at most the ceiling."""
        # Where every turn costs something, a part of an episode is paid more than the best whole one.
        return state.paid if state.over else min(state.paid, self.given.bound(_seed(problem)))

    def floor(self, problem: Problem) -> float:
        seed = _seed(problem)
        if seed not in self._floors:
            self._floors[seed] = self._unanswered(problem).paid
        return self._floors[seed]

    def _unanswered(self, problem: Problem) -> EnvState:
        """The end of an episode in which nobody answers."""
        state, nothing = EnvState(), ("",) * len(self.seats)
        with inside_task(self, problem, 0):
            live = self._stable.fresh(_seed(problem))
        while not state.over:
            with inside_task(self, problem, len(state.answers)):
                state = self._after(state, nothing, live.play(nothing, self.given.repeat))
        live.close()
        return state

    def ceiling(self, problem: Problem) -> float:
        floor, ceiling = self.floor(problem), self.given.bound(_seed(problem))
        if not ceiling > floor:
            raise ConfigError(
                f"ceiling = {ceiling} must be above {floor}, what agents that never answer earn on {problem.id}: give a "
                "higher one, another default=, or seeds= without this one."
            )
        return ceiling

    def paper_score(self, problem: Problem, state: EnvState) -> float:
        """The score: no table of the paper has this task."""
        return self.score(problem, state)

    def components(self, problem: Problem, state: EnvState) -> Mapping[str, float]:
        """The share of legal answers and, where each agent is paid its own, their returns so far."""
        parts = {"valid": state.valid / state.asked if state.asked else 1.0}
        if self.given.reward == "agent":
            own = [sum(paid) for paid in zip(*state.rewards, strict=True)] or [0.0] * len(self.seats)
            parts |= {f"return_{agent}": value for agent, value in enumerate(own)}
        return parts

    def best_plan(self, problem: Problem) -> Sequence[JointAction] | None:
        if self.given.best is None:
            return None
        plan = [list(actions) for actions in self.given.best(_seed(problem))]
        return [["\n".join(actions)] for actions in plan] if self.one_writer else plan

    def single_agent(self) -> Task:
        """One writer with a line for each agent."""
        texts = [one.agent for one in self.seats if not one.slots and one.act is None]
        if texts:
            raise NotImplementedError(
                f"the task '{self.name}' has no single-agent form (actions of {texts[0]} are texts)"
            )
        other = copy.copy(self)
        other.agents, other.one_writer, other.per_agent_rewards = 1, True, False
        return other

    def as_text(self, problem: Problem, state: EnvState) -> str:
        turns = [" ".join(f"{reward:+.3f}" for reward in paid) for paid in state.rewards]
        parts = [f"{name} {value:.3f}" for name, value in self.components(problem, state).items()]
        return "\n".join([*(f"turn {turn}: {paid}" for turn, paid in enumerate(turns)), "  ".join(parts)])


def _made(given: Given) -> ParallelEnv[Any, Any, Any]:
    """One environment, to look at. Raises TaskError for an exception in ``make_env``."""
    try:
        return parallel(given.make_env())
    except CollmError:
        raise
    except Exception as error:
        raise TaskError(f"the task '{given.name}': make_env failed: {type(error).__name__}: {error}") from error


def _seed(problem: Problem) -> int:
    assert isinstance(problem, RowProblem)
    return int(problem.row["seed"])
