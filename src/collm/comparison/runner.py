"""Running the cells of a comparison: each a process of its own, several side by side, continued where they stopped."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal

from collm.comparison import records
from collm.comparison.pace import Pace
from collm.comparison.study import FILE, Cell, Study, read_study, to_yaml
from collm.errors import ConfigError
from collm.training.run_folder import CONFIG, LOCK, RunFolder, make_folder, next_free, write_atomically

State = Literal["finished", "running", "stopped", "failed", "missing"]


@dataclasses.dataclass(frozen=True)
class Status:
    """Where a cell stands."""

    state: State
    env_steps: int = 0
    score: float | None = None
    """Held-out score of a finished cell, training score of one that runs."""
    reason: str = ""
    """Of a cell that failed: the last line it wrote, and where the others are."""


@contextlib.contextmanager
def begun(study: Study, folder: Path) -> Iterator[None]:
    """Hold the folder of a comparison and write its plan there. What it holds has to be planned alike; a plan may grow.

    Raises ConfigError with the first difference for a cell that is finished or begun with other settings, and RunExistsError
    if another process runs cells there. Nothing has changed then.
    """
    _require_room(study, folder)
    make_folder(folder)
    with RunFolder(folder).lock():
        _require_room(study, folder)
        write_atomically(folder / FILE, to_yaml(study).encode())
        yield


def _require_room(study: Study, folder: Path) -> None:
    if (folder / FILE).is_file():
        _require_grown(read_study(folder / FILE), study, folder)
    elif folder.is_dir() and any(entry.name != LOCK for entry in folder.iterdir()):
        raise ConfigError(
            f"{folder} holds something that is not a comparison. Begin it under another name: --out {next_free(folder)}"
        )


def _require_grown(old: Study, new: Study, folder: Path) -> None:
    known = set(new.cells())
    for cell in old.cells():
        if not (folder / cell.path).is_dir():
            continue
        if cell not in known:
            raise ConfigError(f"{folder} has a cell {cell} that this comparison does not have. {_ways_on(folder)}")
        found = records.changed(folder / cell.path, new.config(cell), new.arms[cell.arm].method)
        if found:
            raise ConfigError(f"{folder} was begun with other settings: {cell} has {found}. {_ways_on(folder)}")


def _ways_on(folder: Path) -> str:
    return f"Go on with what it was begun with, or begin another: --out {next_free(folder)}"


class Runner:
    """Runs cells and knows where each stands."""

    def __init__(self, study: Study, folder: Path, cells: Iterable[Cell]) -> None:
        self.study, self.folder, self.cells = study, folder, list(cells)
        self._finished: dict[Cell, Status] = {}
        self._failed: dict[Cell, str] = {}
        self._running: dict[Cell, subprocess.Popen[bytes]] = {}
        self._pace, self._jobs = Pace(study), 1
        self._budgets = {name: study.budget(name) for name in {cell.setting for cell in self.cells}}
        self._stopping = threading.Event()

    def run(self, jobs: int, finished: Callable[[Cell, Status], None]) -> bool:
        """Run what is not finished, ``jobs`` at a time; ``finished`` is called after each. True if all cells are there.

        A cell that fails does not stop the others. After Ctrl-C cells save and stop; KeyboardInterrupt is raised then.
        """
        self._jobs = jobs
        todo = [cell for cell in self.cells if self.status(cell).state != "finished"]
        with ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(self._play, cell): cell for cell in todo}
            try:
                for future in as_completed(futures):
                    future.result()
                    finished(futures[future], self.status(futures[future]))
            except BaseException:
                self._stop()
                pool.shutdown(cancel_futures=True)
                raise
        return all(self.status(cell).state == "finished" for cell in self.cells)

    def _play(self, cell: Cell) -> None:
        """Run one cell to its end; what the system refuses is why it failed."""
        if self._stopping.is_set():
            return
        self._pace.begin(cell, self.share(cell))
        try:
            self._process(cell)
        except OSError as error:
            self._failed[cell] = f"{error.strerror}: {error.filename or self.folder / cell.path}"
        finally:
            self._running.pop(cell, None)
            self._pace.end(cell, self.status(cell).state == "finished")

    def _process(self, cell: Cell) -> None:
        path = self.folder / cell.path
        path.parent.mkdir(parents=True, exist_ok=True)
        log = path.with_name(f"{path.name}.log")
        command = [
            sys.executable,
            "-m",
            "collm.comparison.cell",
            str(self.folder),
            cell.setting,
            cell.arm,
            str(cell.seed),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.study.threads)}
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
            self._running[cell] = process
            if self._stopping.is_set():  # asked between the look above and now
                process.terminate()
            status = process.wait()
        if status and not self._stopping.is_set():
            said = log.read_text(errors="replace").strip().splitlines()
            reason = _killed(status) or (said[-1] if said else f"exit status {status}")
            self._failed[cell] = f"{reason} ({log})"
        elif not status:
            log.unlink(missing_ok=True)

    def _stop(self) -> None:
        """Cells finish their update and save."""
        self._stopping.set()
        for process in list(self._running.values()):
            process.terminate()

    def status(self, cell: Cell) -> Status:
        """Where a cell stands now."""
        path = self.folder / cell.path
        if cell in self._running:
            line = _last_line(path / "metrics.jsonl")
            return Status("running", int(line.get("env_steps", 0)), line.get("score"))
        if cell not in self._finished and (path / records.FILE).is_file():
            found = records.of_cell(path / records.FILE)
            self._finished[cell] = Status("finished", found.get("env_steps", 0), found["after"]["sampled"]["score"])
        if cell in self._finished:
            return self._finished[cell]
        if cell in self._failed:
            return Status("failed", reason=self._failed[cell])
        return Status("stopped" if (path / CONFIG).is_file() else "missing")

    def share(self, cell: Cell) -> float:
        """How much of its budget a cell has used."""
        if self.status(cell).state == "finished":
            return 1.0
        used = int(_last_line(self.folder / cell.path / "metrics.jsonl").get("env_steps", 0))
        return min(1.0, used / self._budgets[cell.setting])

    def seconds_left(self) -> float | None:
        """How long the unfinished cells will take, failed ones apart; None while nothing is known."""
        over = ("finished", "failed")
        return self._pace.seconds_left(
            {cell: self.share(cell) for cell in self.cells if self.status(cell).state not in over}, self._jobs
        )

    def table(self) -> dict[tuple[str, str], dict[Cell, Status]]:
        """(setting, arm) → where its seeds stand."""
        found: dict[tuple[str, str], dict[Cell, Status]] = collections.defaultdict(dict)
        for cell in self.cells:
            found[cell.setting, cell.arm][cell] = self.status(cell)
        return dict(found)


def _killed(status: int) -> str:
    """What to say of a process that a signal ended; empty if none did."""
    if status >= 0:
        return ""
    memory = ", perhaps for lack of memory: fewer --jobs" if -status == signal.SIGKILL else ""
    return f"ended by signal {-status}{memory}"


def _last_line(path: Path) -> dict[str, Any]:
    """The newest whole record of a run that may be writing one."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return {}
    return dict(json.loads(lines[-2])) if len(lines) > 1 else {}
