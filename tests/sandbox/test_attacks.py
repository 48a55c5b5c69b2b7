"""Programs that try to get out, to stall or to fake: what each of them really gets."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from collm.sandbox import Call, Job, Raised, Returned, Sandbox, Stopped
from tests.sandbox.programs import call, check, states, still_works

SQUARES = (
    "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 9\n    assert candidate(4) == 16"
)
HONEST = "def f(x): return x * x"


def stop_of(sandbox: Sandbox, source: str) -> str:
    result = call(sandbox, source)
    assert isinstance(result, Stopped), result
    return result.reason


# Faking a verdict.


@pytest.mark.parametrize("base", ["object", "int", "str", "list"], ids=lambda base: f"always-equal-{base}")
def test_an_always_equal_object_is_no_value(sandbox: Sandbox, base: str) -> None:
    source = (
        f"class A({base}):\n    def __eq__(self, other): return True\n"
        f"    def __hash__(self): return 0\ndef f(x): return A()"
    )
    assert states(check(sandbox, source, SQUARES)) == ["failed"] * 3
    nested = source.replace("return A()", "return [A()]")
    tests = "assert f(2) == [4]\nassert [4] == f(2)\nassert f(2) in ([4], [5])"
    assert states(check(sandbox, nested, tests)) == ["failed"] * 3


def test_type_disguise_does_not_help(sandbox: Sandbox) -> None:
    source = "class A:\n    __class__ = int\n    def __eq__(self, other): return True\ndef f(x):\n    return A()"
    assert states(check(sandbox, source, SQUARES)) == ["failed"] * 3


def test_frames_modules_and_memory_hold_no_tests(sandbox: Sandbox) -> None:
    """The answer looks for the expected 987654321 wherever Python can look."""
    source = """
import gc, sys
def f(x):
    seen = []
    frame = sys._getframe()
    while frame is not None:
        seen.append(repr(frame.f_locals))
        seen.append(repr(frame.f_globals))
        frame = frame.f_back
    seen += [repr(vars(module)) for module in list(sys.modules.values())]
    seen += [repr(thing) for thing in gc.get_objects() if type(thing) in (dict, list, tuple, str)]
    secret = str(123456789)[::-1]
    return any(secret in text for text in seen)
"""
    report = check(
        sandbox, source, "def check(candidate):\n    assert candidate(5) == 987654321\n    assert candidate(6) is False"
    )
    assert states(report) == ["failed", "passed"]


def test_files_hold_no_tests(sandbox: Sandbox) -> None:
    """Not the library with its canonical solutions, not the program's own test file, not the processes' memory."""
    paths = [__file__, os.path.abspath("src/collm/tasks/registry.py"), "/etc/passwd", "/proc/self/mem"]
    paths += [f"/proc/{os.getpid()}/mem", f"/proc/{os.getpid()}/environ", os.path.expanduser("~"), "/", "."]
    source = """
import os
def f(paths):
    out = []
    for path in paths:
        for way in (lambda: open(path, "rb").read(1), lambda: os.listdir(path)):
            try:
                out.append((path, len(way())))
            except OSError:
                pass
    return out
"""
    assert call(sandbox, source, paths) in (Returned([]), Returned([(".", 0)]))


def test_builtins_can_be_broken_without_use(sandbox: Sandbox) -> None:
    source = """
import builtins, json, operator, types
class Yes:
    def __eq__(self, other): return True
builtins.AssertionError = type("Quiet", (Exception,), {})
builtins.all = builtins.any = builtins.isinstance = lambda *a: True
builtins.len = lambda x: 4
operator.eq = lambda a, b: True
json.loads = json.dumps = lambda *a, **k: Yes()
def f(x): return 0
"""
    assert "passed" not in states(check(sandbox, source, SQUARES))
    assert states(check(sandbox, HONEST, SQUARES)) == ["passed"] * 3


def test_patching_the_runner_earns_what_the_values_earn(sandbox: Sandbox) -> None:
    """Sending answers directly is no more than returning them, and sending verdicts is no answer at all."""
    send = """
import sys
def f(x):
    frame = sys._getframe()
    while "channel" not in frame.f_locals:
        frame = frame.f_back
    channel = frame.f_locals["channel"]
    MESSAGES
    import os
    os._exit(0)
