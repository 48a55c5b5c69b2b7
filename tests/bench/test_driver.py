"""The protocol between the parent and a measured process, with real processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from collm.bench.driver import Side
from collm.bench.side import worker
from collm.bench.side.worker import Device, reward
from collm.errors import BenchError

SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
import worker
channel = worker.Channel()
print("a library that talks")
def add(request):
    other = channel.ask({{"number": "please"}})
    return {{"sum": request["one"] + other["two"], "after": lambda: {{"late": True}}}}
def fail(request):
    raise ValueError("no such luck")
def grow(request):
    return {{"bytes": len(bytearray(64 << 20))}}
def leave(request):
    sys.exit(3)
worker.serve({{"add": add, "fail": fail, "grow": grow, "leave": leave}}, channel, ("torch",))
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("driver") / "answers.py"
    path.write_text(SCRIPT.format(folder=str(Path(worker.__file__).parent)))
    return path


def test_requests_questions_and_failures(script: Path, tmp_path: Path) -> None:
    with Side("theirs", [sys.executable, str(script)], 1, tmp_path / "log") as side:
        assert side.ready["versions"].keys() == {"python", "torch"}
        reply = side.request("add", lambda ask: {"two": 2} if ask == {"number": "please"} else {}, one=1)
        assert reply["sum"] == 3
        assert reply["late"]
        assert reply["seconds"] > 0
        with pytest.raises(BenchError, match="theirs: ValueError: no such luck"):
            side.request("fail")
        assert side.request("add", lambda ask: {"two": 40}, one=2)["sum"] == 42
    assert "a library that talks" in (tmp_path / "log").read_text()


def test_a_process_that_ends_is_an_error_with_its_status(script: Path, tmp_path: Path) -> None:
    with (
        Side("theirs", [sys.executable, str(script)], 1, tmp_path / "log") as side,
        pytest.raises(BenchError, match="the process ended with status 3"),
    ):
        side.request("leave")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are begun anew on Linux")
def test_a_peak_is_that_of_its_request(script: Path, tmp_path: Path) -> None:
    with Side("theirs", [sys.executable, str(script)], 1, tmp_path / "log") as side:
        grown = side.request("grow")["memory"]
        after = side.request("add", lambda ask: {"two": 2}, one=1)["memory"]
    assert grown["peak"] - grown["resident"] > 60 << 20
    assert after["peak"] < grown["peak"] - (60 << 20)


def test_a_command_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"ours: the process ended with status 1: .*no module"):
        Side("ours", [sys.executable, "-c", "raise SystemExit('no module')"], 1, tmp_path / "log")


def test_memory_of_this_process_is_known() -> None:
    memory = Device().memory()
    assert memory["peak"] > 10 << 20
    assert memory["cuda_peak"] is None


def test_the_reward_is_the_share_of_different_words() -> None:
    assert reward(["a b", "a c"]) == 0.75
    assert reward(["", ""]) == 0.0
