"""What the embedded models read: the noisy demonstrations of every built-in task, in turn."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import numpy as np

from collm.randomness import generator
from collm.tasks.coding import demonstrations as coop_he
from collm.tasks.minecraft import demonstrations as str_build
from collm.tasks.minecraft import house_demonstrations as house_build
from collm.tasks.protocol import Conversation
from collm.tasks.writing import demonstrations as writing


@dataclasses.dataclass(frozen=True)
class Stream:
    """The demonstrations of one task."""

    make: Callable[[np.random.Generator], Iterator[Conversation]]
    share: int = 1
    """Conversations of this task in one round through all tasks."""


STREAMS: dict[str, Stream] = {
    "str-build": Stream(str_build.stream, 4),
    "house-build": Stream(house_build.stream, 3),
    "coop-he": Stream(coop_he.stream, 6),
    "tldr": Stream(writing.tldr_stream, 3),
    "arxiv": Stream(writing.arxiv_stream, 3),
}
"""Where demonstrations come from; every built-in task adds one row."""


def conversations(purpose: str, seed: int) -> Iterator[Conversation]:
    """Demonstrations of all tasks in turn, without end."""
    streams = [(stream.make(generator("tiny", purpose, seed, name)), stream.share) for name, stream in STREAMS.items()]
    while True:
        for stream, share in streams:
            yield from itertools.islice(stream, share)
