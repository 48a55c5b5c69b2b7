"""TLDR: one agent summarises a post, the other elaborates on it (paper: TLDR; reference: TASKS sections 0 and 2)."""

from __future__ import annotations

from typing import ClassVar

from collm.tasks.protocol import SPLITS
from collm.tasks.sources import DataSet
from collm.tasks.writing import posts
from collm.tasks.writing.grammar import Grammar
from collm.tasks.writing.scoring import Band, Shape
from collm.tasks.writing.task import SPLIT_MARK, WritingTask

_REQUESTS = (
    "Summarise the post below in a short answer.\n"
    "- Stay brief and to the point: one or a few sentences.\n"
    "- Be factual and informative.\n",
    "Answer the post below with a detailed summary.\n"
    "- Use a rich vocabulary, with more distinct words.\n"
    "- Use transition words so that the text flows.\n",
)
_BOTH = (
    "Write two paragraphs about the post below, with the mark {} between them.\n"
    "Paragraph 1: a short summary, factual and informative, in one or a few sentences.\n"
    "Paragraph 2: a detailed summary with more distinct words and with transition words so that the text flows.\n"
)


class Tldr(WritingTask):
    """Summary and elaboration of a Reddit post."""

    name: ClassVar[str] = "tldr"
    summary: ClassVar[str] = "summarise a post twice, in brief and in detail, in the right proportion to each other"
    shape: ClassVar[Shape] = Shape(
        least_words=8,
        most_words=256,
        length=Band(1.1, 1.6, 3.2, 5.0),
        vocabulary=Band(1.3, 2.0),
        jaccard=0.03,
        transitions_in_both=False,
    )
    grammar: ClassVar[Grammar] = posts.GRAMMAR
    source_text = staticmethod(posts.post)
    best_texts = staticmethod(posts.best)
    kind: ClassVar[str] = "a post"
    labels: ClassVar[tuple[str, str]] = ("summary", "elaboration")

    def request(self, text: str, agent: int | None) -> str:
        asked = _BOTH.format(SPLIT_MARK) if agent is None else _REQUESTS[agent]
        return f"{asked}\n{text}"

    def dataset(self) -> DataSet:
        slices = {split: f"{split}[:{self.size(split)}]" for split in SPLITS}
        return DataSet("trl-lib/tldr", slices, text="prompt")
