"""Generated problems: every verb, step and finish that fit together make one; splits share parts but no composition."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from collm.randomness import generator
from collm.tasks.coding import programs
from collm.tasks.coding.parts import Finish, Step, finishes, steps
from collm.tasks.coding.problems import Case, CodeProblem
from collm.tasks.coding.values import same
from collm.tasks.protocol import Split
from collm.tasks.splits import split_of

TESTS = 5
"""Tests of a generated problem, the public ones included."""
_CANDIDATES = 112
_SIZES = {"count": (4, 9), "distinct": (4, 9)}
"""Least and most items where the answer is a number of items; elsewhere lists are shorter."""
_NUMBERS = range(-29, 50)
_WORD_LIST = (
    "ada ant apple area axes bees blurb bob cat civic cod deed dogs egg eye fig fox gas hat ice ink jam "
    "kayak kite lamp level map moss noon oak otter owls pan pop queen radar rose sun toys tree trust "
    "umbra van wow yaks zebra"
)
_WORDS = tuple(_WORD_LIST.split())

_Value = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Composition:
    """A step and a finish: one problem."""

    step: Step
    finish: Finish

    @property
    def id(self) -> str:
        return f"{self.step.verb}-{self.step.name}-{self.finish.name.replace('_', '-')}"

    @property
    def split(self) -> Split:
        """The split that it belongs to, whatever the seed or size: three, one and one fifths of all compositions."""
        return split_of("coop-he", self.id)


@functools.cache
def compositions() -> dict[str, Composition]:
    """All compositions by id."""
    made = (Composition(step, finish) for step in steps() for finish in finishes(step))
    return {one.id: one for one in made}


@functools.cache
def chosen(split: Split, count: int, seed: int) -> tuple[str, ...]:
    """Up to ``count`` ids of a split, in an order that depends on the seed."""
    ids = [id for id, one in compositions().items() if one.split == split]
    order = generator("coop-he problems", split, seed).permutation(len(ids))
    return tuple(ids[index] for index in order[:count])


@functools.cache
def posed(id: str, public: int) -> CodeProblem:
    """The problem of a composition, with its first ``public`` tests shown to the agents."""
    one = compositions()[id]
    step, finish = one.step, one.finish
    cases = _cases(one)
    shown = "".join(f"    >>> {case.text.partition(' == ')[0]}\n    {case.expected!r}\n" for case in cases[:1])
    return CodeProblem(
        id=id,
        entry_point=finish.name,
        prompt=(
            f"def {finish.name}({programs.parameters(step)}):\n"
            f'    """{step.phrase}\n    {finish.phrase}\n{shown}    """'
        ),
        public=cases[:public],
        held_out=cases[public:],
        aux=programs.aux(step, "item"),
        main=programs.body(step, finish.name, "item", finish.expression),
    )


@functools.cache
def _cases(one: Composition) -> tuple[Case, ...]:
    """The tests: of many inputs those that tell most mistakes from the answer; the shortest comes first."""
    random = generator("coop-he tests", one.id)
    drawn = [_arguments(one, random) for _ in range(_CANDIDATES)]
    told = [(arguments, _told_apart(one, arguments)) for arguments in drawn]
    waiting = [(arguments, kills) for arguments, kills in told if kills is not None]
    found: list[Case] = []
    covered: frozenset[int] = frozenset()
    while waiting and len(found) < TESTS:
        best = max(waiting, key=functools.partial(_worth, covered))
        arguments, kills = best
        covered = covered | kills if kills - covered else kills
        found.append(_case(one, arguments))
        waiting = [drawn for drawn in waiting if _apart(one, arguments, drawn[0])]
    cases = sorted(found, key=lambda case: len(case.text))
    return tuple(dataclasses.replace(case, index=index) for index, case in enumerate(cases))


def _worth(covered: frozenset[int], drawn: tuple[tuple[Any, ...], frozenset[int]]) -> tuple[int, int]:
    """How much an input adds to those that were taken: mistakes not told apart before, mistakes at all."""
    return len(drawn[1] - covered), len(drawn[1])


def _apart(one: Composition, first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    """Whether no constant answer, no constant helper and no count of the items passes on both inputs."""
    right = [_answer(one.step.expression, one.finish.expression, one.step, each) for each in (first, second)]
    if same(*right):
        return False
    for less in (0, 1):
        if all(same(len(each[0]) - less, value) for each, value in zip((first, second), right, strict=True)):
            return False
    held = [_held(one, _first_item(one.step, given), used) for given, used in ((second, first), (first, second))]
    return not any(same(found, value) for found, value in zip(held, right, strict=True))


def _first_item(step: Step, arguments: tuple[Any, ...]) -> Any:
    """What the helper makes of the first item."""
    return _try(_function(step.expression), x=arguments[0][0], n=arguments[-1], a=0)


def _held(one: Composition, value: Any, arguments: tuple[Any, ...]) -> Any:
    """The result for a helper that makes the same value of every item; nothing where no input tells it apart."""
    if one.step.verb in ("keep", "sort"):
        return None
    made = value if one.step.verb == "fold" else [value] * len(arguments[0])
    return _finished(one.finish.expression, one.step, made)


def _case(one: Composition, arguments: tuple[Any, ...]) -> Case:
    expected = _answer(one.step.expression, one.finish.expression, one.step, arguments)
    return Case(f"{one.finish.name}({', '.join(map(repr, arguments))}) == {expected!r}", arguments, expected)


def _arguments(one: Composition, random: np.random.Generator) -> tuple[Any, ...]:
    """A random input; of a list to be filtered many items are kept, and common mistakes differ on others."""
    step = one.step
    n = int(random.integers(2, 10))
    kept, contested, pool = _pools(step, n if step.parameter else 0)
    least, most = _SIZES.get(one.finish.name, (3, 5) if step.verb != "keep" else (4, 6))
    size = int(random.integers(least, most + 1))
    items = []
    for chance in random.random(size):
        source = kept if chance < 0.45 or not contested else pool
        if contested and 0.45 <= chance < 0.85:
            source = contested[int(random.integers(len(contested)))]
        items.append(source[int(random.integers(len(source)))])
    if step.verb == "map" and random.random() < 0.3:
        items[-1] = items[0]
    return (items, n) if step.parameter else (items,)


@functools.cache
def _pools(step: Step, n: int) -> tuple[list[Any], list[list[Any]], list[Any]]:
    """Items that the step keeps, items on which each common mistake differs, and all items."""
    pool: list[Any] = list(_NUMBERS) if step.items == "numbers" else list(_WORDS)
    if step.verb == "fold":
        return list(range(-9, 10)), [], pool
    if step.verb != "keep":
        return pool, [], pool
    right = {item: bool(_function(step.expression)(x=item, n=n)) for item in pool}
    contested = [
        [item for item in pool if bool(_try(_function(near), x=item, n=n)) != right[item]] for near in step.near
    ]
    return [item for item in pool if right[item]], [items for items in contested if items], pool


def _told_apart(one: Composition, arguments: tuple[Any, ...]) -> frozenset[int] | None:
    """Which mistakes this input tells from the answer; None if it is ambiguous, or a helper could be left out."""
    step, finish = one.step, one.finish
    expected = _answer(step.expression, finish.expression, step, arguments)
    if expected is None or expected in ([], "", 0) or not _unambiguous(one, arguments):
        return None
    useless = [_finished(finish.expression, step, made) for made in (*_stubs(step, arguments), arguments[0])]
    useless += [
        _stepped(step.expression, step, arguments),
        _first_item(step, arguments),
        _try(_function(step.expression), x=arguments[0], n=arguments[-1]),
    ]
    if any(same(value, expected) for value in useless):
        return None
    wrong = [_answer(near, finish.expression, step, arguments) for near in step.near]
    wrong += [_answer(step.expression, near, step, arguments) for near in finish.near]
    return frozenset(index for index, value in enumerate(wrong) if not same(value, expected))


def _stubs(step: Step, arguments: tuple[Any, ...]) -> list[Any]:
    """What the main function has in hand when the helper returns nothing, or what it was given first."""
    items, n = arguments[0], arguments[-1]
    if step.verb == "fold":
        return [None, 0, items[-1]]
    if step.verb == "keep":
        return [[], [item for item in items if item], n]
    if step.verb == "sort":
        return [sorted(items)]
    return [[None] * len(items), [n] * len(items), n]


def _unambiguous(one: Composition, arguments: tuple[Any, ...]) -> bool:
    """Whether ties do not matter."""
    if one.step.verb == "sort":
        keys = [_function(one.step.expression)(x=item) for item in arguments[0]]
        return len(set(keys)) == len(keys)
    if one.step.name == "farthest":
        return len({abs(item) for item in arguments[0]}) == len(arguments[0])
    if one.finish.name == "longest":
        sizes = [len(item) for item in _stepped(one.step.expression, one.step, arguments)]
        return bool(sizes) and sizes.count(max(sizes)) == 1
    return True


def _answer(step_expression: str, finish_expression: str, step: Step, arguments: tuple[Any, ...]) -> Any:
    """The result for these expressions; None where they fail."""
    made = _stepped(step_expression, step, arguments)
    return None if made is None else _finished(finish_expression, step, made)


def _stepped(expression: str, step: Step, arguments: tuple[Any, ...]) -> Any:
    """What the helper's part makes of the input; None where it fails."""
    each = _function(expression)
    items = arguments[0]
    n = arguments[-1]
    try:
        if step.verb == "keep":
            return [item for item in items if each(x=item, n=n)]
        if step.verb == "map":
            return [each(x=item, n=n) for item in items]
        if step.verb == "sort":
            return sorted(items, key=lambda item: each(x=item, n=n))
        value: Any = 0
        for item in items:
            value = each(a=value, x=item)
        return value
    except (ArithmeticError, TypeError, ValueError, IndexError):
        return None


def _finished(expression: str, step: Step, made: Any) -> Any:
    return _try(_function(expression), **{"a" if step.verb == "fold" else "ys": made})


def _try(function: _Value, **values: Any) -> Any:
    try:
        return function(**values)
    except (ArithmeticError, TypeError, ValueError, IndexError, AttributeError):
        return None


@functools.cache
def _function(expression: str) -> _Value:
    """An expression of the parts as a function of the names in it. It is our own source, never a model's."""
    return eval(f"lambda x=None, n=None, a=None, ys=None: {expression}")
