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
from collm.sandbox.inside.channel import ENDED, HEAD, REQUEST, STARTED
from collm.sandbox.jobs import Limits

_FLAGS = ("-s", "-S", "-P", "-B", "-X", "utf8")
_ENVIRONMENT = {"PYTHONHASHSEED": "0", "TZ": "UTC"}
_KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
"""Variables without which some interpreters do not start."""
_BEGIN = "import sys; sys.path.append(sys.argv[1]); from inside.keeper import main; sys.path.pop(); main(*sys.argv[2:])"
_PIECE = 1 << 18
_LATENESS = 0.05
"""Seconds by which a deadline may be missed."""
_PATIENCE = 20.0
"""Seconds for a worker's own answers, which take milliseconds."""


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
        ours, theirs = socket.socketpair()
        self._control = _Line(ours)
        bounds = {
            "cpu_seconds": limits.cpu_seconds,
            "memory_mib": limits.memory_mib,
            "message_bytes": limits.value_bytes,
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
            self._control.send_descriptor(REQUEST.pack(b"S", 0), theirs.fileno())
            pid = STARTED.unpack(self._read(STARTED.size, time.monotonic() + _PATIENCE))[0]
        except (OSError, WorkerLost):
            ours.close()
            raise WorkerLost from None
        finally:
            theirs.close()
        return Child(self, _Line(ours), pid, self.limits.value_bytes)

    def end(self, pid: int) -> End:
        """Kill a child and all its descendants."""
        try:
            self._control.write(REQUEST.pack(b"E", pid), time.monotonic() + _PATIENCE)
        except (ChildGone, TimeoutError):
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
            return self._control.read(length, deadline)
        except (ChildGone, TimeoutError):
            raise WorkerLost from None


class Child:
    """A confined process and the line to it. Nothing that comes over the line is trusted."""

    def __init__(self, worker: Worker, line: _Line, pid: int, limit: int):
        self._worker = worker
        self._line = line
        self._pid = pid
        self._limit = limit

    def send(self, message: tuple[Any, ...], deadline: float) -> None:
        """Raises ``ChildGone``, or ``TimeoutError`` at the deadline (as of ``time.monotonic``)."""
        data = codec.encode(message)
        self._line.write(HEAD.pack(len(data)) + data, deadline)

    def receive(self, deadline: float) -> tuple[Any, ...]:
        """The next message; raises ``ChildGone``, ``Protocol`` or ``TimeoutError``."""
        length = HEAD.unpack(self._line.read(HEAD.size, deadline))[0]
        if length > self._limit:
            raise Protocol(f"a message of {length} bytes")
        try:
            message = codec.decode(self._line.read(length, deadline))
        except codec.Refused as error:
            raise Protocol(str(error)) from None
        if not isinstance(message, tuple) or not message or not isinstance(message[0], str):
            raise Protocol("a message that is no answer")
        return message

    def end(self) -> End:
        """Kill the process with its descendants."""
        self._line.close()
        return self._worker.end(self._pid)


class _Line:
    """Exact reads and whole writes on a socket until a deadline (as of ``time.monotonic``)."""

    def __init__(self, line: socket.socket):
        self._socket = line
        self._ahead = b""
        self._timeout = 0.0

    def write(self, data: bytes, deadline: float) -> None:
        """Raises ``ChildGone`` at the end of the line, ``TimeoutError`` at the deadline."""
        self._until(deadline)
        try:
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError:
            raise ChildGone from None

    def read(self, length: int, deadline: float) -> bytes:
        """Raises ``ChildGone`` at the end of the line, ``TimeoutError`` at the deadline."""
        while len(self._ahead) < length:
            self._until(deadline)
            try:
                part = self._socket.recv(_PIECE)
            except TimeoutError:
                raise
            except OSError:
                raise ChildGone from None
            if not part:
                raise ChildGone
            self._ahead += part
        data, self._ahead = self._ahead[:length], self._ahead[length:]
        return data

    def _until(self, deadline: float) -> None:
        """A change of the timeout is a system call, so it is made only when it is late by a noticeable time."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if not left <= self._timeout <= left + _LATENESS:
            self._timeout = left
            self._socket.settimeout(left)

    def send_descriptor(self, data: bytes, descriptor: int) -> None:
        socket.send_fds(self._socket, [data], [descriptor])

    def close(self) -> None:
        self._socket.close()
