"""Updates of networks that share nothing, at the same time: a processor thread each instead of all threads for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def side_by_side(jobs: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """What the jobs return, in their order; with more than one thread they run at the same time and divide them.

    Small networks do not keep several threads busy, because every operation waits for the slowest. What a job computes
    depends on how many threads it has, and on nothing that runs beside it.
    """
    if threads < 2 or len(jobs) < 2:
        return [job() for job in jobs]
    workers = min(threads, len(jobs))

    def begin() -> None:
        torch.set_num_threads(max(1, threads // workers))

    try:
        with ThreadPoolExecutor(workers, initializer=begin) as pool:
            return [future.result() for future in [pool.submit(job) for job in jobs]]
    finally:
        torch.set_num_threads(threads)
