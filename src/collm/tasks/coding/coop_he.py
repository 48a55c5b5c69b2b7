"""The CoopHE task: a helper function and a main function, by two agents who never see each other's code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from collm.errors import ConfigError
from collm.options import Range
from collm.sandbox import Limits
from collm.sandbox.level import FULL
from collm.tasks.coding import prompts
from collm.tasks.coding.experts import Expert, ExpertOptions
from collm.tasks.coding.judge import Diagnosis, Judge, Trial
from collm.tasks.coding.outcome import MAXIMUM, Outcome
from collm.tasks.coding.problems import AUX, CodeProblem
from collm.tasks.coding.shelf import Shelf, open_shelf
from collm.tasks.protocol import JointAction, Message, Move, Observation, Problem, Split, Start, Step, Task
from collm.tasks.sources import BadRows

Feedback = Literal["level", "plain", "passed", "level-passed", "expert"]


@dataclasses.dataclass(frozen=True)
class CoopHeOptions:
    """Options of CoopHE. Agent 1 writes the helper ``aux``, agent 2 the function that was asked for."""

    turns: Annotated[int, Range(1, 8)] = 2
    """Turn limit; each turn's program is judged alone."""
    reward: Literal["dense", "terminal"] = "dense"
    """The regret of every turn's program until one is good enough; or nothing until the last turn, and its program's
    reward."""
    profile: Literal["paper", "hardened"] = "paper"
    """Which reward trains and scores; both are always logged."""
    feedback: Feedback = "level"
    """What later observations tell: what each level found; nothing; one line in all; one line per level; or an
    expert's version."""
    solved_at: Annotated[float, Range(0, 4)] = 3.8
    """A turn worth more than this ends the episode (dense reward only)."""
    source: Literal["mini", "CoopHumanEval", "HumanEval", "MBPP"] = "mini"
    """Generated problems with disjoint splits, or a data set."""
    data: str = ""
    """A local folder, or another name on the hub, with the source's data set."""
    bad_rows: BadRows = "refuse"
    """A row of a data set that cannot be used stops the run, or is dropped and counted."""
    public_tests: Annotated[int, Range(0, 4)] = 1
    """Tests of a problem that feedback may show; the others score. At least one test scores."""
    train_size: Annotated[int, Range(1, 100_000)] = 256
    """At most this many training problems."""
    validation_size: Annotated[int, Range(1, 100_000)] = 48
    """At most this many validation problems."""
    test_size: Annotated[int, Range(1, 100_000)] = 96
    """At most this many test problems."""
    problems_seed: Annotated[int, Range(0)] = 0
    """Which generated problems are drawn; splits are disjoint whatever the seed."""
    seconds: Annotated[float, Range(0, 600, open_low=True)] = 5.0
    """Wall-clock limit of one program with all its tests."""
    cpu_seconds: Annotated[int, Range(1, 600)] = 2
    """Processor time of one program with all its tests."""
    memory_mib: Annotated[int, Range(64, 65_536)] = 256
    """Memory of one program."""
    expert: ExpertOptions = dataclasses.field(default_factory=ExpertOptions)
    """Who writes expert edits (``feedback: expert``)."""


@dataclasses.dataclass(frozen=True)
class CodeState:
    """What the last joint action came to."""

    turn: int
    outcome: Outcome
    paper: tuple[float, ...] = ()
    """The paper reward of every turn so far."""
    actions: tuple[str, ...] = ()
    """The last responses."""


