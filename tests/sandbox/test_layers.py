"""Each layer by itself: with the others left out it still refuses what it is there for; and what holds without them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from collm.sandbox import Call, Job, Returned, Sandbox, Stopped
from collm.sandbox.level import FULL, LAYERS, LIMITS_ONLY, PARTIAL, from_layers
from tests.sandbox.programs import QUICK, call, still_works

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="layers of the Linux kernel")

OPEN = (
    "import os\ndef f(path):\n"
    "    try: os.close(os.open(path, os.O_RDONLY))\n"
    "    except OSError as e: return type(e).__name__\n    return 'open'"
)
SOCKET = (
    "import socket\ndef f(port):\n"
    "    try: socket.socket().connect(('127.0.0.1', port))\n"
    "    except OSError as e: return type(e).__name__\n    return 'open'"
)
KILL = (
    "import os, signal\ndef f(pid):\n"
    "    try: os.kill(pid, signal.SIGCONT)\n"
    "    except OSError as e: return type(e).__name__\n    return 'sent'"
)


def only(*names: str, keep: tuple[str, ...] = ()) -> Sandbox:
    """A pool with just these layers, or a skip where the system does not offer them."""
    pool = Sandbox(1, QUICK, without=tuple(name for name in LAYERS if name not in names + keep))
    for name in names:
        if name in pool.level.missing:
            reason = pool.level.missing[name]
            pool.close()
            pytest.skip(f"{name}: {reason}")
    return pool


@pytest.fixture
def readable(tmp_path: Path) -> str:
    """A file that anybody may read."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/tmp") and folder.is_relative_to("/tmp"):
            folder.chmod(0o755)
    path = tmp_path / "note"
    path.write_text("x")
    path.chmod(0o644)
    return str(path)


def test_the_level_is_what_the_layers_say() -> None:
    everything = dict.fromkeys(LAYERS, "")
    assert from_layers(everything).name == FULL
    assert from_layers({**everything, "user namespace": "refused"}).name == FULL
    partial = from_layers({**everything, "landlock": "no such call"})
    assert (partial.name, partial.missing["landlock"]) == (PARTIAL, "no such call")
    assert str(partial) == "partial (without landlock)"
    assert from_layers({"limits": "", "memory limit": "", "process limit": ""}).name == LIMITS_ONLY


def test_reported_layers_are_a_partition(sandbox: Sandbox) -> None:
    level = sandbox.level
    assert sorted((*level.layers, *level.missing)) == sorted(LAYERS)
    assert {"limits", "memory limit"} <= set(level.layers)


@LINUX
def test_landlock_alone_hides_files(readable: str) -> None:
    with only() as bare:
        assert call(bare, OPEN, readable) == Returned("open")
    with only("landlock", "no new privileges") as pool:
        assert call(pool, OPEN, readable) == Returned("PermissionError")


@LINUX
def test_a_private_root_alone_hides_files(readable: str) -> None:
    with only("private root", "mount namespace", "process namespace", keep=("user namespace",)) as pool:
        assert call(pool, OPEN, readable) == Returned("FileNotFoundError")
        library = Path(os.path.realpath(os.__file__)).parts[1]
        assert call(pool, "import os\ndef f(): return set(os.listdir('/'))") == Returned({"empty", library})
        assert call(pool, "import csv, os\ndef f(): return os.getcwd(), os.listdir('.')") == Returned(("/empty", []))


@LINUX
def test_network_and_seccomp_each_keep_from_a_listening_port() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with only() as bare:
            assert call(bare, SOCKET, port) == Returned("open")
        with only("network namespace", keep=("user namespace",)) as pool:
            assert call(pool, SOCKET, port) == Returned("OSError")
        with only("seccomp", "no new privileges") as pool:
            assert call(pool, SOCKET, port) == Returned("PermissionError")


@LINUX
def test_a_process_namespace_alone_hides_the_trainer() -> None:
    with only("process namespace", keep=("user namespace",)) as pool:
        assert call(pool, KILL, os.getpid()) == Returned("ProcessLookupError")
        assert call(pool, "import os\ndef f(): return os.getpid(), os.getppid()") == Returned((1, 0))


