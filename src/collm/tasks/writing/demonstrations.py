"""Noisy demonstrations of the writing tasks: what a crowd of writers who never met would write.

Every writer has habits of its own, drawn once per text: how long it writes, whether it keeps to the source, how it
joins its sentences. Its first words show its habits. A text is only as good as it fits the partner's, and nobody
in the crowd agrees on anything: agreeing is what reinforcement has to teach. The embedded models are
pretrained on this crowd.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from collm.randomness import pick
from collm.tasks.protocol import Conversation
from collm.tasks.writing import abstracts, posts
from collm.tasks.writing.arxiv import Arxiv
from collm.tasks.writing.grammar import Facts
from collm.tasks.writing.task import WritingTask
from collm.tasks.writing.tldr import Tldr

SINGLE = 0.06
"""Share of texts in the form for one writer of both."""
CONTENT: Mapping[str, float] = {"grounded": 0.55, "vague": 0.25, "copy": 0.1, "repeat": 0.1}
"""What a writer writes: the facts of the source, nothing in particular, the source itself, two sentences in turn."""
STYLES: Mapping[str, float] = {"rich": 0.3, "some": 0.3, "plain": 0.4}
"""How it joins sentences: with all connectives in order, with two of them, with none."""
POST_LENGTHS: tuple[Mapping[str, float], Mapping[str, float]] = (
    {"terse": 0.2, "short": 0.2, "medium": 0.2, "long": 0.4},
    {"brief": 0.4, "medium": 0.25, "long": 0.2, "endless": 0.15},
)
"""How long it writes about a post, for either agent."""
ABSTRACT_LENGTHS: tuple[Mapping[str, float], Mapping[str, float]] = (
    {"note": 0.1, "medium": 0.25, "long": 0.55, "endless": 0.1},
    {"note": 0.1, "medium": 0.55, "long": 0.25, "endless": 0.1},
)
"""How long it writes about an abstract, for either agent."""

_CLAUSES: Mapping[str, tuple[int, int]] = {
    "terse": (1, 1),
    "short": (2, 2),
    "medium": (3, 4),
    "long": (6, 8),
    "brief": (1, 2),
    "endless": (13, 16),
}
_ELABORATION_CLAUSES: Mapping[str, tuple[int, int]] = {**_CLAUSES, "medium": (4, 5), "long": (7, 8)}
_WORDS: Mapping[str, tuple[int, int]] = {
    "note": (60, 110),
    "medium": (132, 148),
    "long": (180, 205),
    "endless": (262, 290),
}


@dataclasses.dataclass(frozen=True)
class Habits:
    """One writer's habits for one text."""

    length: str
    content: str
    style: str


def draw_habits(random: np.random.Generator, lengths: Mapping[str, float]) -> Habits:
    """A writer from the crowd."""
    return Habits(pick(random, lengths), pick(random, CONTENT), pick(random, STYLES))


def about_post(facts: Facts, agent: int, habits: Habits, random: np.random.Generator) -> str:
    """A summary (agent 0) or an elaboration (agent 1) of a generated post."""
    openers, counts = ((posts.SUMMARY_OPENERS, _CLAUSES), (posts.ELABORATION_OPENERS, _ELABORATION_CLAUSES))[agent]
    low, high = counts[habits.length]
    count = int(random.integers(low, high + 1))
    grounded = posts.clauses(facts)
    vague = list(random.permutation(posts.VAGUE))
    if habits.content == "copy":
        said = posts.post(facts).splitlines()[: 2 * count]
    elif habits.content == "repeat":
        said = (_some(grounded, 2, random) * count)[:count]
    else:
        said = _some(grounded, count, random) if habits.content == "grounded" else []
        said += vague[: count - len(said)]
    return posts.joined(openers[habits.length], said, _connectives(habits, random))


def about_abstract(facts: Facts, agent: int, habits: Habits, random: np.random.Generator) -> str:
    """A part of an introduction to a generated abstract: background (agent 0) or methodology (agent 1)."""
    low, high = _WORDS[habits.length]
    wanted = int(random.integers(low, high + 1))
    said: list[str] = []
    if habits.content == "grounded":
        said = abstracts.clauses(facts)
    elif habits.content == "copy":
        said = abstracts.abstract(facts).splitlines()
    general = list(abstracts.GENERAL[agent])
    if habits.content == "repeat":
        general = _some(general, 2, random) * len(general)
    opener, connectives = abstracts.OPENERS[agent][habits.length], _connectives(habits, random)
    for more in range(2 * len(general)):
        text = posts.joined(opener, [*said, *(general * 2)[:more]], connectives)
        if len(text.split()) >= wanted:
            break
    return text


def _connectives(habits: Habits, random: np.random.Generator) -> Sequence[str]:
    if habits.style == "plain":
        return ()
    return posts.CONNECTIVES if habits.style == "rich" else _some(posts.CONNECTIVES, 2, random)


def _some(items: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    """So many of the items at most, in their order."""
    chosen = sorted(random.permutation(len(items))[:count])
    return [items[index] for index in chosen]


Writer = Callable[[Facts, int, Habits, np.random.Generator], str]


def demonstrate(
    task: WritingTask, facts: Facts, writer: Writer, lengths: Sequence[Mapping[str, float]], random: np.random.Generator
) -> list[Conversation]:
    """One episode of the crowd: each agent's observation and its text."""
    texts = [writer(facts, agent, draw_habits(random, lengths[agent]), random) for agent in range(2)]
    observations = task.reset(task.stating(facts)).observations
    return [[pair] for pair in zip(observations, task.action(*texts), strict=True)]


def _stream(
    task: WritingTask, writer: Writer, lengths: Sequence[Mapping[str, float]], random: np.random.Generator
) -> Iterator[Conversation]:
    single = task.single_agent()
    while True:
        facts = task.grammar.draw(random, (0, 3))
        if task.grammar.split(facts) == "train":
            form = single if random.random() < SINGLE else task
            yield from demonstrate(form, facts, writer, lengths, random)


def tldr_stream(random: np.random.Generator) -> Iterator[Conversation]:
    """An endless stream of conversations about generated posts of the training split."""
    return _stream(Tldr(), about_post, POST_LENGTHS, random)


def arxiv_stream(random: np.random.Generator) -> Iterator[Conversation]:
    """An endless stream of conversations about generated abstracts of the training split."""
    return _stream(Arxiv(), about_abstract, ABSTRACT_LENGTHS, random)
