"""The sandbox: a pool of warm workers that try batches of jobs."""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from collm.errors import ConfigError, unknown_name
from collm.sandbox import level as levels
from collm.sandbox.asserts import plan
from collm.sandbox.jobs import Job, Limits, Report, Stopped, key, unanswered
from collm.sandbox.trial import try_job
from collm.sandbox.worker import Worker, WorkerLost


class Sandbox:
    """A pool of isolated workers for model-written Python; see the package's docstring for what holds.

    ``workers`` is their number, by default one per processor. ``without`` leaves out layers of confinement by name,
    which is meant for finding out what each of them does.
    """

    def __init__(self, workers: int | None = None, limits: Limits | None = None, without: Sequence[str] = ()):
        if os.name != "posix":
            raise ConfigError(
                f"the sandbox needs process isolation that {sys.platform} does not have: run it on Linux "
                "(or in the Windows Subsystem for Linux)."
            )
        self.limits = limits or Limits()
        self._without = tuple(without)
        for name in self._without:
            if name not in levels.LAYERS:
                raise unknown_name("sandbox layer", name, levels.LAYERS)
        count = processors() if workers is None else workers
        if count < 1:
            raise ConfigError(f"sandbox workers is {count}; it must be at least 1.")
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._layers: dict[str, str] = {}
        for worker in self._start(count):
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sandbox")

    @property
    def level(self) -> levels.Level:
        """The layers that hold in every worker started so far."""
        return levels.from_layers(self._layers)

    def run(self, jobs: Sequence[Job]) -> list[Report]:
        """Try all jobs and report in their order. Equal jobs are tried once.

        Raises ``ProblemError`` for a check that is not valid Python or a call with arguments that are not plain.
        """
        keys = [key(job) for job in jobs]
        for job in jobs:
            if job.check is not None:
                plan(job.check.source)
        distinct = dict(zip(keys, jobs, strict=True))
        reports = dict(zip(distinct, self._threads.map(self._try, distinct.values()), strict=True))
        return [reports[each] for each in keys]

    def close(self) -> None:
        """End all workers and everything they run."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _try(self, job: Job) -> Report:
        worker = self._idle.get()
        try:
            return try_job(worker, job)
        except WorkerLost:
            worker.close()
            [worker] = self._start(1)
            lost = Stopped("worker", "the sandbox's own process that ran the job was lost")
            return unanswered(job, lost, lost)
        finally:
            self._idle.put(worker)

    def _start(self, count: int) -> list[Worker]:
        workers = [Worker(self.limits, self._without) for _ in range(count)]
        try:
            for worker in workers:
                self._layers = levels.weakest(self._layers, worker.greeting())
        except WorkerLost:
            for worker in workers:
                worker.close()
            raise ConfigError(
                f"a sandbox worker does not start: check that '{sys.executable} -S -c pass' runs, and that processes "
                "may be started here."
            ) from None
        return workers


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
