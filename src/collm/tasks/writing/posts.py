"""Generated Reddit-like posts, one thought per line, and what two writers would say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collm.tasks.writing.grammar import Facts, Grammar

GRAMMAR = Grammar("posts", {"weeks": (2, 30), "dollars": (5, 95), "age": (16, 60)})
VAGUE: Sequence[str] = GRAMMAR.data["vague"]
"""Clauses that fit every post and say nothing about any."""

CONNECTIVES = (
    "First of all,",
    "for example,",
    "indeed,",
    "because",
    "if possible,",
    "while",
    "similarly,",
    "in summary,",
)
"""Connectives that cover all twelve categories, in the order in which clauses take them."""

SUMMARY_OPENERS: Mapping[str, str] = {
    "terse": "Well,",
    "short": "In brief,",
    "medium": "The main points are these:",
    "long": "Here is the whole story from the start:",
}
"""How a summary of each length begins."""
ELABORATION_OPENERS: Mapping[str, str] = {
    "brief": "A quick thought:",
    "medium": "A few words on this:",
    "long": "This deserves a detailed answer:",
    "endless": "There is so much to say about it:",
}
"""How an elaboration of each length begins."""

CLAUSES = 8
_PREDICATES = {
    "who": "is involved",
    "problem": "caused the trouble",
    "tried": "did not help",
    "worry": "might come next",
    "wish": "would be enough",
}
_NUMBERED = {
    "weeks": "it has lasted {} weeks",
    "dollars": "it has cost {} dollars",
    "age": "the writer is {} years old",
}
_FILLERS = ("many readers know this feeling", "a decision has to follow", "advice is wanted from anyone")


def post(facts: Facts) -> str:
    """The post that states these facts."""
    says = facts.phrases
    lines = [f"Subreddit: r/{facts.topic}", "Post:"]
    if "age" in facts.numbers:
        lines.append(f"I am {facts.numbers['age']} years old and lost")
    lines += ["I have trouble with", says["who"], "and the reason is", says["problem"]]
    if "weeks" in facts.numbers:
        lines.append(f"It has lasted {facts.numbers['weeks']} weeks by now")
    lines += ["I already tried", says["tried"], "but it did not help at all"]
    if "dollars" in facts.numbers:
        lines.append(f"So far it has cost me {facts.numbers['dollars']} dollars")
    lines += ["Now I am afraid of", says["worry"], "All that I want is", says["wish"], "What would you do?"]
    return "\n".join(lines)


def clauses(facts: Facts) -> list[str]:
    """Everything the post says, as eight clauses: one per slot, one per number, fillers for numbers it lacks."""
    said = [f"{phrase}\n{_PREDICATES[slot]}" for slot, phrase in facts.phrases.items()]
    said += [_NUMBERED[name].format(number) for name, number in facts.numbers.items()]
    return [*said, *_FILLERS][:CLAUSES]


def joined(opener: str, said: Sequence[str], connectives: Sequence[str] = ()) -> str:
    """A text of an opener and clauses, the first of them each behind a connective."""
    lines = [opener]
    for index, clause in enumerate(said):
        lines += [connectives[index], clause] if index < len(connectives) else [clause]
    return "\n".join(lines)


def best(facts: Facts) -> tuple[str, str]:
    """A summary of three clauses and an elaboration of all eight with every connective."""
    said = clauses(facts)
    summary = joined(SUMMARY_OPENERS["medium"], [said[0], said[1], said[3]])
    return summary, joined(ELABORATION_OPENERS["long"], said, CONNECTIVES)