"""
    forged = send.replace("MESSAGES", "[channel.send(('value', v)) for v in (4, 9, 16)]")
    assert states(check(sandbox, forged, SQUARES))[0] == "passed"
    verdicts = send.replace("MESSAGES", "[channel.send(('verdict', i, None)) for i in range(3)]")
    assert states(check(sandbox, verdicts, SQUARES)) == ["failed"] * 3
    end = send.replace("MESSAGES", "channel.send(('end',))")
    assert states(check(sandbox, end, SQUARES)) == ["failed"] * 3


def test_garbage_on_the_line_is_a_protocol_error(sandbox: Sandbox) -> None:
    for noise in ("b'\\0\\0\\0\\1Q'", "b'\\xff' * 64", "b'\\0\\0\\0\\6l\\0\\0\\0\\0N'"):
        source = (
            f"import os\ndef f():\n    for n in range(3, 32):\n"
            f"        try: os.write(n, {noise})\n        except OSError: pass\n"
            f"    return 1"
        )
        assert stop_of(sandbox, source) == "protocol"
    flood = (
        "import os\ndef f():\n    while True:\n        for n in range(3, 32):\n"
        "            try: os.write(n, b'\\0' * 65536)\n"
        "            except OSError: pass"
    )
    assert stop_of(sandbox, flood) in ("protocol", "time")
    assert still_works(sandbox)


def test_closing_the_line_ends_the_program(sandbox: Sandbox) -> None:
    assert stop_of(sandbox, "import os\ndef f():\n    os.closerange(0, 64)\n    return 1") in ("exit", "killed")
    assert stop_of(sandbox, "import os, time\ndef f():\n    os.closerange(3, 64)\n    time.sleep(60)") == "killed"


# Ending or stalling.


def test_exits_end_the_program_only(sandbox: Sandbox) -> None:
    assert call(sandbox, "import sys\ndef f(): sys.exit(0)") == Raised("SystemExit", "0")
    assert call(sandbox, "def f(): exit()") == Raised("NameError", "name 'exit' is not defined")
    assert call(sandbox, "import os\ndef f(): os._exit(7)") == Stopped("exit", "with status 7")
    assert stop_of(sandbox, "import os\ndef f(): os.abort()") == "killed"
    assert stop_of(sandbox, "import ctypes\ndef f(): ctypes.string_at(0)") == "killed"
    assert stop_of(
        sandbox,
        (
            "import sys\nsys.setrecursionlimit(10**9)\ndef f():\n    class A:\n"
            "        def __repr__(self): return repr(self)\n    return repr(A())"
        ),
    ) in ("killed", "memory")
    assert still_works(sandbox)


STALLS = {
    "loop": "def f():\n    while True: pass",
    "loop that catches everything": (
        "def f():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    ),
    "big power": "def f(): return 10 ** 10 ** 8",
    "regular expression": "import re\ndef f(): return re.match('(a+)+$', 'a' * 40 + 'b')",
    "sleep": "import time\ndef f(): time.sleep(60)",
    "signals ignored": (
        "import signal\nfor n in range(1, 32):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\ndef f():\n    while True: pass"
    ),
    "output": "def f():\n    while True: print('x' * 10**6)",
    "exception that does not end": "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef f(): raise E",
    "value that does not end": "def f():\n    import itertools\n    return sum(itertools.count())",
}


def test_stalls_are_stopped_in_time_and_cost_the_others_nothing(sandbox: Sandbox) -> None:
    jobs = [Job(source, (Call("f"),)) for source in STALLS.values()]
    mixed = [job for stall in jobs for job in (stall, Job(HONEST, (Call("f", (3,)),)))]
    started = time.monotonic()
    reports = sandbox.run(mixed)
    assert time.monotonic() - started < 2.5 * len(jobs)
    assert all(report.results == (Returned(9),) for report in reports[1::2])
    reasons = [report.results[0].reason for report in reports[::2]]  # type: ignore[union-attr]
    assert reasons == ["time"] * len(jobs)


def test_a_stall_while_loading_is_stopped(sandbox: Sandbox) -> None:
    report = sandbox.run([Job("while True: pass", (Call("f"),))])[0]
    assert isinstance(report.error, Stopped)
    assert report.error.reason == "time"


def test_a_gigabyte_of_output_goes_nowhere(sandbox: Sandbox) -> None:
    source = (
        "import os, sys\ndef f():\n    for _ in range(1024):\n"
        "        os.write(1, bytes(2**20))\n        os.write(2, bytes(2**20))\n"
        "    return 1"
    )
    assert call(sandbox, source) == Returned(1)


def test_a_memory_bomb_meets_its_limit(sandbox: Sandbox) -> None:
    assert stop_of(sandbox, "def f(): return len(bytearray(10**9))") == "memory"
    assert stop_of(sandbox, "def f():\n    x = [0]\n    while True: x = x + x") == "memory"
    results = sandbox.run(
        [
            Job(
                "x = []\ndef f():\n    while True: x.append(bytes(10**6))\ndef g(): x.clear(); return 1",
                (Call("f"), Call("g")),
            )
        ]
    )[0].results
    assert [results[0].reason, results[1]] == ["memory", Returned(1)]  # type: ignore[union-attr]
    assert still_works(sandbox)


def test_threads_and_processes_are_refused(sandbox: Sandbox) -> None:
    bomb = "import os\ndef f():\n    while True: os.fork()"
    thread = "import threading\ndef f():\n    threading.Thread(target=print).start()"
    program = "import os\ndef f(): os.execv('/bin/sh', ['sh'])"
    shell = "import subprocess\ndef f(): return subprocess.run(['/bin/true']).returncode"
    assert isinstance(call(sandbox, bomb), Raised)
    assert isinstance(call(sandbox, thread), Raised)
    assert isinstance(call(sandbox, program), Raised)
    assert isinstance(call(sandbox, shell), Raised)


# Reaching out.


def test_nobody_else_can_be_signalled(sandbox: Sandbox) -> None:
    """Were it not so, this test would not come back."""
    source = """
