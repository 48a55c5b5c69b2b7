"""TensorBoard: one event file in ``RUN/tensorboard``, written without a thread, so that an error is met where it happens."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from collm.training.trackers.protocol import About


class TensorBoard:
    """Writes the events of a run. The x-axis is env steps."""

    def __init__(self, about: About) -> None:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from torch.utils.tensorboard import RecordWriter, summary

        folder = about.folder / "tensorboard"
        folder.mkdir(exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        path = folder / f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = RecordWriter(path.open("wb"))
        self._event(file_version="brain.Event:2")
        # A TensorBoard that runs meanwhile has read the old file: this is its purge_step, from which on it forgets.
        self._event(session_log=SessionLog(status=SessionLog.START), step=0)
        text = yaml.safe_dump(dict(about.config), sort_keys=False, allow_unicode=True)
        self._event(summary=summary.text("config", f"```yaml\n{text}```"), step=0)

    @staticmethod
    def check() -> None:
        pass

    def numbers(self, values: Mapping[str, float], update: int, env_steps: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        points = [Summary.Value(tag=name, simple_value=number) for name, number in values.items()]
        self._event(summary=Summary(value=points), step=env_steps)

    def pictures(self, paths: Mapping[str, Path], update: int, env_steps: int) -> None:
        from PIL import Image
        from torch.utils.tensorboard import summary

        for name, path in paths.items():
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            self._event(summary=summary.image(name, pixels, dataformats="HWC"), step=env_steps)

    def finish(self) -> None:
        self._file.close()

    def _event(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._file.write(Event(wall_time=time.time(), **fields).SerializeToString())
        self._file.flush()
