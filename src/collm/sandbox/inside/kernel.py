"""The Linux calls that Python does not offer. Every function raises ``OSError`` where the kernel refuses."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Callable, Iterable

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_KEPT_FLAGS = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | 1024 | 2048
"""Mount flags that a bind mount inherits and that a user namespace may not take off."""
_MNT_DETACH = 2

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_SECCOMP_MODE_FILTER = 2

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_READ_FILE, _LANDLOCK_READ_DIR = 1 << 2, 1 << 3
_LANDLOCK_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Number of file rights by version of the interface; 16 from version 5."""
_CAPABILITIES_V3 = 0x20080522
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None


def _call(name: str, *arguments: object) -> int:
    if _libc is None:
        raise OSError(f"{name}: Linux only")
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _system_call(number: int, *arguments: object) -> int:
    return _call("syscall", ctypes.c_long(number), *arguments)


def _prctl(option: int, value: int, pointer: object = 0) -> None:
    _call("prctl", option, ctypes.c_ulong(value), pointer, 0, 0)


def die_with_parent(signal: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, signal)


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of the caller."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_inspection() -> None:
    """Other processes of the same user may neither trace the caller nor open its memory."""
    _prctl(_PR_SET_DUMPABLE, 0)


def no_new_privileges() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def enter(descriptor: int, kind: int) -> None:
    """Go into the namespace of that kind that the descriptor stands for."""
    _call("setns", descriptor, kind)


def drop_capabilities() -> None:
    header = struct.pack("Ii", _CAPABILITIES_V3, 0)
    _call("capset", header, bytes(24))


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    kind_bytes = kind.encode() if kind else None
    data_bytes = data.encode() if data else None
    _call("mount", source.encode(), target.encode(), kind_bytes, ctypes.c_ulong(flags), data_bytes)


def private_root(place: str, readable: Iterable[str], hidden: Iterable[str], settle: Callable[[], None]) -> None:
    """Make a root that holds only the ``readable`` folders, read-only, and empty ones in place of the ``hidden``.

    ``place`` is any folder that exists; the caller needs a mount namespace of its own. ``settle`` takes on the final
    identity: what is read is found under the first one, which may be the only one that finds it, and folders are made
    under the final one, because the first may not exist in the user namespace. The working folder is then ``/empty``.
    """
    machine = os.uname().machine
    if machine not in _PIVOT_ROOT:
        raise OSError(f"the call number of pivot_root on {machine} is not known")
    handles = {folder: os.open(folder, os.O_PATH | os.O_CLOEXEC) for folder in readable}
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", place, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=777")
    os.chdir(place)
    settle()
    os.mkdir("empty")
    for folder, handle in handles.items():
        target = f".{folder}"
        os.makedirs(target, exist_ok=True)
        _mount(f"/proc/self/fd/{handle}", target, None, _MS_BIND | _MS_REC)
        os.close(handle)
        kept = os.statvfs(target).f_flag & _KEPT_FLAGS
        _mount("none", target, None, _MS_REMOUNT | _MS_BIND | kept | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    for folder in hidden:
        _mount("tmpfs", f".{folder}", "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_RDONLY, "size=4k,mode=755")
    _system_call(_PIVOT_ROOT[machine], b".", b".")
    _call("umount2", b".", _MNT_DETACH)
    _mount("none", "/", None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV)
    os.chdir("/empty")


def landlock_rules(readable: Iterable[str]) -> int:
    """A descriptor of rules that allow reading beneath the given paths and no other use of files or of TCP."""
    version = _system_call(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    rights = (1 << _LANDLOCK_FILE_RIGHTS.get(version, 16)) - 1
    network, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = _system_call(_LANDLOCK_CREATE, struct.pack("QQQ", rights, network, scopes), ctypes.c_size_t(size), 0)
    for path in readable:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = _LANDLOCK_READ_FILE | (_LANDLOCK_READ_DIR if os.path.isdir(path) else 0)
        _system_call(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", allowed, handle), 0)
        os.close(handle)
    return rules


def landlock(rules: int) -> None:
    """Put the caller under the rules; needs ``no_new_privileges``."""
    _system_call(_LANDLOCK_RESTRICT, rules, 0)


def seccomp(program: bytes) -> None:
    """Put the caller under a filter of system calls (a BPF program); needs ``no_new_privileges``."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header)
