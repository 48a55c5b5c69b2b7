"""Noisy CoopHE demonstrations: what a crowd of programmers who never met would write.

Every programmer knows the language and has habits of its own, drawn once per episode: what a helper is given, in which
order, whether a helper is used at all, how much care is taken. Nobody in the crowd agrees with anybody on what the
helper gets and returns: agreeing is what reinforcement has to teach. The embedded models are
pretrained on this crowd.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from collm.randomness import pick
from collm.tasks.coding import mini, programs
from collm.tasks.coding.coop_he import CodeState, CoopHe, CoopHeOptions
from collm.tasks.coding.judge import Diagnosis
from collm.tasks.coding.mini import Composition
from collm.tasks.coding.problems import CodeProblem
from collm.tasks.coding.programs import Convention
from collm.tasks.protocol import Conversation, Observation

Role = Literal["aux", "main", "both"]

HELPERS: Mapping[str, float] = {"item": 0.44, "list": 0.36, "all": 0.2}
"""What a helper does: one item, all items, or the whole problem."""
MAINS: Mapping[str, float] = {"steps": 0.46, "line": 0.2, "alone": 0.2, "wrapper": 0.08, "dead": 0.06}
"""How the main function is written: in steps, in one line, without the helper, as a bare call of it, or with a call
whose result is thrown away."""
WAYS: Mapping[str, float] = {"item": 0.6, "list": 0.4}
"""What a main function gives to the helper."""
SWAPPED = 0.35
"""Share of programmers that put the parameter or the item first, where there are two."""
FLAWS: Mapping[str, float] = {
    "none": 0.53,
    "near miss": 0.13,
    "no return": 0.12,
    "broken": 0.09,
    "other name": 0.06,
    "no function": 0.07,
}
"""What goes wrong with a function; a near miss is a common mistake in its expression."""
DRESSED = 0.14
"""Share of responses with a fence or a sentence around the code, which do no harm."""
HEEDED = 0.7
"""How often a programmer mends a flaw that the feedback names."""
RETHOUGHT = 0.5
"""How often a programmer changes its ways after a failed test."""
SINGLE = 0.06
"""Share of episodes in which one programmer writes both functions."""
LATER = 0.3
"""Share of episodes with feedback and a second turn."""
_BATCH = 48


@dataclasses.dataclass(frozen=True)
class Habits:
    """One programmer's habits for one episode."""

    helper: str
    main: str
    way: Convention
    swapped: bool
    flaw: str
    slip: int
    """Which of the common mistakes a near miss is."""
    dress: str


def draw_habits(random: np.random.Generator) -> Habits:
    """A programmer from the crowd."""
    dressed = random.random() < DRESSED
    return Habits(
        helper=pick(random, HELPERS),
        main=pick(random, MAINS),
        way=pick(random, WAYS),  # type: ignore[arg-type]
        swapped=bool(random.random() < SWAPPED),
        flaw=pick(random, FLAWS),
        slip=int(random.integers(6)),
        dress=str(random.choice(["fence", "sentence"])) if dressed else "",
    )


def write(one: Composition, habits: Habits, role: Role) -> str:
    """The response of a programmer with these habits."""
    if habits.flaw == "no function":
        return "I would loop over xs." if role == "aux" else "First call aux, then return the result."
    if role == "both":
        code = f"{_flawed(_aux(one, habits), habits)}\n\n{_main(one, dataclasses.replace(habits, flaw='none'))}"
    else:
        code = _flawed(_aux(one, habits) if role == "aux" else _main(one, habits), habits)
    if habits.dress == "fence":
        return f"```python\n{code}\n```"
    return f"Here is the code:\n{code}" if habits.dress else code


def _aux(one: Composition, habits: Habits) -> str:
    """The helper, as asked for by its author's habits."""
    step = one.step
    expression = step.near[habits.slip % len(step.near)] if habits.flaw == "near miss" else step.expression
    if habits.helper == "all":
        wrong = dataclasses.replace(step, expression=expression)
        return programs.body(wrong, programs.AUX, None, one.finish.expression)
    convention: Convention = "item" if habits.helper == "item" else "list"
    return programs.aux(step, convention, habits.swapped, expression)


