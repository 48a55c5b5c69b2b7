"""The parent's side of one worker: its process, the children it forks, and the lines to them."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

from collm.errors import ConfigError
from collm.sandbox.inside import codec
from collm.sandbox.inside.channel import HEAD
from collm.sandbox.inside.zygote import ENDED, REQUEST, STARTED
from collm.sandbox.jobs import Limits

_FLAGS = ("-s", "-S", "-P", "-B", "-X", "utf8")
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "TZ": "UTC"}
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Variables without which some interpreters do not start."""
_BEGIN = "import sys; sys.path.append(sys.argv[1]); from inside.keeper import main; sys.path.pop(); main(*sys.argv[2:])"
_PATIENCE = 20.0
"""Seconds for a worker's own answers, which take milliseconds."""
_ENVELOPE = 4096
"""Bytes of a message around its value."""


class WorkerLost(Exception):
    """The worker's own process is gone or does not answer."""


class ChildGone(Exception):
    """The line to a child ended."""


class Protocol(Exception):
    """A child sent something that is no message."""


@dataclasses.dataclass(frozen=True)
class End:
    """How a child ended: ``status`` is its exit code, or minus the signal that killed it."""

    status: int
    cpu_seconds: float


class Worker:
    """A warm zygote. Used by one thread at a time."""

    def __init__(self, limits: Limits, without: tuple[str, ...]):
        if not sys.executable:
            raise ConfigError("the sandbox starts Python processes, and sys.executable is empty: run it from a Python.")
        self.limits = limits
        self._control, theirs = socket.socketpair()
        bounds = {
            "cpu_seconds": limits.cpu_seconds,
            "memory_mib": limits.memory_mib,
            "message_bytes": limits.value_bytes + _ENVELOPE,
            "without": without,
        }
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        arguments = (str(theirs.fileno()), str(os.getpid()), json.dumps(bounds))
        self._process = subprocess.Popen(
            [sys.executable, *_FLAGS, "-c", _BEGIN, os.path.dirname(__file__), *arguments],
            env={**_ENVIRONMENT, **kept},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            cwd="/",
        )
        theirs.close()

    def greeting(self) -> dict[str, str]:
        """The layers that the worker tried: name → "" if it holds, else why not. The first message of a worker."""
        deadline = time.monotonic() + _PATIENCE
        length = HEAD.unpack(self._read(HEAD.size, deadline))[0]
        layers: dict[str, str] = codec.decode(self._read(length, deadline))
        return layers

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> Child:
        """Fork a confined child."""
        ours, theirs = socket.socketpair()
        try:
            socket.send_fds(self._control, [REQUEST.pack(b"S", 0)], [theirs.fileno()])
            pid = STARTED.unpack(self._read(STARTED.size, time.monotonic() + _PATIENCE))[0]
        except (OSError, WorkerLost):
            ours.close()
            raise WorkerLost from None
        finally:
            theirs.close()
        return Child(self, ours, pid, self.limits.value_bytes + _ENVELOPE)

    def end(self, pid: int) -> End:
        """Kill a child and all its descendants."""
        try:
            self._control.sendall(REQUEST.pack(b"E", pid))
        except OSError:
            raise WorkerLost from None
        return End(*ENDED.unpack(self._read(ENDED.size, time.monotonic() + _PATIENCE)))

    def close(self) -> None:
        """End the worker and everything below it."""
        self._control.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self, length: int, deadline: float) -> bytes:
        try:
            return read(self._control, length, deadline)
        except (ChildGone, TimeoutError):
            raise WorkerLost from None


class Child:
    """A confined process and the line to it. Nothing that comes over the line is trusted."""

    def __init__(self, worker: Worker, line: socket.socket, pid: int, limit: int):
        self._worker = worker
        self._line = line
        self._pid = pid
        self._limit = limit

    def send(self, message: tuple[Any, ...], deadline: float) -> None:
        """Raises ``ChildGone``, or ``TimeoutError`` at the deadline (as of ``time.monotonic``)."""
        data = codec.encode(message)
        try:
            self._line.settimeout(max(deadline - time.monotonic(), 0.001))
            self._line.sendall(HEAD.pack(len(data)) + data)
        except TimeoutError:
            raise
        except OSError:
            raise ChildGone from None

    def receive(self, deadline: float) -> tuple[Any, ...]:
        """The next message; raises ``ChildGone``, ``Protocol`` or ``TimeoutError``."""
        length = HEAD.unpack(read(self._line, HEAD.size, deadline))[0]
        if length > self._limit:
            raise Protocol(f"a message of {length} bytes")
        try:
            message = codec.decode(read(self._line, length, deadline))
        except codec.Refused as error:
            raise Protocol(str(error)) from None
        if not isinstance(message, tuple) or not message or not isinstance(message[0], str):
            raise Protocol("a message that is no answer")
        return message

    def end(self) -> End:
        """Kill the process with its descendants."""
        self._line.close()
        return self._worker.end(self._pid)


def read(line: socket.socket, length: int, deadline: float) -> bytes:
    """Exactly ``length`` bytes; raises ``ChildGone`` at the end of the line, ``TimeoutError`` at the deadline."""
    parts = []
    while length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            line.settimeout(left)
            part = line.recv(min(length, 1 << 20))
        except TimeoutError:
            raise
        except OSError:
            raise ChildGone from None
        if not part:
            raise ChildGone
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
