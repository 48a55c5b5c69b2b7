"""What both writing tasks share: two agents write one text each about a source, once, and the pair is rewarded."""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

from collm.errors import ConfigError, ProblemError
from collm.options import Range
from collm.tasks import sources
from collm.tasks.protocol import SPLITS, JointAction, Message, Observation, Problem, Split, Start, Step, Task
from collm.tasks.writing import scoring
from collm.tasks.writing.grammar import Facts, Grammar, generated_facts

SPLIT_MARK = "[PARAGRAPH_SPLIT]"
"""What a single writer puts between its two texts."""
_SECOND_LABEL = re.compile(r"paragraph 2:", re.IGNORECASE)
_LABEL = re.compile(r"\s*paragraph [12]:\s*", re.IGNORECASE)
_MINI_SIZES: Mapping[Split, int] = {"train": 256, "validation": 64, "test": 128}
_HUB_SIZE = 1000
_LEAST_SOURCE = 8

Size = Annotated[int, Range(1, 100_000)] | None


@dataclasses.dataclass(frozen=True)
class WritingOptions:
    """Options of the writing tasks."""

    agents: int = 2
    """Number of agents; the two roles need exactly 2."""
    profile: Literal["paper", "hardened"] = "paper"
    """Which reward R trains and scores; the other one is logged too."""
    source: Literal["mini", "hub"] = "mini"
    """Generated sources with known facts and disjoint splits, or the data set of the paper."""
    data: str = ""
    """With source hub: a local folder, or another name on the hub, in the schema of the data set."""
    bad_rows: sources.BadRows = "refuse"
    """With source hub: stop at a row that cannot be used, or leave such rows out and say so."""
    train_size: Size = None
    """Training problems at most. Default: 256 generated ones, 1000 rows of a data set."""
    validation_size: Size = None
    """Validation problems at most. Default: 64 generated ones, 1000 rows of a data set."""
    test_size: Size = None
    """Test problems at most. Default: 128 generated ones, 1000 rows of a data set."""
    problems_seed: Annotated[int, Range(0)] = 0
    """With source mini: which problems are drawn; splits are disjoint whatever the seed."""
    min_details: Annotated[int, Range(0, 3)] = 1
    """With source mini: least number of extra sentences with a number, 0 to 3; they set how long a source is."""
    max_details: Annotated[int, Range(0, 3)] = 3
    """With source mini: greatest number of extra sentences with a number, 0 to 3."""


@dataclasses.dataclass(frozen=True)
class WritingProblem(Problem):
    """A source to write about."""

    text: str
    facts: Facts | None = None
    """What a generated source says; None for anybody else's text."""


@dataclasses.dataclass(frozen=True)
class Written:
    """The texts after ``turn`` joint actions: none or one."""

    turn: int
    texts: tuple[str, str]


