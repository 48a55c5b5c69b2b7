"""A measured process: JSON lines in, JSON lines out, with seconds and peak memory of every answer.

Runs in either environment, so it needs torch and nothing of ours. A line ``{"do": name, …}`` is answered by a line
``{"reply": name, …}``, or ``{"error": …}``. In between the process may send ``{"ask": …}`` and wait for one line.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

Record = dict[str, Any]
Handler = Callable[[Record], Record]
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Channel:
    """The pipes to the parent. Whatever libraries print goes to standard error instead."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def send(self, record: Record) -> None:
        self._out.write(json.dumps(record) + "\n")
        self._out.flush()

    def receive(self) -> Record | None:
        """The next line; None at the end."""
        line = sys.stdin.readline()
        return json.loads(line) if line else None

    def ask(self, record: Record) -> Record:
        """What the parent says to this, in the middle of a request."""
        self.send({"ask": record})
        answer = self.receive()
        if answer is None:
            raise EOFError("the parent process is gone")
        return answer


class Device:
    """Where the models of this process live: its memory, and when its work is done."""

    def __init__(self, name: str = "cpu") -> None:
        self.name = name
        self.cuda = torch.device(name).type == "cuda"
        if self.cuda:
            torch.cuda.init()

    def wait(self) -> None:
        """Until everything that was begun is done."""
        if self.cuda:
            torch.cuda.synchronize(self.name)

    def reset_peak(self) -> None:
        """Begin a new peak. Where the kernel has no such thing, the peak is that since the process began."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.name)
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")

    def memory(self) -> Record:
        """Bytes: resident now and at most, and at most on the GPU."""
        found: Record = {"resident": None, "peak": _greatest_resident()}
        with contextlib.suppress(OSError):
            lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
            found = {"resident": _bytes(lines["VmRSS"]), "peak": _bytes(lines["VmHWM"])}
        return {**found, "cuda_peak": torch.cuda.max_memory_allocated(self.name) if self.cuda else None}


def _bytes(text: str) -> int:
    return int(text.split()[0]) * 1024


def _greatest_resident() -> int:
    """Of the whole life of the process; the unit differs from system to system."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reward(texts: Sequence[str]) -> float:
    """The forced task's reward: which share of the words of the responses are different ones."""
    words = [word for text in texts for word in text.split()]
    return len(set(words)) / max(1, len(words))


def serve(handlers: dict[str, Handler], channel: Channel, packages: Sequence[str]) -> None:
    """Answer requests until there are no more. The first line tells versions, and memory when all imports are done.

    A request may name the ``device`` and the ``threads``, which then hold.
    """
    device = Device()
    versions = {"python": sys.version.split()[0], **{name: version(name) for name in packages}}
    channel.send({"reply": "ready", "versions": versions, "memory": device.memory()})
    while (request := channel.receive()) is not None:
        if "device" in request:
            device = Device(request["device"])
        if "threads" in request:
            torch.set_num_threads(request["threads"])
        try:
            channel.send(_timed(handlers[request["do"]], request, device))
        except Exception as error:
            traceback.print_exc()
            channel.send({"error": type(error).__name__, "message": str(error)})


def _timed(handler: Handler, request: Record, device: Device) -> Record:
    device.reset_peak()
    device.wait()
    started = time.perf_counter()
    found = handler(request)
    device.wait()
    seconds = time.perf_counter() - started
    after = found.pop("after", None)
    memory = device.memory()
    return {"reply": request["do"], "seconds": seconds, "memory": memory, **found, **(after() if after else {})}
