"""The parts of the generated problems: what a helper decides or computes, and what the main function makes of it.

A problem is a *verb* (keep some items, replace each, sort by a key, fold), a *step* (the helper's job) and a *finish*
(what is returned). Any two problems share parts, and no two problems are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal

Verb = Literal["keep", "map", "sort", "fold"]
Items = Literal["numbers", "words"]


@dataclasses.dataclass(frozen=True)
class Step:
    """The helper's job on one item ``x`` (a fold also has the value so far, ``a``; some steps have the parameter ``n``)."""

    verb: Verb
    items: Items
    name: str
    phrase: str
    """The sentence of the docstring."""
    expression: str
    near: tuple[str, ...]
    """Expressions of common mistakes."""
    yields: Items = "numbers"
    """What it makes of an item (``map``)."""
    parameter: bool = False
    """Whether the main function gets ``n`` besides the items."""


@dataclasses.dataclass(frozen=True)
class Finish:
    """What the main function returns of the list ``ys`` (of a fold: of the value ``a``)."""

    name: str
    """The name of the function."""
    phrase: str
    expression: str
    near: tuple[str, ...]


_KEEP_NUMBERS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "even": ("the even numbers", "x % 2 == 0", ("x % 2 == 1", "x % 2", "x % 4 == 0")),
    "odd": ("the odd numbers", "x % 2 == 1", ("x % 2 == 0", "x % 4 == 1")),
    "positive": ("the positive numbers", "x > 0", ("x < 0", "x >= 0", "True")),
    "negative": ("the negative numbers", "x < 0", ("x > 0", "x <= 0", "True")),
    "one-digit": ("the numbers with one digit", "len(str(abs(x))) == 1", ("len(str(x)) == 1", "abs(x) < 9", "x > 9")),
    "round": ("the numbers that end in zero", "x % 10 == 0", ("x % 5 == 0", "x % 10 == 1", "x % 2 == 0")),
    "squares": ("the square numbers", "int(abs(x) ** 0.5) ** 2 == x", ("x % 2 == 0", "x > 0", "x ** 2 == x")),
    "mirrored": ("the numbers that read the same backwards", "str(x) == str(x)[::-1]", ("x > 0", "len(str(x)) == 1")),
}
_MAP_NUMBERS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "square": ("its square", "x * x", ("x + x", "x * x * x")),
    "double": ("its double", "x + x", ("x * x", "x")),
    "negation": ("its negation", "-x", ("x", "abs(x)")),
    "half": ("its half, rounded down", "x // 2", ("x / 2", "x % 2")),
    "size": ("its absolute value", "abs(x)", ("x", "-x")),
    "last-digit": ("its last digit", "abs(x) % 10", ("x // 10", "abs(x) % 2")),
    "digit-sum": ("the sum of its digits", "sum(map(int, str(abs(x))))", ("len(str(abs(x)))", "abs(x) % 10")),
}
_KEEP_WORDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "vowel": ("the words that start with a vowel", 'x[0] in "aeiou"', ('x[-1] in "aeiou"', 'x[0] not in "aeiou"')),
    "plural": ("the words that end with s", 'x[-1] == "s"', ('x[0] == "s"', 'x[-1] != "s"')),
    "palindromes": ("the words that read the same backwards", "x == x[::-1]", ("x != x[::-1]", "x[0] == x[-1]")),
    "with-a": ("the words that contain a", '"a" in x', ('"a" not in x', 'x[0] == "a"')),
    "twice": ("the words with a letter twice", "len(set(x)) < len(x)", ("len(set(x)) == len(x)", "x[0] == x[-1]")),
    "short": ("the words of at most four letters", "len(x) <= 4", ("len(x) < 4", "len(x) > 4")),
}
_MAP_WORDS: Mapping[str, tuple[str, str, tuple[str, ...], Items]] = {
    "backwards": ("itself backwards", "x[::-1]", ("x", "x[-1]"), "words"),
    "capitals": ("itself in capitals", "x.upper()", ("x", "x.lower()", "x.title()"), "words"),
    "first-letter": ("its first letter", "x[0]", ("x[-1]", "x[1]"), "words"),
    "last-letter": ("its last letter", "x[-1]", ("x[0]", "x[:-1]"), "words"),
    "second-letter": ("its second letter", "x[1]", ("x[0]", "x[2]", "x[-2]"), "words"),
    "tail": ("itself without its first letter", "x[1:]", ("x[:-1]", "x[0]"), "words"),
    "echo": ("itself said twice", "x + x", ("x", 'x + "x"'), "words"),
    "length": ("the number of its letters", "len(x)", ("len(set(x))", "len(x) - 1"), "numbers"),
    "vowels": ("the number of its vowels", 'sum(c in "aeiou" for c in x)', ("len(x)", "len(set(x))"), "numbers"),
    "kinds": ("the number of its different letters", "len(set(x))", ("len(x)", "len(set(x)) - 1"), "numbers"),
}
_KEEP_BOUND: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "multiples": ("the multiples of {n}", "x % {n} == 0", ("{n} % x == 0 if x else True", "x % {n} == 1", "x >= {n}")),
    "above": ("the numbers above {n}", "x > {n}", ("x >= {n}", "x < {n}")),
    "below": ("the numbers below {n}", "x < {n}", ("x <= {n}", "x > {n}")),
}
_MAP_BOUND: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "minus": ("itself minus {n}", "x - {n}", ("{n} - x", "x + {n}")),
    "rest": ("its remainder by {n}", "x % {n}", ("x // {n}", "{n} % x if x else 0")),
    "times": ("itself times {n}", "x * {n}", ("x + {n}", "x ** {n} if abs(x) < 9 else 0")),
}
_FOLDS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "sum": ("a + x", "a + x", ("x", "a - x")),
    "alternate": ("x - a", "x - a", ("a - x", "x + a")),
    "double-add": ("a + a + x", "a + a + x", ("a + x", "a + x + x")),
    "squares": ("a + x * x", "a + x * x", ("a + x", "a * a + x")),
    "farthest": ("a or x, whichever is farther from zero", "max(a, x, key=abs)", ("max(a, x)", "min(a, x)")),
    "sizes": ("a + abs(x)", "a + abs(x)", ("a + x", "abs(a + x)")),
    "digits": ("a with the last digit of x behind it", "a * 10 + abs(x) % 10", ("a + abs(x) % 10", "a * 10 + x")),
}
_VALUES = (3, 4, 5, 6, 7, 8)
"""The numbers that stand in a docstring in place of the parameter."""

