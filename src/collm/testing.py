"""Checks that any task author can run on a task of their own: ``check_task(MyTask())``."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from collm.tasks.protocol import SPLITS, JointAction, Message, Problem, Start, Step, Task

_LONG = 100_000
_TOLERANCE = 1e-9


def check_task(task: Task, problems_per_split: int = 8) -> None:
    """Check that a task keeps the contract of ``collm.tasks.protocol.Task``.

    For the first ``problems_per_split`` problems of every split it plays empty actions, the best plan (if the
    task has one), the best plan without each agent, and malformed actions, and checks that

    * the splits are the same every time, without duplicates, and train shares no problem with the other two;
    * ``reset`` and ``step`` are pure: equal results when asked again, at once or later and in another order,
      and no argument is changed;
    * observations, rewards, components and what ``standing`` and ``observed_standing`` tell have the promised shapes and
      are finite;
    * an episode ends after at most ``turns`` turns, and has observations exactly as long as it goes on;
    * the floor lies below the ceiling and no final above it; empty actions score 0, the best plan scores 100;
    * no action text, however malformed, raises;
    * what ``memory`` gives is plain JSON, and the same again after ``remember``.

    The single-agent form, where the task has one, is checked in the same way.

    Raises:
        AssertionError: naming the task, the problem and the turn of the first violation.
    """
    _check_form(task, problems_per_split)
    try:
        single = task.single_agent()
    except NotImplementedError:
        return
    here = _Place(single, form="single-agent form")
    here.require(single.agents == 1, f"has {single.agents} agents, not 1")
    for split in SPLITS:
        same = [p.id for p in single.problems(split)] == [p.id for p in task.problems(split)]
        here.require(same, f"has other {split} problems than the task")
    _check_form(single, problems_per_split, "single-agent form")


def malformed_actions(prompt: str = "", valid: str = "") -> dict[str, str]:
    """Texts that a language model may well write and no task may fall over, by name.

    ``prompt`` is echoed; ``valid`` (a proper action) is fenced, repeated and cut.
    """
    noise = np.random.Generator(np.random.Philox(7)).integers(0, 256, 2000, dtype=np.uint8).tobytes()
    return {
        "whitespace": " \t\r\n\u00a0\u2028\v\f",
        "long word": "a" * _LONG,
        "long digits": "9" * _LONG,
        "many lines": "-\n" * 2_000,
        "repeated action": f"{valid}\n" * 20,
        "cut action": valid[: len(valid) // 2],
        "unicode": "Ünïcödé 漢字 العربية ١٢٣ ²½ ｆｕｌｌ 🧱🏠👩‍👩‍👧 \u202eabc\u202c e\u0301 İıß\ufeff\ufffd",
        "control characters": "".join(map(chr, range(32))) + "\x7f\x85\x1b[31m",
        "NUL": f"{valid[:10]}\x00{valid[10:]}\x00",
        "fence": f"```\n{valid}\n```",
        "open fence": f"```python\n{valid}",
        "fences": "``` ``` ```````\n```",
        "random bytes": noise.decode("latin-1"),
        "prompt echo": prompt,
        "markup": '<think>\n{"a": [1, {"b": null}]} </think><|im_end|>\n%s %d {0} {x!r} \\ \' "',
    }


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where the check is, for the message."""

    task: Task
    form: str = ""
    problem: Problem | None = None
    turn: int | None = None
    tried: str = ""

    def __str__(self) -> str:
        parts = [f"task '{self.task.name}'", self.form]
        parts.append("" if self.problem is None else f"problem '{self.problem.id}'")
        parts += ["" if self.turn is None else f"turn {self.turn}", self.tried and f"trying {self.tried}"]
        return ", ".join(part for part in parts if part)

    def at(self, **changes: Any) -> _Place:
        return dataclasses.replace(self, **changes)

    def require(self, holds: bool, message: str) -> None:
        if not holds:
            raise AssertionError(f"{self}: {message}.")

    @contextlib.contextmanager
    def calling(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise AssertionError(f"{self}: {name} raised {type(error).__name__}: {error}") from error


@dataclasses.dataclass(frozen=True)
class _Taken:
    """A step that was taken, kept to be asked for again."""

    place: _Place
    problem: Problem
    before: Any
    actions: JointAction
    step: Step
    final: float


def _check_form(task: Task, problems_per_split: int, form: str = "") -> None:
    place = _Place(task, form)
    place.require(task.agents >= 1, f"agents = {task.agents}, at least 1 is needed")
    place.require(task.turns >= 1, f"turns = {task.turns}, at least 1 is needed")
    chosen = _checked_splits(place, problems_per_split)
    taken: list[_Taken] = []
    for problem in chosen:
        taken += _check_problem(place.at(problem=problem), problem)
    _check_memory(place)
    for old in reversed(taken):
        _check_again(old)


def _checked_splits(place: _Place, problems_per_split: int) -> list[Problem]:
    """The problems to play, after a look at all of them."""
    ids: dict[str, list[str]] = {}
    chosen: dict[str, Problem] = {}
    for split in SPLITS:
        with place.calling(f"problems('{split}')"):
            problems, again = list(place.task.problems(split)), list(place.task.problems(split))
        place.require(bool(problems), f"the split '{split}' is empty")
        place.require(_same(problems, again), f"problems('{split}') differs when asked again")
        ids[split] = [problem.id for problem in problems]
        twice = sorted({name for name in ids[split] if ids[split].count(name) > 1}) if _repeats(ids[split]) else []
        place.require(not twice, f"the split '{split}' has problems twice: {twice[:5]}")
        chosen.update({problem.id: problem for problem in problems[:problems_per_split]})
    for one, other in itertools.combinations(SPLITS, 2):
        # A task with few problems may validate and test on one and the same list.
        shared = sorted(set(ids[one]) & set(ids[other]))
        allowed = one != "train" and ids[one] == ids[other]
        place.require(allowed or not shared, f"the splits '{one}' and '{other}' share problems: {shared[:5]}")
    return list(chosen.values())


def _repeats(names: Sequence[str]) -> bool:
    return len(set(names)) < len(names)


def _check_problem(place: _Place, problem: Problem) -> list[_Taken]:
    task = place.task
    with place.calling("floor or ceiling"):
        floor, ceiling = task.floor(problem), task.ceiling(problem)
    place.require(_is_finite(floor) and _is_finite(ceiling), f"floor {floor} or ceiling {ceiling} is not finite")
    place.require(ceiling > floor, f"the ceiling {ceiling} is not above the floor {floor}")
    start = _checked_start(place, problem)
    with place.calling("best_plan"):
        plan = task.best_plan(problem)
    taken = _check_empty(place, problem, start)
    if plan is not None:
        taken += _check_plan(place, problem, start, plan)
    return taken + _check_malformed(place, problem, start, plan)


def _checked_start(place: _Place, problem: Problem) -> Start:
    place = place.at(turn=0)
    kept = copy.deepcopy(problem)
    for seed in (1, 0):
        with place.calling(f"reset(seed={seed})"):
            start, again = place.task.reset(problem, seed), place.task.reset(problem, seed)
        place.require(_same(start, again), f"reset(seed={seed}) differs when called again")
        place.require(_same(kept, problem), "reset changed the problem")
        _check_observations(place, start.observations, first=True)
        with place.calling("standing"):
            standing = place.task.standing(problem, start.state)
        _check_named(place, "standing", standing)
        _check_observed(place, problem, start.state)
    return start


def _check_observed(place: _Place, problem: Problem, state: Any) -> None:
    for agent in range(place.task.agents):
        with place.calling("observed_standing"):
            told = place.task.observed_standing(problem, state, agent)
        _check_named(place, f"observed_standing of agent {agent}:", told)


def _check_observations(place: _Place, observations: object, first: bool) -> None:
    agents = place.task.agents
    place.require(isinstance(observations, tuple), f"observations are {type(observations).__name__}, not a tuple")
    assert isinstance(observations, tuple)
    place.require(len(observations) == agents, f"{len(observations)} observations for {agents} agents")
    for agent, observation in enumerate(observations):
        who = f"the observation of agent {agent}"
        place.require(isinstance(observation, tuple), f"{who} is {type(observation).__name__}, not a tuple")
        place.require(bool(observation) or not first, f"{who} is empty")
        for message in observation:
            place.require(isinstance(message, Message), f"{who} holds {type(message).__name__}, not Message")
            place.require(isinstance(message.content, str), f"{who} has a message whose content is not text")
            roles = ("system", "user") if first else ("user",)
            place.require(message.role in roles, f"{who} has role '{message.role}'; allowed: {', '.join(roles)}")


def _play(place: _Place, problem: Problem, start: Start, plan: Sequence[JointAction]) -> list[_Taken]:
    """The checked steps of given joint actions, until they run out or the episode ends."""
    state, taken = start.state, []
    for turn, actions in enumerate(plan):
        taken.append(_checked_step(place.at(turn=turn), problem, state, actions))
        state = taken[-1].step.state
        if taken[-1].step.ended:
            break
    return taken


def _checked_step(place: _Place, problem: Problem, state: Any, actions: JointAction) -> _Taken:
    task = place.task
    kept = copy.deepcopy((problem, state, list(actions)))
    with place.calling("step"):
        step = task.step(problem, state, actions)
    place.require(_same(kept, (problem, state, list(actions))), "step changed its problem, state or actions")
    with place.calling("step"):
        again = task.step(problem, state, actions)
    place.require(_same(step, again), "step differs when called again with the same arguments")
    _check_step(place, step)
    kept_after = copy.deepcopy(step.state)
    with place.calling("final, score, paper_score, components or standing"):
        final = task.final(problem, step.state)
        numbers = [final, task.score(problem, step.state), task.paper_score(problem, step.state)]
        parts, standing = task.components(problem, step.state), task.standing(problem, step.state)
    place.require(all(map(_is_finite, numbers)), f"final, score or paper_score is not finite: {numbers}")
    _check_named(place, "component", parts)
    _check_named(place, "standing", standing)
    _check_observed(place, problem, step.state)
    place.require(
        _same(kept_after, step.state),
        "final, score, paper_score, components, standing or observed_standing changed the state",
    )
    ceiling = task.ceiling(problem)
    place.require(final <= ceiling + _TOLERANCE, f"the final {final} exceeds the ceiling {ceiling}")
    return _Taken(place, problem, state, list(actions), step, final)


def _check_step(place: _Place, step: Step) -> None:
    task = place.task
    if task.per_agent_rewards:
        shaped = isinstance(step.reward, tuple) and len(step.reward) == task.agents
        place.require(shaped, f"the reward {step.reward!r} is not a tuple of {task.agents} numbers")
    else:
        place.require(not isinstance(step.reward, tuple), "a reward per agent needs per_agent_rewards = True")
    rewards = step.reward if isinstance(step.reward, tuple) else (step.reward,)
    place.require(all(map(_is_finite, rewards)), f"the reward {step.reward!r} is not a finite number")
    _check_named(place, "component", step.components)
    last = place.turn == task.turns - 1
    place.require(step.ended or not last, f"the episode goes on after its last turn (turns = {task.turns})")
    if step.terminated:
        place.require(step.observations is None, "a terminated episode still has observations")
    else:
        place.require(step.observations is not None, "the episode goes on, or was cut, without observations")
        _check_observations(place, step.observations, first=False)


def _check_named(place: _Place, kind: str, found: object) -> None:
    place.require(isinstance(found, Mapping), f"{kind}: {found!r:.80} is not a mapping")
    assert isinstance(found, Mapping)
    for name, value in found.items():
        place.require(isinstance(name, str) and _is_finite(value), f"{kind} {name!r} = {value!r} is not finite")


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_empty(place: _Place, problem: Problem, start: Start) -> list[_Taken]:
    """Doing nothing to the end is worth the floor."""
    task, place = place.task, place.at(tried="empty actions")
    empty = [task.empty_action(agent) for agent in range(task.agents)]
    place.require(all(isinstance(action, str) for action in empty), "empty_action is not text")
    taken = _play(place, problem, start, [empty] * task.turns)
    last, floor = taken[-1], task.floor(problem)
    place.require(abs(last.final - floor) <= _TOLERANCE, f"the final is {last.final}, the floor {floor}")
    score = task.score(problem, last.step.state)
    place.require(abs(score) <= 100 * _TOLERANCE, f"the score is {score}, not 0")
    return taken


def _check_plan(place: _Place, problem: Problem, start: Start, plan: Sequence[JointAction]) -> list[_Taken]:
    """The best plan is worth the ceiling, and an agent less never makes it worth more."""
    task, best = place.task, place.at(tried="the best plan")
    best.require(0 < len(plan) <= task.turns, f"it has {len(plan)} turns, allowed: 1 to {task.turns}")
    for actions in plan:
        shaped = len(actions) == task.agents and all(isinstance(action, str) for action in actions)
        best.require(shaped, f"a joint action is not {task.agents} texts")
    taken = _play(best, problem, start, plan)
    last, ceiling = taken[-1], task.ceiling(problem)
    best.require(abs(last.final - ceiling) <= _TOLERANCE, f"the final is {last.final}, the ceiling {ceiling}")
    score = task.score(problem, last.step.state)
    best.require(abs(score - 100) <= 100 * _TOLERANCE, f"the score is {score}, not 100")
    for idle in range(task.agents):
        partial = [[task.empty_action(i) if i == idle else a for i, a in enumerate(acts)] for acts in plan]
        taken += _play(place.at(tried=f"the best plan without agent {idle}"), problem, start, partial)
    return taken


def _check_malformed(place: _Place, problem: Problem, start: Start, plan: Sequence[JointAction] | None) -> list[_Taken]:
    """Each malformed text from all agents at once, and an episode in which everybody writes another one."""
    task = place.task
    prompt = "\n".join(message.content for message in start.observations[0])
    texts = malformed_actions(prompt, plan[0][0] if plan else "")
    taken = []
    for name, text in texts.items():
        taken += _play(place.at(tried=f"malformed action '{name}'"), problem, start, [[text] * task.agents])
    cycle = itertools.cycle(texts.values())
    mixed = [list(itertools.islice(cycle, task.agents)) for _ in range(task.turns)]
    return taken + _play(place.at(tried="mixed malformed actions"), problem, start, mixed)


def _check_again(old: _Taken) -> None:
    """The same step and final, after everything else and in the opposite order."""
    with old.place.calling("step"):
        step = old.place.task.step(old.problem, old.before, old.actions)
        final = old.place.task.final(old.problem, old.step.state)
    old.place.require(_same(step, old.step), "step gives another result when called later")
    old.place.require(_same(final, old.final), "final gives another result when called later")


def _check_memory(place: _Place) -> None:
    """What checkpoints keep of the task comes back as it was."""
    with place.calling("memory"):
        memory = place.task.memory()
    if memory is None:
        return
    with place.calling("memory, as JSON,"):
        plain = json.loads(json.dumps(memory))
    with place.calling("remember"):
        place.task.remember(plain)
        again = json.loads(json.dumps(place.task.memory()))
    place.require(_same(again, plain), "memory differs from what remember was given")


def _same(a: Any, b: Any) -> bool:
    """Equality by value, all the way down, also of arrays and of objects without an ``==`` of their own."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if dataclasses.is_dataclass(a):
        return all(_same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    equality: Any = type(a).__eq__
    if equality is not object.__eq__:
        return bool(a == b)
    return _same(_contents(a), _contents(b))


def _contents(value: object) -> list[Any]:
    """What pickling would keep of an object: its class, its attributes, its items."""
    parts = value.__reduce_ex__(4)
    if isinstance(parts, str):
        return [parts]
    return [part if index < 3 or part is None else list(part) for index, part in enumerate(parts[:5])]
