"""The parent's end of a measured process, and rounds of two of them in turn."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import collm
from collm.bench.side.worker import Record
from collm.errors import BenchError

Answer = Callable[[Record], Record]
THEIRS = Path(__file__).parent / "side" / "theirs.py"
_QUIET = {"WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class Side:
    """A measured process. It waits for its next request in a read of its pipe, which takes no processor time."""

    def __init__(self, name: str, command: Sequence[str], threads: int, log: Path) -> None:
        """Start it and wait for its imports. What it prints goes to ``log``. Raises BenchError if it does not start."""
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._errors = log.open("a")
        environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        environment |= {**_QUIET, "OMP_NUM_THREADS": str(threads)}
        if name == "ours":
            environment["PYTHONPATH"] = str(Path(collm.__file__).parent.parent)
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        try:
            self.ready = self._receive()
        except BenchError:
            self.close()
            raise

    def __enter__(self) -> Side:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def request(self, do: str, answer: Answer | None = None, **fields: Any) -> Record:
        """Its reply to a request; ``answer`` is what to say where it asks. Raises BenchError if it failed."""
        self._send({"do": do, **fields})
        while True:
            line = self._receive()
            if "ask" not in line:
                return line
            if answer is None:
                raise BenchError(f"{self.name}: asked {line['ask']} where nobody answers.")
            self._send(answer(line["ask"]))

    def close(self) -> None:
        """End the process and wait for it."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _send(self, record: Record) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(record) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._gone() from error

    def _receive(self) -> Record:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._gone()
        record: Record = json.loads(line)
        if "error" in record:
            raise BenchError(f"{self.name}: {record['error']}: {record['message']} (more in {self.log})")
        return record

    def _gone(self) -> BenchError:
        status = self._process.wait()
        lines = self.log.read_text().splitlines()
        why = "; perhaps it was killed for want of memory" if status == -9 else ""
        last = f": {lines[-1]}" if lines else ""
        return BenchError(f"{self.name}: the process ended with status {status}{why}{last} (more in {self.log})")


def start_ours(threads: int, log: Path) -> Side:
    """Our side."""
    return Side("ours", [sys.executable, "-m", "collm.bench.ours"], threads, log)


def start_theirs(python: Path, threads: int, log: Path) -> Side:
    """CoMLRL's side, in the environment of this Python."""
    return Side("theirs", [str(python), "-s", str(THEIRS)], threads, log)


def interleaved(
    ours: Side, theirs: Side | None, rounds: int, say: Callable[[str], None]
) -> Iterator[tuple[Record, Record | None]]:
    """A round of either side to warm up, then ``rounds`` times one of each, in turn, on the same problems."""
    for number in range(rounds + 1):
        mine = ours.request("round")
        other = theirs.request("round", numbers=mine["numbers"]) if theirs else None
        found = mine, other
        seconds = f"ours {mine['seconds']:.2f} s" + (f", theirs {other['seconds']:.2f} s" if other else "")
        say(f"  {'warm-up' if number == 0 else f'round {number} of {rounds}'}: {seconds}")
        if number:
            yield found
