"""A worker's warm process: an interpreter with the usual modules loaded that forks one child per role and job.

It runs no tested code. Its children are killed, with all their descendants, when the parent says so or goes away.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import signal
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Callable

from . import codec, confine, judge, kernel, seccomp, subject
from .channel import ENDED, HEAD, REQUEST, STARTED, Channel

_WARM = (
    "abc", "array", "base64", "binascii", "bisect", "builtins", "calendar", "cmath", "collections",
    "collections.abc", "copy", "dataclasses", "datetime", "decimal", "encodings.ascii", "encodings.latin_1",
    "enum", "fractions", "functools", "hashlib", "heapq", "inspect", "io", "itertools", "json", "math", "numbers",
    "operator", "pprint", "queue", "random", "re", "secrets", "statistics", "string", "struct", "textwrap",
    "time", "traceback", "types", "typing", "unicodedata", "warnings", "zlib",
)  # fmt: skip
"""Modules that programs import often; others are read from the standard library where a program asks for them."""

_SWEEPS = 2000
_RECURSION = 1000


def run(control: socket.socket, tools: confine.Tools) -> None:
    """Prepare, tell the parent which layers hold, and serve its requests until the line ends."""
    for name in _WARM:
        importlib.import_module(name)
    _prepare(tools)
    outcome = _trial(tools)
    greeting = codec.encode({**tools.reasons, **outcome})
    control.sendall(HEAD.pack(len(greeting)) + greeting)
    holding = [name for name, reason in outcome.items() if not reason]
    gc.collect()
    gc.freeze()
    _serve(control, tools, holding)


def _prepare(tools: confine.Tools) -> None:
    """Everything that is the same for all children and must be done with more rights than they have."""
    library, hidden = _library()
    without = tools.bounds.without
    if tools.reasons.get("process namespace") == "":
        tools.reasons["process namespace"] = _reason(lambda: _own_processes(tools))
    if kernel.LINUX and tools.pid_namespace is None:
        kernel.adopt_orphans()
    if kernel.LINUX and "landlock" not in without:
        tools.reasons["landlock"] = _reason(lambda: _landlock_rules(tools, library, hidden))
    if kernel.LINUX and "seccomp" not in without:
        tools.reasons["seccomp"] = _reason(lambda: _seccomp_filter(tools))
    os.chdir(tempfile.mkdtemp(prefix="collm-"))
    os.rmdir(os.getcwd())
    if kernel.LINUX and "private root" not in without:
        tools.reasons["private root"] = _reason(lambda: _private_root(tools, library, hidden))
    _settle(tools)
    if kernel.LINUX:
        kernel.die_with_parent(signal.SIGKILL)


def _reason(action: Callable[[], None]) -> str:
    try:
        action()
    except OSError as error:
        return str(error)
    return ""


def _own_processes(tools: confine.Tools) -> None:
    handle = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    kernel.enter(handle, kernel.CLONE_NEWPID)
    tools.pid_namespace = handle


def _landlock_rules(tools: confine.Tools, library: str, hidden: list[str]) -> None:
    tools.landlock_rules = kernel.landlock_rules(_readable(library, hidden))


def _seccomp_filter(tools: confine.Tools) -> None:
    tools.seccomp_filter = seccomp.program(os.uname().machine)


def _private_root(tools: confine.Tools, library: str, hidden: list[str]) -> None:
    if tools.reasons.get("mount namespace") != "" or tools.pid_namespace is None:
        raise OSError("needs a mount namespace and a process namespace")
    kernel.private_root(os.path.dirname(__file__), [library], hidden, lambda: _settle(tools))


def _settle(tools: confine.Tools) -> None:
    """Leave the identity of the superuser, if a user namespace keeps the rights that are still needed."""
    if tools.own_user and tools.superuser:
        confine.become_nobody()


def _library() -> tuple[str, list[str]]:
    """The folder of the standard library, and the folders in it that hold other people's packages."""
    library = os.path.realpath(sysconfig.get_path("stdlib"))
    names = ("site-packages", "dist-packages")
    return library, [os.path.join(library, name) for name in names if os.path.isdir(os.path.join(library, name))]


def _readable(library: str, hidden: list[str]) -> list[str]:
    return [entry.path for entry in os.scandir(library) if entry.path not in hidden and not entry.is_symlink()]


def _trial(tools: confine.Tools) -> dict[str, str]:
    """Apply the layers to a child that is thrown away: name → "" if it holds, else why not."""
    reading, writing = os.pipe()
    pid = _fork(tools)
    if pid == 0:
        outcome = confine.attempt(confine.child_layers(tools))
        os.write(writing, codec.encode(outcome))
        os._exit(0)
    os.close(writing)
    answer = os.read(reading, 65536)
    os.close(reading)
    os.waitpid(pid, 0)
    return codec.decode(answer) if answer else dict.fromkeys(confine.child_layers(tools), "the trial ended")


def _fork(tools: confine.Tools) -> int:
    if tools.pid_namespace is not None:
        kernel.enter(tools.pid_namespace, kernel.CLONE_NEWPID)
        kernel.unshare(kernel.CLONE_NEWPID)
    return os.fork()


def _serve(control: socket.socket, tools: confine.Tools, holding: list[str]) -> None:
    children: set[int] = set()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        if len(data) < REQUEST.size:
            return
        kind, pid = REQUEST.unpack(data)
        if kind == b"S":
            pid = _fork(tools)
            if pid == 0:
                _child(descriptors[0], control, tools, holding)
            os.close(descriptors[0])
            children.add(pid)
            control.sendall(STARTED.pack(pid))
        elif pid in children:
            children.remove(pid)
            control.sendall(ENDED.pack(*_end(pid, children, tools)))


def _child(descriptor: int, control: socket.socket, tools: confine.Tools, holding: list[str]) -> None:
    """Confine this process and play a role. Never returns."""
    try:
        os.setsid()
        control.close()
        outcome = confine.attempt(
            {name: (apply, _untested) for name, (apply, _) in confine.child_layers(tools).items() if name in holding}
        )
        if any(outcome.values()):
            os._exit(1)
        for own in (tools.pid_namespace, tools.landlock_rules):
            if own is not None:
                os.close(own)
        random.seed(0)
        sys.setrecursionlimit(_RECURSION)
        channel = Channel(descriptor, tools.bounds.message_bytes)
        role, *parts = channel.receive()
        (judge if role == "judge" else subject).run(channel, *parts)
    finally:
        os._exit(1)


def _untested() -> bool:
    return True


def _end(pid: int, others: set[int], tools: confine.Tools) -> tuple[int, float]:
    """Kill a child and everything it started."""
    _kill(pid)
    _, status, usage = os.wait4(pid, 0)
    if tools.pid_namespace is None:
        _sweep(pid, others)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime


def _kill(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except OSError:  # it has ended, or has not made its group yet
            continue


def _sweep(group: int, others: set[int]) -> None:
    """Kill descendants that left the group: they became our children when their parents ended."""
    for _ in range(_SWEEPS):
        _kill(group)
        orphans = [pid for pid in _children() if pid not in others]
        if not orphans:
            return
        for pid in orphans:
            _kill(pid)
            os.waitpid(pid, 0)
    os._exit(1)


def _children() -> list[int]:
    """Process ids of our children; none where the system has no list of them."""
    own = os.getpid()
    try:
        handle = os.open(f"/proc/{own}/task/{own}/children", os.O_RDONLY)
    except OSError:
        return []
    try:
        return [int(pid) for pid in os.read(handle, 1 << 20).split()]
    finally:
        os.close(handle)
