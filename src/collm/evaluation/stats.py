"""Intervals for what was measured."""

from __future__ import annotations

import numpy as np
from scipy import stats

from collm.randomness import generator


def paired_interval(differences: np.ndarray, level: float = 0.95, resamples: int = 9999) -> tuple[float, float]:
    """Bootstrap (BCa) interval of the mean of paired differences, or of a measure (problems,).

    Over problems it describes one team, not a method: the unit for methods is the seed.
    """
    if len(differences) < 2 or np.ptp(differences) == 0:
        mean = float(np.mean(differences))
        return mean, mean
    result = stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        rng=generator("paired interval", len(differences)),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
