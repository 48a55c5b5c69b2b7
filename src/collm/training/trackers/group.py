"""The trackers of a run: what each is told and when, and that none of them can stop a training."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from collm import options
from collm.config import TrainConfig
from collm.errors import ConfigError
from collm.training.run_folder import RunFolder, read_json
from collm.training.trackers.protocol import About, Tracker, numbers_of
from collm.training.trackers.tensorboard import TensorBoard
from collm.training.trackers.trackio import Trackio
from collm.training.trackers.wandb import Wandb

KINDS: Mapping[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": Wandb, "trackio": Trackio}
"""Name of a tracker, of its package and of our extra → what feeds it."""
ID_FILE = "trackers.json"


def require(names: Iterable[str]) -> None:
    """Raise ConfigError if a tracker's package is missing, or cannot work as the machine is set up."""
    for name in dict.fromkeys(names):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"run.trackers = {name} needs its package: pip install 'collm[{name}]'. Or leave {name} out."
            )
        KINDS[name].check()


class Trackers:
    """All trackers of a run. They hold what ``metrics.jsonl`` holds: after a resume they are told the whole file again."""

    def __init__(self, config: TrainConfig[Any], folder: RunFolder, note: Callable[[str], None]) -> None:
        self._config, self._folder, self._note = config, folder, note
        self._open: dict[str, Tracker] = {}

    def begin(self, raw: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> None:
        """Start all trackers and tell them what is known: the raw team, and the updates so far."""
        for name in dict.fromkeys(self._config.run.trackers):
            with self._guarded(name):
                tracker = KINDS[name](self._about())
                tracker.numbers(numbers_of({"raw": raw}), 0, 0)
                for record in records:
                    _tell(tracker, record)
                self._open[name] = tracker

    def record(self, record: Mapping[str, Any]) -> None:
        """The record of one update."""
        self._each(lambda tracker: _tell(tracker, record))

    def outcome(self, summary: Mapping[str, Any], pictures: Iterable[Path]) -> None:
        """The end of a finished run: the trained team, the difference, and the pictures that there are."""
        found = {"trained": summary["trained_decodings"], "changes": summary["changes"]}
        place = summary["updates"], summary["env_steps"]
        self._each(lambda tracker: tracker.numbers(numbers_of(found), *place))
        shown = {path.stem: path for path in pictures if path.exists()}
        self._each(lambda tracker: tracker.pictures(shown, *place))

    def close(self) -> None:
        """End all trackers, whether the run is finished or not."""
        self._each(lambda tracker: tracker.finish())
        self._open.clear()

    def _about(self) -> About:
        config, path = self._config, self._folder.path / ID_FILE
        if not path.is_file():
            self._folder.write_json(ID_FILE, {"id": secrets.token_hex(4)})
        own = read_json(path, "Remove it, and the run is a new one to its trackers.")["id"]
        group = f"{config.task_name}-{config.method}"
        return About(self._folder.path, config.run.project, group, own, options.to_mapping(config))

    def _each(self, act: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._open.items()):
            with self._guarded(name):
                act(tracker)

    @contextlib.contextmanager
    def _guarded(self, name: str) -> Iterator[None]:
        """Say once what went wrong, and go on without this tracker."""
        try:
            # trackio prints; standard output belongs to `--json`.
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except Exception as error:
            self._open.pop(name, None)
            self._note(
                f"{name} failed ({type(error).__name__}: {error}) and is told no more. The run goes on, and metrics.jsonl "
                f"has everything; to send it again at any time: collm train --resume {self._folder.path}"
            )


def _tell(tracker: Tracker, record: Mapping[str, Any]) -> None:
    tracker.numbers(numbers_of(record), record["update"], record["env_steps"])
