"""Advantages on a common scale. What is centred or scaled, and over what, decides whether the gradient stays unbiased."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from collm.credit.estimators import Credit, agents_of, first_nodes
from collm.rollout.forest import Forest

Normalisation = Literal["none", "scale", "batch", "seat", "group"]

_LEAST_SPREAD = 1e-6


def normalised(credit: Credit, forest: Forest, how: Normalisation) -> Credit:
    """The credit with its advantages centred and divided by their standard deviation over all responses of a cell.

    ``scale`` divides by the root mean square of the whole batch and does not centre: the direction of the gradient
    stays. ``batch`` centres and scales over the whole batch, ``seat`` per agent and turn (released actor-critic),
    ``group`` within each group (released Monte-Carlo: all of its variants become the same numbers, and the
    gradient is biased). Responses of weight 0 are left out of the statistics, and a response that is alone in its cell
    stays as it is.
    """
    if how == "none":
        return credit
    cells = _cells(forest, how)
    _, cell = np.unique(cells, return_inverse=True)
    weights = credit.weights
    total = np.maximum(np.bincount(cell, weights), 1e-300)
    mean = np.bincount(cell, weights * credit.advantages) / total
    centred = credit.advantages - (0.0 if how == "scale" else mean[cell])
    spread = np.sqrt(np.bincount(cell, weights * centred**2) / total)
    alone = (np.bincount(cell, weights > 0) < 2)[cell]
    scaled = centred / np.maximum(spread, _LEAST_SPREAD)[cell]
    return dataclasses.replace(credit, advantages=np.where(alone, credit.advantages, scaled))


def _cells(forest: Forest, how: Normalisation) -> np.ndarray:
    """(decisions,): which responses share their statistics."""
    if how in ("scale", "batch"):
        return np.zeros(len(forest.decisions), dtype=np.int64)
    node, agent = first_nodes(forest), agents_of(forest)
    return (forest.turn if how == "seat" else forest.group)[node] * forest.agents + agent