@LINUX
def test_the_process_limit_alone_refuses_processes() -> None:
    with only("process limit", "unprivileged") as pool:
        assert call(
            pool, "import os\ndef f():\n    try: os.fork()\n    except BlockingIOError: return 'refused'"
        ) == Returned("refused")


ESCAPE = """
import os, signal, time
def f(mark):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)
            while True:
                time.sleep(0.01)
                mark_name = mark
        os._exit(0)
    TAIL
"""


@LINUX
@pytest.mark.parametrize("tail", ["return 1", "os._exit(0)", "time.sleep(60)"])
@pytest.mark.parametrize("layer", ["process namespace", None])
def test_a_daemon_dies_with_its_program(tail: str, layer: str | None) -> None:
    """Forking is allowed here; a twice forked child in a session of its own is killed with the rest."""
    with only(*([layer] if layer else []), keep=("user namespace",)) as pool:
        before = below(pool)
        pool.run([Job(ESCAPE.replace("TAIL", tail), (Call("f", ("mark",)),))])
        assert below(pool) == before
        assert still_works(pool)


@LINUX
@pytest.mark.parametrize("layer", ["process namespace", None])
def test_a_fork_bomb_that_may_fork_dies_too(layer: str | None) -> None:
    """Sixty processes that start each other; bounded, because here no layer bounds them."""
    source = (
        "import os, time\ndef f():\n    for _ in range(6):\n        if os.fork() == 0: os.setsid()\n    time.sleep(60)"
    )
    with only(*([layer] if layer else []), keep=("user namespace",)) as pool:
        before = below(pool)
        result = pool.run([Job(source, (Call("f"),))])[0].results[0]
        assert isinstance(result, Stopped)
        assert below(pool) == before
        assert still_works(pool)


def below(pool: Sandbox) -> set[int]:
    """Process ids of everything that descends from the pool's worker."""
    worker = pool._idle.get()
    pool._idle.put(worker)
    return descendants(worker.pid)


def descendants(root: int) -> set[int]:
    found: set[int] = set()
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        found |= {int(child) for child in children}
        waiting += [int(child) for child in children]
    return found


PARENT = """
import sys
from collm.sandbox import Call, Job, Limits, Sandbox
pool = Sandbox(2, Limits(seconds=60, cpu_seconds=50))
print(pool._idle.queue[0].pid, pool._idle.queue[1].pid, flush=True)
pool.run([Job(f"# {i}\\nimport time\\ndef f(): time.sleep(50)", (Call("f"),)) for i in range(2)])
"""


@LINUX
def test_everything_dies_with_the_parent() -> None:
    """Kill a process that has a sandbox at work: workers and programs go with it."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    deadline = time.monotonic() + 10
    while any(len(descendants(worker)) < 2 for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    everything = set(workers).union(*(descendants(worker) for worker in workers))
    assert len(everything) == 6  # keeper, zygote and program, twice
    parent.kill()
    parent.wait()
    parent.stdout.close()
    while any(alive(pid) for pid in everything) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in everything if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@LINUX
@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become somebody else")
def test_an_ordinary_user_gets_the_same_protection(tmp_path: Path) -> None:
    """The same pool without the superuser's rights; the interpreter must be one that others may run."""
    interpreter = "/usr/bin/python3"
    newest = subprocess.run(
        [interpreter, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True, text=True
    )
    if newest.stdout.strip() != "True":
        pytest.skip(f"{interpreter} is missing or older than 3.11")
    script = (
        "from collm.sandbox import *\n"
        "with Sandbox(1) as s: print(s.level.name, s.run([Job('def f(): return 7', (Call('f'),))])[0].results)"
    )
    # A copy where anybody may read: the repository may lie in a folder that is its owner's alone.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        shutil.copytree("src/collm", Path(place) / "collm", ignore=shutil.ignore_patterns("weights", "__pycache__"))
        done = subprocess.run(
            [interpreter, "-c", script],
            user=65533,
            group=65533,
            extra_groups=[],
            env={"PYTHONPATH": place},
            cwd="/",
            capture_output=True,
            text=True,
        )
    assert done.stdout.strip() == "full (Returned(value=7),)", done.stderr
