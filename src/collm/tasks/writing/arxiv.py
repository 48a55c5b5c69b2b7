"""arXiv: two agents expand an abstract into an introduction (paper: arXiv; reference: TASKS sections 0 and 3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from collm.tasks.protocol import Split
from collm.tasks.sources import DataSet
from collm.tasks.writing import abstracts
from collm.tasks.writing.grammar import Grammar
from collm.tasks.writing.scoring import Band, Shape
from collm.tasks.writing.task import SPLIT_MARK, WritingTask

_TASK = "Expand the scientific abstract below into content for an introduction section.\n"
_REQUESTS = (
    "- Another agent writes about methodology and implications.\n"
    "- You write about background and motivation.\n"
    "- Leave methodology and implications out.\n",
    "- Another agent writes about background and motivation.\n"
    "- You write about methodology and implications.\n"
    "- Leave background and motivation out.\n",
)
_BOTH = (
    "Write two paragraphs with the mark {} between them.\n"
    "Paragraph 1: background and motivation.\n"
    "Paragraph 2: methodology and implications.\n"
)
LEAST_WORDS, MOST_WORDS = 100, 300
"""The abstracts of the data set that are used, in whitespace tokens."""


class Arxiv(WritingTask):
    """Background and methodology parts of an introduction."""

    name: ClassVar[str] = "arxiv"
    summary: ClassVar[str] = (
        "expand an abstract into an introduction, background and methodology written apart but to match"
    )
    shape: ClassVar[Shape] = Shape(
        least_words=128,
        most_words=256,
        length=Band(0.8, 1.3, 1.6, 2.0),
        vocabulary=Band(0.5, 0.7, 1.3, 1.7),
        jaccard=0.23,
        transitions_in_both=True,
    )
    grammar: ClassVar[Grammar] = abstracts.GRAMMAR
    source_text = staticmethod(abstracts.abstract)
    best_texts = staticmethod(abstracts.best)
    kind: ClassVar[str] = "an abstract"
    labels: ClassVar[tuple[str, str]] = ("background and motivation", "methodology and implications")

    def request(self, text: str, agent: int | None) -> str:
        asked = _BOTH.format(SPLIT_MARK) if agent is None else _REQUESTS[agent]
        return f"{_TASK}{asked}\n{text}"

    def dataset(self) -> DataSet:
        """The released evaluation reads ``val``, so that is the test split here."""
        slices: dict[Split, str] = {
            "train": f"train[:{self.size('train')}]",
            "validation": f"test[:{self.size('validation')}]",
            "test": f"val[:{self.size('test')}]",
        }
        return DataSet("OpenMLRL/arXiv_abstract", slices, text="abstract_text", id="article_id")

    def keeps(self, fields: Mapping[str, object]) -> bool:
        return LEAST_WORDS <= len(str(fields["abstract_text"]).split()) <= MOST_WORDS