NUMBER_FINISHES = (
    Finish("total", "Return their sum.", "sum(ys)", ("len(ys)", "sum(ys) - ys[0]")),
    Finish("count", "Return how many there are.", "len(ys)", ("sum(ys)", "len(ys) - 1")),
    Finish("largest", "Return the largest.", "max(ys)", ("min(ys)", "ys[0]")),
    Finish("smallest", "Return the smallest.", "min(ys)", ("max(ys)", "ys[0]")),
    Finish("first", "Return the first.", "ys[0]", ("ys[-1]", "ys[1]")),
    Finish("last", "Return the last.", "ys[-1]", ("ys[0]", "ys[-2]")),
    Finish("spread", "Return the largest minus the smallest.", "max(ys) - min(ys)", ("ys[-1] - ys[0]", "max(ys)")),
    Finish("in_order", "Return them in rising order.", "sorted(ys)", ("ys[::-1]", "sorted(ys)[::-1]")),
    Finish("turned", "Return them in reverse.", "ys[::-1]", ("sorted(ys)", "ys[1:]")),
    Finish("inner", "Return them without the first and last.", "ys[1:-1]", ("ys[1:]", "ys[:-1]")),
    Finish("distinct", "Return how many different ones there are.", "len(set(ys))", ("len(ys)", "len(set(ys)) - 1")),
)
WORD_FINISHES = (
    Finish("count", "Return how many there are.", "len(ys)", ("len(ys) - 1", "len(set(ys))")),
    Finish("first", "Return the first.", "ys[0]", ("ys[-1]", "ys[1]")),
    Finish("last", "Return the last.", "ys[-1]", ("ys[0]", "ys[-2]")),
    Finish("turned", "Return them in reverse.", "ys[::-1]", ("sorted(ys)", "ys[1:]")),
    Finish("in_order", "Return them in rising order.", "sorted(ys)", ("ys[::-1]", "sorted(ys)[::-1]")),
    Finish("inner", "Return them without the first and last.", "ys[1:-1]", ("ys[1:]", "ys[:-1]")),
    Finish("glue", "Return them as one word.", '"".join(ys)', ('" ".join(ys)', '"".join(ys[1:])')),
    Finish("phrase", "Return them with spaces between.", '" ".join(ys)', ('"".join(ys)', '" ".join(ys[1:])')),
    Finish("longest", "Return the longest.", "max(ys, key=len)", ("min(ys, key=len)", "max(ys)")),
    Finish("letters", "Return how many letters they have.", 'len("".join(ys))', ("len(ys)", 'len(" ".join(ys))')),
)
SORT_FINISHES = (
    Finish("first", "Return the first.", "ys[0]", ("ys[-1]", "ys[1]")),
    Finish("last", "Return the last.", "ys[-1]", ("ys[0]", "ys[-2]")),
    Finish("turned", "Return them in reverse.", "ys[::-1]", ("ys[1:]", "ys[:-1]")),
    Finish("inner", "Return them without the first and last.", "ys[1:-1]", ("ys[1:]", "ys[:-1]")),
    Finish("second", "Return the second.", "ys[1]", ("ys[0]", "ys[2]")),
)
FOLD_FINISHES = (
    Finish("doubled", "Return it doubled.", "a + a", ("a * a", "a")),
    Finish("negated", "Return it negated.", "-a", ("a", "abs(a)")),
    Finish("squared", "Return its square.", "a * a", ("a + a", "a")),
    Finish("as_text", "Return it as text.", "str(a)", ("a", "str(a)[::-1]")),
    Finish("rest", "Return its remainder by nineteen.", "a % 19", ("a // 19", "a % 18")),
)


