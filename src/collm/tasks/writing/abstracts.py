"""Generated scientific abstracts, one clause per line, and what two writers of an introduction would say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collm.tasks.writing.grammar import Facts, Grammar
from collm.tasks.writing.posts import CONNECTIVES, joined

GRAMMAR = Grammar("abstracts", {"sites": (3, 90), "years": (2, 40), "percent": (5, 60)})
GENERAL: tuple[Sequence[str], Sequence[str]] = (GRAMMAR.data["background"], GRAMMAR.data["method"])
"""Lines that any introduction could have, for either agent: background and motivation, methodology and implications."""

OPENERS: tuple[Mapping[str, str], Mapping[str, str]] = (
    {
        "note": "A short note on the background:",
        "medium": "The background of this work is as follows:",
        "long": "A broad view of the background helps the reader:",
        "endless": "The whole history of the field has to be told:",
    },
    {
        "note": "A short note on the methodology:",
        "medium": "The methodology of this work is as follows:",
        "long": "A broad view of the methodology helps the reader:",
        "endless": "The whole procedure has to be told in every detail:",
    },
)
"""How a text of each length begins, for either agent."""
_PREDICATES = {
    "subject": "is at the heart of this research",
    "gap": "held back earlier work",
    "method": "is the proposed answer",
    "data": "are the measurements behind it",
    "result": "emerged from the experiments",
    "use": "may become possible",
}
_BEST_WORDS = 138
_BEST_RATIO = 1.305


def abstract(facts: Facts) -> str:
    """The abstract that states these facts."""
    says = facts.phrases
    lines = ["We study", says["subject"], "which matters to science and society", "Earlier work was held back by"]
    lines += [says["gap"], "Here we propose", says["method"], "and apply it to measurements from", says["data"]]
    if "sites" in facts.numbers:
        lines.append(f"gathered at {facts.numbers['sites']} sites")
    if "years" in facts.numbers:
        lines.append(f"over {facts.numbers['years']} years")
    lines += ["The experiments reveal", says["result"]]
    if "percent" in facts.numbers:
        lines.append(f"with a gain of {facts.numbers['percent']} percent over the baseline")
    return "\n".join([*lines, "Our research can contribute to", says["use"]])


def clauses(facts: Facts) -> list[str]:
    """What the abstract says, one clause per slot."""
    return [f"{phrase}\n{_PREDICATES[slot]}" for slot, phrase in facts.phrases.items()]


def introduction(agent: int, length: str, said: Sequence[str], general: int, connectives: Sequence[str] = ()) -> str:
    """A text of an opener, clauses and so many general lines of this agent's."""
    return joined(OPENERS[agent][length], [*said, *GENERAL[agent][:general]], connectives)


def best(facts: Facts) -> tuple[str, str]:
    """All clauses, and general lines until the length is right; the second text has every connective."""
    said = clauses(facts)
    firsts = (introduction(0, "medium", said, general) for general in range(len(GENERAL[0])))
    first = next(text for text in firsts if len(text.split()) >= _BEST_WORDS)
    seconds = (introduction(1, "long", said, general, CONNECTIVES) for general in range(len(GENERAL[1])))
    return first, next(text for text in seconds if len(text) >= _BEST_RATIO * len(first))