class WritingTask(Task):
    """Two roles, one turn, a reward on the two texts together. Subclasses say what is read, asked and wanted."""

    Options: ClassVar[type] = WritingOptions
    profiles: ClassVar[tuple[str, ...]] = ("paper", "hardened")
    shape: ClassVar[scoring.Shape]
    grammar: ClassVar[Grammar]
    kind: ClassVar[str]
    """What a source is called."""
    labels: ClassVar[tuple[str, str]]
    """What the two texts are called."""

    def __init__(self, options: WritingOptions | None = None, *, one_writer: bool = False) -> None:
        options = options or self.Options()
        if options.agents != 2:
            raise ConfigError(f"task.agents = {options.agents}: '{self.name}' has two roles, so it must be 2.")
        if options.data and options.source == "mini":
            raise ConfigError("task.data names a data set: it needs task.source = hub.")
        if options.min_details > options.max_details:
            raise ConfigError(
                f"task.min_details = {options.min_details}: must be at most task.max_details = {options.max_details}."
            )
        self.options = options
        self.agents = 1 if one_writer else 2
        self.turns = 1
        self.gamma = 1.0

    @abc.abstractmethod
    def request(self, text: str, agent: int | None) -> str:
        """What an agent is asked, or the single writer of both texts (None)."""

    @staticmethod
    @abc.abstractmethod
    def source_text(facts: Facts) -> str:
        """The generated source that states the facts."""

    @staticmethod
    @abc.abstractmethod
    def best_texts(facts: Facts) -> tuple[str, str]:
        """The canonical texts about a generated source."""

    @abc.abstractmethod
    def dataset(self) -> sources.DataSet:
        """The paper's data set with slices of the sizes asked for."""

    def keeps(self, fields: Mapping[str, object]) -> bool:
        """Whether a row of the data set is one of the task's problems."""
        return True

    def problems(self, split: Split) -> Sequence[WritingProblem]:
        return self._generated(split) if self.options.source == "mini" else self._loaded[1][split]

    def notes(self) -> Sequence[str]:
        return () if self.options.source == "mini" else self._loaded[0].notes()

    def size(self, split: Split) -> int:
        """How many problems of a split are asked for."""
        options = self.options
        asked = {"train": options.train_size, "validation": options.validation_size, "test": options.test_size}[split]
        return asked or (_MINI_SIZES[split] if options.source == "mini" else _HUB_SIZE)

    def _generated(self, split: Split) -> Sequence[WritingProblem]:
        options = self.options
        details = (options.min_details, options.max_details)
        facts = generated_facts(self.grammar, split, self.size(split), options.problems_seed, details)
        return [self.stating(each) for each in facts]

    @functools.cached_property
    def _loaded(self) -> tuple[sources.Loaded, Mapping[Split, Sequence[WritingProblem]]]:
        dataset, options = self.dataset(), self.options
        loaded = sources.load(dataset, options.data, options.bad_rows, self.keeps)
        return loaded, {
            split: [WritingProblem(row.id, row.fields[dataset.text]) for row in loaded.rows[split]] for split in SPLITS
        }

    def stating(self, facts: Facts) -> WritingProblem:
        """The generated problem that states these facts."""
        return WritingProblem(facts.id, self.source_text(facts), facts)

    def problem(self, text: str) -> WritingProblem:
        """The generated problem or the row of this name, or the text itself as a source."""
        facts = self.grammar.named(text.strip())
        if facts is not None:
            return self.stating(facts)
        if self.options.source == "hub":
            for row in (row for split in SPLITS for row in self.problems(split)):
                if row.id == text.strip():
                    return row
        if len(text.split()) < _LEAST_SOURCE:
            example = self._generated("test")[0].id
            raise ProblemError(
                f"{text!r:.80} is neither the name of a problem (for instance '{example}') nor "
                f"{self.kind} of at least {_LEAST_SOURCE} words."
            )
        return WritingProblem(f"text-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}", text)

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        assert isinstance(problem, WritingProblem)
        roles: list[int | None] = [None] if self.agents == 1 else [0, 1]
        return Start(Written(0, ("", "")), tuple(self._observation(problem, role) for role in roles))

    def _observation(self, problem: WritingProblem, agent: int | None) -> Observation:
        return (Message("user", self.request(problem.text, agent)),)

    def step(self, problem: Problem, state: Written, actions: JointAction) -> Step:
        texts = (actions[0], actions[1]) if self.agents == 2 else split_paragraphs(actions[0])
        after = Written(state.turn + 1, texts)
        numbers = self.components(problem, after)
        return Step(after, None, numbers[self.options.profile], numbers, terminated=True)

    def components(self, problem: Problem, state: Written) -> Mapping[str, float]:
        assert isinstance(problem, WritingProblem)
        return dict(scoring.evaluate(self.shape, problem.text, state.texts))

    def final(self, problem: Problem, state: Written) -> float:
        return self.components(problem, state)[self.options.profile]

    def floor(self, problem: Problem) -> float:
        return 0.0

    def ceiling(self, problem: Problem) -> float:
        return scoring.MAXIMUM

    def paper_score(self, problem: Problem, state: Written) -> float:
        """The released reward in per cent of its nominal maximum of 3."""
        return 100.0 * self.components(problem, state)["paper"] / scoring.NOMINAL

    def best_plan(self, problem: Problem) -> Sequence[JointAction] | None:
        """The canonical texts; None for sources that nobody generated."""
        assert isinstance(problem, WritingProblem)
        if problem.facts is None:
            return None
        return [self.action(*self.best_texts(problem.facts))]

    def action(self, first: str, second: str) -> JointAction:
        """The joint action that writes these two texts."""
        return [first, second] if self.agents == 2 else [f"{first}\n{SPLIT_MARK}\n{second}"]

    def role(self, agent: int) -> str:
        return self.labels[agent] if self.agents == 2 else " and ".join(self.labels)

    def single_agent(self) -> Self:
        """One agent that writes both texts, with a mark between them."""
        return type(self)(self.options, one_writer=True)

    def as_text(self, problem: Problem, state: Written) -> str:
        assert isinstance(problem, WritingProblem)
        parts = zip((self.kind, *self.labels), (problem.text, *state.texts), strict=True)
        return "\n\n".join(f"{label}:\n{text or '(nothing)'}" for label, text in parts)


def split_paragraphs(text: str) -> tuple[str, str]:
    """The two texts of a single writer: at the mark, else at "Paragraph 2:", else after a third of the characters."""
    label = _SECOND_LABEL.search(text)
    if SPLIT_MARK in text:
        first, _, second = text.partition(SPLIT_MARK)
    elif label:
        first, second = text[: label.start()], text[label.end() :]
    else:
        first, second = text[: len(text) // 3], text[len(text) // 3 :]
    return _unlabelled(first), _unlabelled(second)


def _unlabelled(text: str) -> str:
    label = _LABEL.match(text)
    return (text[label.end() :] if label else text).strip()