def steps() -> Iterator[Step]:
    """All helper jobs, in a fixed order."""
    for name, (phrase, expression, near) in _KEEP_NUMBERS.items():
        yield Step("keep", "numbers", name, f"Keep {phrase} in xs.", expression, near)
    for name, (phrase, expression, near) in _KEEP_WORDS.items():
        yield Step("keep", "words", name, f"Keep {phrase} in xs.", expression, near, "words")
    for name, (phrase, expression, near) in _MAP_NUMBERS.items():
        yield Step("map", "numbers", name, f"Replace each number in xs by {phrase}.", expression, near)
    for name, (phrase, expression, near, yields) in _MAP_WORDS.items():
        yield Step("map", "words", name, f"Replace each word in xs by {phrase}.", expression, near, yields)
    for name in ("size", "last-digit", "digit-sum", "negation"):
        phrase, expression, near = _MAP_NUMBERS[name]
        yield Step(
            "sort", "numbers", name, f"Sort the numbers in xs by {phrase.replace('its', 'the')}.", expression, near
        )
    for name in ("last-letter", "second-letter", "backwards"):
        phrase, expression, near, _ = _MAP_WORDS[name]
        phrase = {"backwards": "the word backwards"}.get(name, phrase.replace("its", "the"))
        yield Step("sort", "words", name, f"Sort the words in xs by {phrase}.", expression, near, "words")
    for name, (phrase, expression, near) in _FOLDS.items():
        yield Step("fold", "numbers", name, f"Start with a = 0. For each x in xs let a be {phrase}.", expression, near)
    yield from _bound_steps()


def _bound_steps() -> Iterator[Step]:
    """Steps with a number: one of the docstring, or the parameter ``n``."""
    for value in ("n", *map(str, _VALUES)):
        tables: tuple[tuple[Verb, str, Mapping[str, tuple[str, str, tuple[str, ...]]]], ...] = (
            ("keep", "Keep {} in xs.", _KEEP_BOUND),
            ("map", "Replace each number in xs by {}.", _MAP_BOUND),
        )
        for verb, sentence, table in tables:
            for name, (phrase, expression, near) in table.items():
                yield Step(
                    verb,
                    "numbers",
                    f"{name}-{value}",
                    sentence.format(phrase.format(n=value)),
                    expression.format(n=value),
                    tuple(wrong.format(n=value) for wrong in near),
                    parameter=value == "n",
                )


_MERGING = ("last-digit", "digit-sum")
"""Replacements that can make different items equal."""
_POINTLESS = (
    ("positive", "largest"),
    ("above", "largest"),
    ("negative", "smallest"),
    ("below", "smallest"),
    ("short", "longest"),
    ("plural", "longest"),
    ("twice", "longest"),
    ("short", "first"),
    ("short", "last"),
    ("short", "count"),
)
"""What is kept does not change what is returned, or does not decide it."""
_SHIFTING = ("negation", "minus")
_SMALL = ("length", "vowels", "kinds", "rest")
_ONE_OF_THEM = ("largest", "smallest", "last", "spread", "distinct")
"""Of small numbers these have too few different values: some constant would pass several tests."""


def finishes(step: Step) -> tuple[Finish, ...]:
    """The finishes that fit a step: those for whose result the step matters."""
    if step.verb == "fold":
        return FOLD_FINISHES[:-1] if step.name == "farthest" else FOLD_FINISHES
    if step.verb == "sort":
        return SORT_FINISHES
    fitting = NUMBER_FINISHES if step.yields == "numbers" else WORD_FINISHES
    return tuple(finish for finish in fitting if _fits(step, finish.name))


def _fits(step: Step, finish: str) -> bool:
    name = (
        step.name.rpartition("-")[0] if step.name[-1] in ("n", *map(str, _VALUES)) and "-" in step.name else step.name
    )
    if step.verb == "keep":
        return finish != "distinct" and (name, finish) not in _POINTLESS
    if finish == "first" or (name in _SMALL and finish in _ONE_OF_THEM):
        # The first of what is replaced is what the helper makes of one item: nothing is left to do.
        return False
    if finish in ("longest", "letters"):
        return name in ("echo", "tail") and finish == "letters"
    if finish == "distinct":
        return name in _MERGING
    return finish != "count" and not (finish == "spread" and name in _SHIFTING)
