"""What of the return can be known at a turn: from the problem, from one agent's history, from those of all.

The variance of the return-to-go G_t falls into what a history tells of it and what is still to be drawn, Var G =
Var E[G | h] + E Var[G | h]. A perfect critic explains the first part and no critic explains more:

* E[G | problem] is what the mean of a group of episodes estimates (MAGRPO and relatives),
* V_i(h_i,t) = E[G_t | h_i,t] is the best that a critic per agent can say (CoLLM-DC),
* V(h_t) = E[G_t | h_t] is the best that a central critic can say (CoLLM-CC).

So joint − own is all that a central critic can have over critics per agent at this turn, and joint − problem all that it
can have over Monte Carlo. Histories are met by the team; behind each, episodes are played on (``targets.py``), and the
parts are estimated by an analysis of variance, nested: episodes of a problem, continuations of an episode.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np

from collm.analysis.folder import Row
from collm.analysis.pool import jackknife
from collm.options import Range

_LEAST = 3
"""Problems of which at least two histories are known, without which nothing is said of a turn."""


@dataclasses.dataclass(frozen=True)
class KnowableSettings:
    """How much is played to find out what can be known."""

    problems: Annotated[int, Range(_LEAST)] = 16
    """The first of the training problems; standard errors are over them."""
    episodes: Annotated[int, Range(2)] = 3
    """Episodes of each; what they meet are the histories."""
    continuations: Annotated[int, Range(2)] = 6
    """Episodes behind each history."""
    attempts: Annotated[int, Range(2)] = 12
    """At most so many for each; those in which an agent of the history sees something else do not count."""


@dataclasses.dataclass(frozen=True)
class Known:
    """What was found behind one history. Means over agents, except where they are named."""

    problem: int
    means: np.ndarray
    """(agents,): of the returns-to-go."""
    count: int
    """Continuations behind these means."""
    within: float
    """Variance of the return-to-go that is left, given what all agents know."""
    within_own: float | None
    """Given what one agent knows; None if too few attempts met that again."""
    residuals: Mapping[str, tuple[float, float]]
    """Mean and mean square of what fitted critics leave, return − value, by what they read: joint, own."""


def knowable_rows(turns: Sequence[Sequence[Known]]) -> Iterator[Row]:
    """One row per turn of which enough is known and whose returns differ; ``turns`` has the histories of each.

    What one agent's history tells, and what those of all tell beyond it, is of the histories that were met again."""
    for turn, found in enumerate(turns):
        every, again = (_problems(part) for part in (found, [one for one in found if one.within_own is not None]))
        if not _enough(every):
            continue
        row: Row = {"kind": "knowable", "turn": turn, "variance": _parts(every)["variance"]}
        for name in ("problem", "joint", "joint − problem", *(f"fitted {view}" for view in found[0].residuals)):
            row |= _share(every, name)
        for name in ("own", "joint − own"):
            row |= _share(again, name) if _enough(again) else {name: None, f"{name}_error": None}
        row |= {"problems": len(every), "histories": sum(map(len, every)), "again": sum(map(len, again))}
        yield row


def _enough(problems: Sequence[Sequence[Known]]) -> bool:
    return len(problems) >= _LEAST and _parts(problems)["variance"] > 0


def _share(problems: Sequence[Sequence[Known]], name: str) -> Row:
    """A share of the variance, or the difference of two, and its standard error over problems."""
    first, _, second = name.partition(" − ")

    def of(kept: np.ndarray) -> float:
        parts = _parts([problems[place] for place in kept])
        return (parts[first] - parts.get(second, 0.0)) / parts["variance"]

    found = jackknife(of, len(problems))
    return {name: found.value, f"{name}_error": found.error}


def _problems(found: Sequence[Known]) -> list[list[Known]]:
    """The histories of each problem that has at least two."""
    groups: dict[int, list[Known]] = {}
    for one in found:
        groups.setdefault(one.problem, []).append(one)
    return [group for group in groups.values() if len(group) > 1]


def _parts(problems: Sequence[Sequence[Known]]) -> dict[str, float]:
    """The variance of returns-to-go, and what of it is known from the problem, a history, all histories, or explained by
    fitted critics. Each part is estimated without bias, in squared units of the return."""
    every = [one for group in problems for one in group]
    within = float(np.mean([one.within for one in every]))
    spread = [np.var([one.means for one in group], axis=0, ddof=1).mean() for group in problems]
    noise = [np.mean([one.within / one.count for one in group]) for group in problems]
    histories = float(np.mean(spread) - np.mean(noise))
    centres = [np.mean([one.means for one in group], axis=0) for group in problems]
    of_centres = np.mean([part / len(group) for part, group in zip(spread, problems, strict=True)])
    between = float(np.var(centres, axis=0, ddof=1).mean() - of_centres)
    total = within + histories + between
    own = [one.within_own for one in every if one.within_own is not None]
    # As a baseline a critic that is off by a constant is as good: what counts is the variance that it leaves.
    left = {view: np.mean([one.residuals[view] for one in every], axis=0) for view in every[0].residuals}
    return {
        "variance": total,
        "problem": between,
        "own": total - float(np.mean(own)) if own else np.nan,
        "joint": total - within,
        **{f"fitted {view}": total - float(square - mean**2) for view, (mean, square) in left.items()},
    }
