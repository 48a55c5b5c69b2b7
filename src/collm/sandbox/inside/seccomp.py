"""The system calls a child may make: what an interpreter needs to compute and to read modules, and no more.

There is no call in the list that makes a process or thread, runs a program, opens a socket, sends a signal, traces,
changes a file or sets a timer. All others fail with EPERM, which Python code sees as ``PermissionError``.
"""

from __future__ import annotations

import errno
import struct

_X86_64 = {
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mmap": 9,
    "mprotect": 10, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "pread64": 17, "readv": 19, "writev": 20, "access": 21, "select": 23, "sched_yield": 24, "mremap": 25,
    "madvise": 28, "dup": 32, "nanosleep": 35, "getpid": 39, "exit": 60, "uname": 63, "getcwd": 79,
    "readlink": 89, "gettimeofday": 96, "getrusage": 98, "sysinfo": 99, "times": 100, "getuid": 102, "getgid": 104,
    "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131, "gettid": 186, "time": 201, "futex": 202,
    "sched_getaffinity": 204, "getdents64": 217, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229,
    "clock_nanosleep": 230, "exit_group": 231, "newfstatat": 262, "readlinkat": 267, "faccessat": 269,
    "pselect6": 270, "ppoll": 271, "getrandom": 318, "membarrier": 324, "statx": 332, "rseq": 334,
}  # fmt: skip
_AARCH64 = {
    "getcwd": 17, "dup": 23, "faccessat": 48, "close": 57, "getdents64": 61, "lseek": 62, "read": 63, "write": 64,
    "readv": 65, "writev": 66, "pread64": 67, "pselect6": 72, "ppoll": 73, "readlinkat": 78, "newfstatat": 79,
    "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98, "nanosleep": 101, "clock_gettime": 113,
    "clock_getres": 114, "clock_nanosleep": 115, "sched_getaffinity": 123, "sched_yield": 124,
    "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
    "times": 153, "uname": 160, "getrusage": 165, "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174,
    "geteuid": 175, "getgid": 176, "getegid": 177, "gettid": 178, "sysinfo": 179, "brk": 214, "munmap": 215,
    "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233, "getrandom": 278, "membarrier": 283, "statx": 291,
    "rseq": 293,
}  # fmt: skip

_OPENAT = {"x86_64": 257, "aarch64": 56}
_FCNTL = {"x86_64": 72, "aarch64": 25}
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_ALLOWED = {"x86_64": _X86_64, "aarch64": _AARCH64}

_FCNTL_COMMANDS = (1, 2, 3, 1030)
"""F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC; F_SETOWN would let the kernel send signals for the caller."""
_OPEN_CHANGES = 0o3 | 0o100 | 0o1000 | 0o20000000
"""O_WRONLY, O_RDWR, O_CREAT, O_TRUNC and the bit of O_TMPFILE: any of them may change a file."""

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_KILL, _ALLOW, _DENY = 0x80000000, 0x7FFF0000, 0x00050000 | errno.EPERM
_NUMBER, _ARCH, _ARGUMENT_1, _ARGUMENT_2 = 0, 4, 24, 32
"""Offsets in the kernel's description of a call; the low halves of its arguments, little-endian."""


def program(machine: str) -> bytes:
    """The filter for ``machine`` (as ``os.uname`` names it), or ``OSError`` where call numbers are not known."""
    if machine not in _ALLOWED:
        raise OSError(f"system call numbers of {machine} are not known")
    fcntl = [_jump(_EQUAL, command, 0, 1) + _return(_ALLOW) for command in _FCNTL_COMMANDS]
    parts = [
        _load(_ARCH),
        _jump(_EQUAL, _ARCHITECTURE[machine], 1, 0),
        _return(_KILL),
        _load(_NUMBER),
        *(_jump(_EQUAL, number, 0, 1) + _return(_ALLOW) for number in sorted(_ALLOWED[machine].values())),
        _jump(_EQUAL, _OPENAT[machine], 0, 4),
        _load(_ARGUMENT_2),
        _jump(_ANY_BIT, _OPEN_CHANGES, 0, 1),
        _return(_DENY),
        _return(_ALLOW),
        _jump(_EQUAL, _FCNTL[machine], 0, 1 + 2 * len(fcntl)),
        _load(_ARGUMENT_1),
        *fcntl,
        _return(_DENY),
    ]
    return b"".join(parts)


def _load(offset: int) -> bytes:
    return struct.pack("HBBI", _LOAD, 0, 0, offset)


def _jump(kind: int, value: int, if_true: int, if_false: int) -> bytes:
    return struct.pack("HBBI", kind, if_true, if_false, value)


def _return(value: int) -> bytes:
    return struct.pack("HBBI", _RETURN, 0, 0, value)
