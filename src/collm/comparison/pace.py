"""How long a comparison still takes, by what its cells have taken so far in this process."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

from collm.comparison.study import Cell, Study

_ENOUGH = 0.2
"""A cell says how long it takes when this share of it has been played."""


@dataclasses.dataclass(frozen=True)
class _Beginning:
    time: float
    share: float


class Pace:
    """Seconds per cell, from those that run and those that have ended; of what ran earlier nothing is known."""

    def __init__(self, study: Study, clock: Callable[[], float] = time.monotonic) -> None:
        self._study, self._clock = study, clock
        self._begun: dict[Cell, _Beginning] = {}
        self._taken: dict[Cell, float] = {}

    def begin(self, cell: Cell, share: float) -> None:
        """A cell runs from here on; ``share`` of it was there before."""
        self._begun[cell] = _Beginning(self._clock(), share)

    def end(self, cell: Cell, finished: bool) -> None:
        """A cell runs no more; one that has not finished says nothing."""
        start = self._begun.pop(cell)
        if finished:
            self._taken |= self._whole(cell, start, 1.0)

    def seconds_left(self, shares: Mapping[Cell, float], jobs: int) -> float | None:
        """Of all cells that have not finished, each with the share of it that is there, ``jobs`` at a time.

        A cell is taken to last as long as those of its arm and setting, else as the trained (or untrained) ones of its
        setting, else as those of all settings; None if there is none of these yet.
        """
        known = dict(self._taken)
        for cell, start in self._begun.copy().items():  # cells begin and end in other threads
            known |= self._whole(cell, start, shares.get(cell, 0.0))
        left = []
        for cell, share in shares.items():
            alike = self._alike(cell, known)
            if not alike:
                return None
            left.append((1.0 - share) * sum(alike) / len(alike))
        return max(sum(left) / jobs, max(left, default=0.0))

    def _whole(self, cell: Cell, start: _Beginning, share: float) -> dict[Cell, float]:
        """What all of a cell takes at the pace it has had, if enough of it has been played."""
        played = share - start.share
        return {cell: (self._clock() - start.time) / played} if played >= _ENOUGH else {}

    def _alike(self, cell: Cell, known: Mapping[Cell, float]) -> list[float]:
        kin = {other: seconds for other, seconds in known.items() if self._trained(other) == self._trained(cell)}
        near = {other: seconds for other, seconds in kin.items() if other.setting == cell.setting}
        same = {other: seconds for other, seconds in near.items() if other.arm == cell.arm}
        return list((same or near or kin).values())

    def _trained(self, cell: Cell) -> bool:
        return self._study.arms[cell.arm].trained


def about(seconds: float) -> str:
    """A time in words that claim no more than an estimate knows."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, minutes = divmod(minutes, 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"