import ctypes, os, signal
def f(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            return pid
        except OSError:
            pass
    libc = ctypes.CDLL(None, use_errno=True)
    return [libc.ptrace(16, pid, 0, 0) for pid in pids] + [libc.process_vm_readv(pid, 0, 0, 0, 0, 0) for pid in pids]
"""
    pids = [os.getpid(), os.getppid(), 1, -1]
    assert call(sandbox, source, pids) == Returned([-1] * 8)


def test_the_line_cannot_be_made_to_send_signals(sandbox: Sandbox) -> None:
    """F_SETOWN, F_SETSIG and O_ASYNC let the kernel send a signal on behalf of a process that may not."""
    source = (
        "import fcntl\ndef f(pid):\n    for n in range(3, 32):\n"
        "        try: fcntl.fcntl(n, fcntl.F_SETOWN, pid)\n"
        "        except OSError as e: last = e.errno\n    return last"
    )
    assert call(sandbox, source, os.getpid()) in (Returned(1), Returned(9))


def test_the_network_is_not_there(sandbox: Sandbox) -> None:
    source = """
import socket
def f():
    out = []
    for family, kind in ((2, 1), (2, 2), (10, 1), (1, 1), (16, 3)):
        try:
            socket.socket(family, kind).close()
            out.append(family)
        except OSError:
            pass
    return out
"""
    assert call(sandbox, source) == Returned([])


def test_nothing_can_be_written(sandbox: Sandbox, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    victim = tmp_path / "victim"
    victim.write_text("kept")
    victim.chmod(0o666)
    source = """
import os, shutil, tempfile
def f(folder):
    out = []
    ways = {
        "create": lambda: open(folder + "/made", "w"),
        "truncate": lambda: open(folder + "/victim", "w"),
        "here": lambda: open("made", "w"),
        "tmp": lambda: tempfile.mkstemp(),
        "remove": lambda: os.remove(folder + "/victim"),
        "rename": lambda: os.rename(folder + "/victim", folder + "/moved"),
        "folder": lambda: os.mkdir(folder + "/made"),
        "mode": lambda: os.chmod(folder + "/victim", 0),
        "link": lambda: os.symlink("/", folder + "/made"),
        "tree": lambda: shutil.rmtree(folder),
        "os": lambda: os.truncate(folder + "/victim", 0),
        "library": lambda: open(os.__file__, "a"),
        "memory": lambda: os.memfd_create("x"),
        "device": lambda: open("/dev/shm/made", "w"),
    }
    for name, way in ways.items():
        try:
            way()
            out.append(name)
        except OSError:
            pass
    return out
"""
    assert call(sandbox, source, str(tmp_path)) == Returned([])
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]
    assert victim.read_text() == "kept"


def test_identity_and_layers_cannot_be_changed(sandbox: Sandbox) -> None:
    source = """
import ctypes, os, resource
def f():
    out = []
    libc = ctypes.CDLL(None, use_errno=True)
    ways = {
        "setuid": lambda: os.setuid(0),
        "chroot": lambda: os.chroot("."),
        "memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (2**40, 2**40)),
        "unshare": lambda: libc.unshare(0x10000000) and os.stat("/none"),
        "mount": lambda: libc.mount(b"none", b"/", b"tmpfs", 0, None) and os.stat("/none"),
        "keys": lambda: libc.syscall(250, 0, 0, 0, 0, 0) < 0 and os.stat("/none"),
        "bpf": lambda: libc.syscall(321, 0, 0, 0) < 0 and os.stat("/none"),
        "ring": lambda: libc.syscall(425, 8, 0) < 0 and os.stat("/none"),
    }
    for name, way in ways.items():
        try:
            way()
            out.append(name)
        except (OSError, ValueError):
            pass
    return out
"""
    assert call(sandbox, source) == Returned([])


def test_a_worker_that_dies_is_replaced_and_its_job_reported(sandbox: Sandbox) -> None:
    """Kill both workers while they are busy: two jobs are lost, the others are answered by other workers."""
    from threading import Timer

    with Sandbox(2, sandbox.limits) as pool:
        workers = [pool._idle.get(), pool._idle.get()]
        for worker in workers:
            pool._idle.put(worker)
            Timer(0.3, os.kill, (worker.pid, signal.SIGKILL)).start()
        jobs = [Job(f"import time\ndef f(): time.sleep(0.6); return {i}", (Call("f"),)) for i in range(4)]
        results = [report.results[0] for report in pool.run(jobs)]
        lost = [result for result in results if isinstance(result, Stopped)]
        assert [result.reason for result in lost] == ["worker"] * 2
        assert [result for result in results if isinstance(result, Returned)] == [Returned(2), Returned(3)]
        assert still_works(pool)
