"""The running mean of returns per turn and agent: the baseline of a response that has no group left."""

from __future__ import annotations

import numpy as np

from collm.credit.monte_carlo import responses
from collm.rollout.forest import Forest


class RunningReturns:
    """Exponential means over updates, (turns, agents), corrected for their start at nothing."""

    def __init__(self, turns: int, agents: int, rate: float = 0.1) -> None:
        self.rate = rate
        self.total = np.zeros((turns, agents))
        self.weight = np.zeros((turns, agents))

    @property
    def mean(self) -> np.ndarray:
        """(turns, agents); 0 where nothing was seen."""
        return self.total / np.maximum(self.weight, 1e-12)

    def observe(self, forest: Forest, gamma: float) -> None:
        """Take in an update's returns, after they were credited: a baseline must not know what it is compared with."""
        found = responses(forest, gamma)
        seat = (found.turn[found.known], found.agent[found.known])
        total, count = np.zeros_like(self.total), np.zeros_like(self.total)
        np.add.at(total, seat, found.returns[found.known])
        np.add.at(count, seat, 1.0)
        seen = count > 0
        self.total[seen] += self.rate * (total[seen] / count[seen] - self.total[seen])
        self.weight[seen] += self.rate * (1.0 - self.weight[seen])
