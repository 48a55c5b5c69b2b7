"""A worker's first process: makes the namespaces, starts the zygote in them, and ends it with the parent.

It exists because a process cannot move itself into a new process namespace, only its children, and because the parent
may die without a word: the keeper watches the parent and takes the zygote, hence everything below, with it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time

from . import confine, kernel, zygote

_NAMESPACES = {
    "mount namespace": kernel.CLONE_NEWNS,
    "network namespace": kernel.CLONE_NEWNET,
    "ipc namespace": kernel.CLONE_NEWIPC,
    "host name namespace": kernel.CLONE_NEWUTS,
    "process namespace": kernel.CLONE_NEWPID,
}


def main(descriptor: str, parent: str, bounds: str) -> None:
    """Run until the parent, the zygote or the control socket ends."""
    if os.getppid() != int(parent):
        return
    control = socket.socket(fileno=int(descriptor))
    tools = confine.Tools(_read_bounds(bounds))
    watch = _handle(int(parent))
    if kernel.LINUX:
        _make_namespaces(tools)
    pid = os.fork()
    if pid == 0:
        if watch is not None:
            os.close(watch)
        zygote.run(control, tools)
        os._exit(0)
    control.close()
    _keep(pid, int(parent), watch)


def _read_bounds(text: str) -> confine.Bounds:
    values = json.loads(text)
    return confine.Bounds(**{**values, "without": tuple(values["without"])})


def _make_namespaces(tools: confine.Tools) -> None:
    without = tools.bounds.without
    if "user namespace" not in without:
        tools.reasons["user namespace"] = _try_own_user()
        if not tools.reasons["user namespace"]:
            _own_user()
            tools.own_user = True
    for name, flag in _NAMESPACES.items():
        if name not in without:
            try:
                kernel.unshare(flag)
                tools.reasons[name] = ""
            except OSError as error:
                tools.reasons[name] = str(error)


def _try_own_user() -> str:
    """Enter one in a process that is thrown away: "" or why it failed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _own_user()
            os.write(writing, b"ok")
        except OSError as error:
            os.write(writing, str(error).encode()[:500])
        os._exit(0)
    os.close(writing)
    answer = os.read(reading, 500).decode()
    os.close(reading)
    os.waitpid(pid, 0)
    return "" if answer == "ok" else answer or "the trial process ended"


def _own_user() -> None:
    """Enter a user namespace with one user in it: nobody if we are the superuser outside, else ourselves.

    Only a process that stayed outside may write such a table, so a helper does.
    """
    if os.geteuid() == 0:
        user = group = confine.NOBODY
    else:
        user, group = os.geteuid(), os.getegid()
    target = os.getpid()
    go, ready = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(ready)
        os._exit(0 if os.read(go, 1) and _write_tables(target, user, group) else 1)
    os.close(go)
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
        os.write(ready, b"!")
    finally:
        os.close(ready)
        failed = os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1])
    if failed:
        raise OSError("the table of users cannot be written")


def _write_tables(target: int, user: int, group: int) -> bool:
    try:
        if os.geteuid() != 0:
            _write(target, "setgroups", "deny")
        _write(target, "uid_map", f"{user} {user} 1\n")
        _write(target, "gid_map", f"{group} {group} 1\n")
    except OSError:
        return False
    return True


def _write(target: int, table: str, text: str) -> None:
    handle = os.open(f"/proc/{target}/{table}", os.O_WRONLY)
    os.write(handle, text.encode())
    os.close(handle)


def _handle(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _keep(zygote_pid: int, parent: int, watch: int | None) -> None:
    """Wait for the end of the zygote or of the parent, whichever is first."""
    own = _handle(zygote_pid)
    if watch is not None and own is not None:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        poll.register(own, select.POLLIN)
        poll.poll()
    else:
        while os.getppid() == parent and os.waitpid(zygote_pid, os.WNOHANG) == (0, 0):
            time.sleep(0.1)
    try:
        os.kill(zygote_pid, signal.SIGKILL)
        os.waitpid(zygote_pid, 0)
    except OSError:  # it has ended and was waited for
        return
