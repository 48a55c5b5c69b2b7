"""The layers of confinement of one child, applied from the inside before anything untrusted is read.

Each is tried in a trial child first (``attempt``): what it forbids is attempted, and the layer counts only if the attempt
fails.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import socket
from collections.abc import Callable

from . import kernel

_MEBIBYTE = 2**20
_DESCRIPTORS = 32
NOBODY = 65534


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What the keeper is told when it starts."""

    cpu_seconds: int
    memory_mib: int
    message_bytes: int
    without: tuple[str, ...]


@dataclasses.dataclass
class Tools:
    """What the zygote prepares once for all its children; None where a layer is not to be had."""

    bounds: Bounds
    pid_namespace: int | None = None
    """Descriptor of the zygote's own process namespace, from which each child gets one below."""
    landlock_rules: int | None = None
    """Descriptor of the rules."""
    seccomp_filter: bytes | None = None
    superuser: bool = dataclasses.field(default_factory=lambda: os.geteuid() == 0)
    """The worker was started by the superuser."""
    own_user: bool = False
    """A user namespace holds the worker; the zygote has left the identity of the superuser."""
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)
    """Layers of the worker as a whole: name → "" if it holds, else why not."""


Layer = tuple[Callable[[], None], Callable[[], bool]]
"""How a layer is applied, and whether what it forbids really fails afterwards."""


def child_layers(tools: Tools) -> dict[str, Layer]:
    """The layers by name, in the order in which they must be applied."""
    bounds = tools.bounds
    layers: dict[str, Layer] = {
        "unprivileged": (lambda: _give_up_privileges(tools), lambda: _fails(lambda: os.chroot("/"))),
        "limits": (lambda: _limits(bounds), lambda: resource.getrlimit(resource.RLIMIT_FSIZE) == (0, 0)),
        "memory limit": (
            lambda: _limit_memory(bounds),
            lambda: _fails(lambda: bytearray(bounds.memory_mib * _MEBIBYTE)),
        ),
        "process limit": (lambda: _limit(resource.RLIMIT_NPROC, 0), lambda: _fails(_fork)),
    }
    if kernel.LINUX:
        layers["no new privileges"] = (kernel.no_new_privileges, lambda: True)
        layers["landlock"] = (lambda: _landlock(tools), lambda: _fails(lambda: os.open("/", os.O_RDONLY)))
        layers["seccomp"] = (lambda: _seccomp(tools), lambda: _fails(lambda: socket.socketpair()))
    return {name: layer for name, layer in layers.items() if name not in bounds.without}


def attempt(layers: dict[str, Layer]) -> dict[str, str]:
    """Apply each layer to the caller and test it: name → "" if it holds, else why not."""
    outcome = {}
    for name, (apply, holds) in layers.items():
        try:
            apply()
            outcome[name] = "" if holds() else "it is accepted and has no effect"
        except OSError as error:
            outcome[name] = str(error)
    return outcome


def _fails(action: Callable[[], object]) -> bool:
    try:
        action()
    except (OSError, MemoryError):
        return True
    return False


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _limit(kind: int, value: int, grace: int = 0) -> None:
    """Beyond ``value`` the kernel warns, beyond ``value`` + ``grace`` it acts."""
    hard = resource.getrlimit(kind)[1]
    soft, last = (each if hard == resource.RLIM_INFINITY else min(each, hard) for each in (value, value + grace))
    try:
        resource.setrlimit(kind, (soft, last))
    except ValueError as error:
        raise OSError(str(error)) from None


def _limit_memory(bounds: Bounds) -> None:
    _limit(resource.RLIMIT_AS, bounds.memory_mib * _MEBIBYTE)


def _limits(bounds: Bounds) -> None:
    # The warning is a signal of its own, which ends a program that does not ignore it and tells why it ended.
    _limit(resource.RLIMIT_CPU, bounds.cpu_seconds, grace=1)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _DESCRIPTORS)


def _give_up_privileges(tools: Tools) -> None:
    """No superuser and no capabilities; nobody else of the same user may look into the process."""
    if tools.superuser and not tools.own_user:
        become_nobody()
    if kernel.LINUX:
        kernel.drop_capabilities()
        kernel.forbid_inspection()
        kernel.die_with_parent(signal.SIGKILL)


def become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def _landlock(tools: Tools) -> None:
    if tools.landlock_rules is None:
        raise OSError(tools.reasons["landlock"])
    kernel.landlock(tools.landlock_rules)


def _seccomp(tools: Tools) -> None:
    if tools.seccomp_filter is None:
        raise OSError(tools.reasons["seccomp"])
    kernel.seccomp(tools.seccomp_filter)