def _main(one: Composition, habits: Habits) -> str:
    """The main function, as its author's habits have it."""
    step, finish, name = one.step, one.finish.expression, one.finish.name
    if habits.flaw == "near miss":
        finish = one.finish.near[habits.slip % len(one.finish.near)]
    call = f"{programs.AUX}({programs.parameters(step)})"
    if habits.main == "wrapper":
        return f"def {name}({programs.parameters(step)}):\n    return {call}"
    if habits.main == "alone":
        return programs.body(step, name, None, finish)
    if habits.main == "dead":
        head, body = programs.body(step, name, None, finish).split("\n", 1)
        return f"{head}\n    {call}\n{body}"
    way: Convention = habits.way
    if habits.main == "line" and not (step.verb == "fold" and way == "item"):
        return programs.one_line(step, name, way, finish, habits.swapped)
    return programs.body(step, name, way, finish, habits.swapped)


def _flawed(code: str, habits: Habits) -> str:
    head, _, last = code.rpartition("    return ")
    if habits.flaw == "no return":
        return f"{head}    print({last})"
    if habits.flaw == "broken":
        return code.replace("):\n", ")\n", 1)
    if habits.flaw == "other name":
        return f"def helper({code.partition('(')[2]}"
    return code


def reconsidered(habits: Habits, found: Diagnosis, role: Role, random: np.random.Generator) -> Habits:
    """The habits with which a programmer answers feedback."""
    outcome = found.outcome
    returns = {"aux": outcome.aux_returns, "main": outcome.main_returns}
    fine = all(returns.values()) if role == "both" else returns[role]
    if habits.flaw not in ("none", "near miss") and not (fine and outcome.parses):
        return dataclasses.replace(habits, flaw="none") if random.random() < HEEDED else habits
    if outcome.public_passed < outcome.public_total and random.random() < RETHOUGHT:
        other = draw_habits(random)
        return dataclasses.replace(other, flaw="none" if habits.flaw == "near miss" else habits.flaw)
    if role != "aux" and (outcome.thin or not outcome.calls_aux) and random.random() < RETHOUGHT:
        return dataclasses.replace(habits, main="steps")
    return habits


@dataclasses.dataclass
class Episode:
    """One episode of the crowd."""

    task: CoopHe
    problem: CodeProblem
    habits: list[Habits]
    conversations: list[Conversation] = dataclasses.field(default_factory=list)

    @property
    def roles(self) -> tuple[Role, ...]:
        return ("both",) if self.task.agents == 1 else ("aux", "main")

    @property
    def said(self) -> tuple[str, ...]:
        """The joint action of the last turn."""
        return tuple(conversation[-1][1] for conversation in self.conversations)

    def act(self, observations: Sequence[Observation]) -> None:
        """One turn: everybody answers."""
        self.conversations = self.conversations or [[] for _ in self.roles]
        one = mini.compositions()[self.problem.id]
        for conversation, observation, habits, role in zip(
            self.conversations, observations, self.habits, self.roles, strict=True
        ):
            conversation.append((observation, write(one, habits, role)))


def begin(task: CoopHe, problem: CodeProblem, random: np.random.Generator) -> Episode:
    """An episode after its first turn."""
    episode = Episode(task, problem, [draw_habits(random) for _ in range(task.agents)])
    episode.act(task.reset(problem).observations)
    return episode


def go_on(episode: Episode, found: Diagnosis, random: np.random.Generator) -> None:
    """The second turn, unless the first one solved the problem."""
    task = episode.task
    if found.outcome.paper > task.options.solved_at:
        return
    state = CodeState(1, found.outcome, (found.outcome.paper,), episode.said)
    episode.habits = [
        reconsidered(habits, found, role, random) for habits, role in zip(episode.habits, episode.roles, strict=True)
    ]
    episode.act(task.later_observations(episode.problem, state))


def stream(random: np.random.Generator) -> Iterator[Conversation]:
    """An endless stream of conversations over every form of the task, on training problems only.

    Most episodes end after their first turn; the programs of the others are run in the sandbox, batch by batch, for
    the feedback that the second turn answers.
    """
    ids = mini.chosen("train", len(mini.compositions()), 0)
    tasks = {mode: CoopHe(CoopHeOptions(feedback=mode)) for mode in ("level", "plain", "passed", "level-passed")}
    singles = {mode: task.single_agent() for mode, task in tasks.items()}
    judging = tasks["level"]
    while True:
        episodes = []
        for _ in range(_BATCH):
            mode = str(random.choice(list(tasks), p=[0.85, 0.05, 0.05, 0.05]))
            task = (singles if random.random() < SINGLE else tasks)[mode]
            problem = mini.posed(str(random.choice(ids)), task.options.public_tests)
            episodes.append(begin(task, problem, random))
        later = [episode for episode in episodes if random.random() < LATER]
        found = judging.diagnose([(episode.problem, episode.said) for episode in later])
        for episode, diagnosis in zip(later, found, strict=True):
            go_on(episode, diagnosis, random)
        for episode in episodes:
            yield from episode.conversations
