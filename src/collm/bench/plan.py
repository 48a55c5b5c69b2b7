"""What the parts of a benchmark share: the sides and what they run with, models, and the folder that keeps results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from collm.bench import ours as our_side
from collm.bench.driver import Side, start_ours, start_theirs
from collm.bench.models import make_model
from collm.bench.side.worker import Record
from collm.bench.task import texts
from collm.bench.workload import Workload
from collm.models.chat import ChatFormat


@dataclasses.dataclass(frozen=True)
class Bench:
    """One benchmark: with whom, with what, where to."""

    out: Path
    """Where results are kept, part by part."""
    models: Path
    """Where models of random weights are made; nobody needs them later."""
    python: Path | None
    """The Python of CoMLRL's environment; None to measure ours alone."""
    device: str
    threads: int
    dtype: str
    """The weights of CoMLRL's models."""
    changes: dict[str, Any]
    """Settings of our trainings, by dotted key."""
    rounds: int
    quick: bool
    say: Callable[[str], None]

    def model(self, shape: str) -> Path:
        return make_model(shape, self.models / shape)

    @contextlib.contextmanager
    def ours(self) -> Iterator[Side]:
        """Our side, for as long as it is needed."""
        with start_ours(self.threads, self.out / "ours.log") as side:
            yield side

    @contextlib.contextmanager
    def theirs(self) -> Iterator[Side | None]:
        """CoMLRL's side, if there is one."""
        if self.python is None:
            yield None
            return
        with start_theirs(self.python, self.threads, self.out / "theirs.log") as side:
            yield side

    def load_ours(self, side: Side, work: Workload, model: Path) -> Record:
        return side.request("load", **our_side.request(work, model, self.device, self.threads, self.changes))

    def load_theirs(self, side: Side, work: Workload, model: Path, **changes: Any) -> Record:
        chat = ChatFormat(AutoTokenizer.from_pretrained(model))
        return side.request(
            "load",
            workload={**work.theirs(), **self.place(model), **changes},
            texts=texts(work.task(), chat),
            threads=self.threads,
            device=self.device,
        )

    def place(self, model: Path | str) -> Record:
        """Where and in which numbers a trainer of theirs holds a model."""
        return {"model": str(model), "device": self.device, "dtype": self.dtype}

    def kept(self, name: str, measure: Callable[[], Record]) -> Record:
        """A result of this folder; measured and written if it is not there."""
        path = self.out / "results" / f"{name}.json"
        if path.exists():
            self.say(f"bench: {name} is there")
            return dict(json.loads(path.read_text()))
        self.say(f"bench: {name}")
        found = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
        partial.replace(path)
        return found