class CoopHe(Task):
    """Write a function together: a helper and its user (paper: CoopHE; reference: TASKS sections 0 and 4)."""

    name: ClassVar[str] = "coop-he"
    summary: ClassVar[str] = (
        "write a Python function in two parts, a helper and its user, without seeing the other part"
    )
    Options: ClassVar[type] = CoopHeOptions
    profiles: ClassVar[tuple[str, ...]] = ("paper", "hardened")

    def __init__(self, options: CoopHeOptions | None = None, *, one_writer: bool = False) -> None:
        self.options = options = options or CoopHeOptions()
        if options.source == "mini" and options.data:
            raise ConfigError("task.data names a data set: it needs task.source = CoopHumanEval, HumanEval or MBPP.")
        if options.source == "mini" and options.bad_rows != "refuse":
            raise ConfigError(
                "task.bad_rows is about rows of a data set: it needs task.source = CoopHumanEval, HumanEval or MBPP."
            )
        self.agents = 1 if one_writer else 2
        self.turns = options.turns
        self.gamma = 0.9 if options.reward == "dense" else 1.0
        self._judge = Judge(Limits(options.seconds, options.cpu_seconds, options.memory_mib))
        self._shelf: Shelf | None = None
        self._expert = Expert(options.expert) if options.feedback == "expert" else None

    @property
    def shelf(self) -> Shelf:
        """The problems, read and verified when they are first asked for."""
        if self._shelf is None:
            options = self.options
            sizes = {"train": options.train_size, "validation": options.validation_size, "test": options.test_size}
            self._shelf = open_shelf(
                options.source,
                Judge(_verifying(self._judge.limits)),
                sizes,
                public=options.public_tests,
                seed=options.problems_seed,
                location=options.data,
                bad_rows=options.bad_rows,
            )
        return self._shelf

    def problems(self, split: Split) -> Sequence[CodeProblem]:
        return self.shelf.problems(split)

    def problem(self, text: str) -> CodeProblem:
        return self.shelf.problem(text)

    def notes(self) -> Sequence[str]:
        level = self._judge.sandbox.level
        strength = "a" if level.name == FULL else "a weak"
        return [*self.shelf.notes(), f"model-written code runs in {strength} sandbox: {level}"]

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        assert isinstance(problem, CodeProblem)
        openings = (
            [prompts.lone_opening(problem)]
            if self.agents == 1
            else [prompts.helper_opening(problem), prompts.main_opening(problem)]
        )
        observations = tuple((Message("system", prompts.SYSTEM), Message("user", text)) for text in openings)
        return Start(CodeState(0, Outcome(total=len(problem.held_out))), observations)

    def prepare(self, moves: Sequence[Move]) -> None:
        trials = [_trial(move.problem, move.actions) for move in moves]
        outcomes = self._judge.outcomes(trials)
        if self._expert is not None:
            going_on = [
                trial
                for move, trial, outcome in zip(moves, trials, outcomes, strict=True)
                if not self._ends(move.state.turn + 1, outcome)
            ]
            self._expert.edits([(trial[0], found.program) for trial, found in self._diagnosed(going_on)])

    def memory(self) -> dict[str, Any]:
        return self._judge.memory()

    def remember(self, memory: Mapping[str, Any]) -> None:
        self._judge.remember(memory)

    def _diagnosed(self, trials: Sequence[Trial]) -> list[tuple[Trial, Diagnosis]]:
        return list(zip(trials, self._judge.diagnoses(trials), strict=True))

    def step(self, problem: Problem, state: CodeState, actions: JointAction) -> Step:
        assert isinstance(problem, CodeProblem)
        trial = _trial(problem, actions)
        (outcome,) = self._judge.outcomes([trial])
        after = CodeState(state.turn + 1, outcome, (*state.paper, outcome.paper), trial[1])
        ended = self._ends(after.turn, outcome)
        observations = None if ended else self.later_observations(problem, after)
        return Step(after, observations, self._reward(problem, outcome, ended), outcome.components(), terminated=ended)

    def _reward(self, problem: CodeProblem, outcome: Outcome, ended: bool) -> float:
        worth = outcome.reward(self.options.profile)
        if self.options.reward == "dense":
            return worth - self.ceiling(problem)
        return worth if ended else 0.0

    def _ends(self, turn: int, outcome: Outcome) -> bool:
        solved = outcome.reward(self.options.profile) > self.options.solved_at
        return turn >= self.turns or (solved and self.options.reward == "dense")

    def later_observations(self, problem: CodeProblem, state: CodeState) -> tuple[Observation, ...]:
        """What each agent sees after the joint action that the state holds."""
        (found,) = self._judge.diagnoses([(problem, state.actions)])
        return tuple(self._later(problem, state.turn, found, agent) for agent in range(self.agents))

    def diagnose(self, trials: Sequence[Trial]) -> list[Diagnosis]:
        """What the tests say of joint actions, without the trials that only the hardened profile needs."""
        return self._judge.diagnoses(trials)

    def _later(self, problem: CodeProblem, turn: int, found: Diagnosis, agent: int) -> Observation:
        lines = [prompts.turn_header(turn, self.turns), self._feedback(problem, found, agent)]
        lines.append(prompts.REVISE if self.agents == 2 else prompts.REVISE_BOTH)
        return (Message("user", "\n".join(filter(None, lines))),)

    def _feedback(self, problem: CodeProblem, found: Diagnosis, agent: int) -> str:
        mode = self.options.feedback
        if mode == "level":
            return prompts.level_feedback(problem, found, about_main=agent == self.agents - 1)
        if mode == "level-passed":
            return prompts.compact_feedback(found)
        if mode == "passed":
            return prompts.passed_feedback(found)
        if self._expert is not None:
            (edit,) = self._expert.edits([(problem, found.program)])
            own = [edit.aux, edit.main] if self.agents == 2 else ["\n\n".join(filter(None, (edit.aux, edit.main)))]
            return prompts.edit_feedback(own[agent])
        return ""

    def observed_standing(self, problem: Problem, state: CodeState, agent: int) -> dict[str, float]:
        about_main = agent == self.agents - 1
        return prompts.heard(self.options.feedback, state.outcome, about_main) if state.turn else {}

    def components(self, problem: Problem, state: CodeState) -> dict[str, float]:
        return dict(state.outcome.components())

    def final(self, problem: Problem, state: CodeState) -> float:
        return state.outcome.reward(self.options.profile)

    def floor(self, problem: Problem) -> float:
        return 0.0

    def ceiling(self, problem: Problem) -> float:
        return MAXIMUM

    def paper_score(self, problem: Problem, state: CodeState) -> float:
        """The paper reward in per cent of its maximum, mean over the turns that were played."""
        return 100.0 * sum(state.paper) / (MAXIMUM * len(state.paper)) if state.paper else 0.0

    def best_plan(self, problem: Problem) -> Sequence[JointAction] | None:
        """The canonical pair of functions, where the problem has one."""
        assert isinstance(problem, CodeProblem)
        if not problem.main:
            return None
        both = [problem.aux, problem.main]
        return [both if self.agents == 2 else ["\n\n".join(both)]]

    def role(self, agent: int) -> str:
        return ("helper", "main function")[agent] if self.agents == 2 else "both functions"

    def single_agent(self) -> CoopHe:
        """One agent writes both functions in one response."""
        return CoopHe(self.options, one_writer=True)

    def as_text(self, problem: Problem, state: CodeState) -> str:
        assert isinstance(problem, CodeProblem)
        if not state.actions:
            return problem.prompt
        outcome = state.outcome
        source = self._judge.diagnoses([(problem, state.actions)])[0].program.source
        return (
            f"{source}\n# held-out tests: {outcome.passed} of {outcome.total} passed; "
            f"main {'calls' if outcome.calls_aux else 'does not call'} {AUX}"
        )


def _verifying(limits: Limits) -> Limits:
    """The limits under which problems are verified: those of the task, and at least the usual ones."""
    usual = CoopHeOptions()
    return dataclasses.replace(
        limits,
        seconds=max(limits.seconds, usual.seconds),
        cpu_seconds=max(limits.cpu_seconds, usual.cpu_seconds),
        memory_mib=max(limits.memory_mib, usual.memory_mib),
    )


def _trial(problem: Problem, actions: JointAction) -> Trial:
    assert isinstance(problem, CodeProblem)
    return problem, tuple(actions)
