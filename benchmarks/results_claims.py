"""The claims table: each sentence of the paper's abstract against our numbers, by the rules of docs/results/protocol.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from results_speed import warming

from collm.analysis.folder import Table
from collm.comparison.data import Comparison, Group
from collm.evaluation import stats
from collm.evaluation.stats import Estimate

EQUAL = 3.0
"""Score points within which an interval has to lie for two methods to be called about equal."""
SUPPORTED, AGAINST, UNDECIDED = "supported", "not supported", "undecided"
FLAGSHIP, FLAGSHIP_SEEDS, SEEDS = "flagship", 20, 5
"""Where the claim is decided, and the paired seeds that the protocol wants there, and elsewhere, before anything is said."""
LONG = "h8-terminal-hidden"
"""The longest horizon of the map, reward at its end, partner hidden."""
LEVEL = 80
"""The training score until which env steps are counted."""
FAILED = 0.25
"""A seed that closes less of the gap than this has not converged; a method struggles if that is its share of seeds."""
SHORT = ("tldr", "arxiv")
"""One turn, and its reward at once."""


def table(studies: Mapping[str, Comparison]) -> Table:
    """A row per claim; what has no data yet is left out."""
    rows: list[tuple[str, ...]] = []
    if "main" in studies:
        found = studies["main"]
        rows += _equal(found)
        rows += _higher(found, FLAGSHIP, FLAGSHIP_SEEDS, "With sparse reward and several turns")
        if "map" in studies:
            rows += _higher(studies["map"], LONG, SEEDS, "With long horizons")
        rows += _samples(found)
        rows += _variance(found)
        rows += _convergence(found)
    return Table("Claims", ("claim", "our numbers", "verdict at our scale"), tuple(rows))


def _equal(found: Comparison) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for other, name in (("collm-dc", "CoLLM-DC"), ("magrpo", "Monte Carlo (MAGRPO)")):
        gaps = {s: found.difference(s, "collm-cc", other) for s in SHORT}
        known = {s: gap for s, gap in gaps.items() if gap is not None and gap.known}
        if len(known) == len(SHORT):
            text = "; ".join(f"{s} {gap.text('+.1f')}, {gap.seeds} seeds" for s, gap in known.items())
            claim = (
                f"With short horizons and dense reward CoLLM-CC and {name} are about equal (within {EQUAL:g} points)"
            )
            fewest = min(gap.seeds for gap in known.values())
            verdict = waiting(fewest, SEEDS) or equality(list(known.values()))
            rows.append((claim, f"collm-cc − {other}: {text}", verdict))
    return rows


def waiting(seeds: int, planned: int) -> str:
    """What stands in the place of a verdict while seeds are missing: who looks early and often finds something."""
    return "" if seeds >= planned else f"waits for its seeds: {seeds} of {planned}"


def equality(gaps: Sequence[Estimate]) -> str:
    """About equal if all intervals lie within the margin; not if one lies outside."""
    ends = [(gap.low or 0.0, gap.high or 0.0) for gap in gaps]
    if all(low > -EQUAL and high < EQUAL for low, high in ends):
        return SUPPORTED
    return AGAINST if any(low > EQUAL or high < -EQUAL for low, high in ends) else UNDECIDED


def _higher(found: Comparison, setting: str, planned: int, where: str) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for other, name in (("collm-dc", "CoLLM-DC"), ("magrpo", "Monte Carlo (MAGRPO)")):
        gap = found.difference(setting, "collm-cc", other)
        if gap is None or not gap.known:
            continue
        verdict = waiting(gap.seeds, planned) or better(gap)
        numbers = f"{setting}, collm-cc − {other}: {gap.text('+.1f')}, {gap.seeds} paired seeds"
        rows.append((f"{where} CoLLM-CC is better than {name}", numbers, verdict))
    return rows


def better(gap: Estimate) -> str:
    """Supported above 0; not supported below it, or where the interval ends within the margin."""
    verdict = {1: SUPPORTED, -1: AGAINST, 0: UNDECIDED}[gap.sign]
    return AGAINST if verdict == UNDECIDED and gap.high is not None and gap.high < EQUAL else verdict


def _samples(found: Comparison) -> list[tuple[str, ...]]:
    """Env steps of Monte Carlo over those of CoLLM-CC until a training score of 80, seed by seed."""
    gap, common = steps(found, FLAGSHIP, "magrpo", "collm-cc")
    bare, _ = steps(found, FLAGSHIP, "magrpo", "collm-cc", warm=False)
    if gap is None or bare is None:
        return []
    verdict = SUPPORTED if (gap.low or 0.0) > 1 else AGAINST if (gap.high or math.inf) < 1.1 else UNDECIDED
    verdict = waiting(common, FLAGSHIP_SEEDS) or verdict
    text = (
        f"flagship, env steps to a training score of {LEVEL}, magrpo / collm-cc: {gap.text('.2f')}, "
        f"{gap.seeds} of {common} paired seeds (both got there); without the updates in which only the critic learns: "
        f"{bare.text('.2f')}"
    )
    return [("Monte Carlo needs many more samples than CoLLM-CC", text, verdict)]


def steps(found: Comparison, setting: str, arm: str, other: str, warm: bool = True) -> tuple[Estimate | None, int]:
    """Env steps of ``arm`` over those of ``other`` until a training score of 80, geometric mean over the seeds with which
    both get there (None below two), and the number of paired seeds. ``warm``: with those of a critic's warm-up."""
    pair = [found.groups.get((setting, name)) for name in (arm, other)]
    first, second = (_times(one, warm) if one else {} for one in pair)
    common = sorted(set(first) & set(second))
    whole = [seed for seed in common if not math.isinf(first[seed]) and not math.isinf(second[seed])]
    ratio = stats.ratio([first[seed] for seed in whole], [second[seed] for seed in whole]) if len(whole) > 1 else None
    return ratio, len(common)


def _times(group: Group, warm: bool) -> dict[int, float]:
    """Seed → env steps to the level."""
    times = zip(group.records, group.steps_to(LEVEL), strict=True)
    return {record["seed"]: time - (0 if warm else warming(record)) for record, time in times}


def _variance(found: Comparison) -> list[tuple[str, ...]]:
    """What the gradients of an update's minibatches have in common: more of it is less variance."""
    pair = [found.groups.get((FLAGSHIP, arm)) for arm in ("collm-cc", "magrpo")]
    if pair[0] is None or pair[1] is None:
        return []
    own, other = (
        {
            seed: float(values.mean())
            for seed, (_, values) in zip(group.seeds, group.curve("gradient_signal"), strict=True)
        }
        for group in pair
        if group is not None
    )
    common = sorted(set(own) & set(other))
    if len(common) < 2:
        return []
    gap = stats.mean([own[seed] - other[seed] for seed in common])
    verdict = waiting(len(common), FLAGSHIP_SEEDS) or {1: SUPPORTED, -1: AGAINST, 0: UNDECIDED}[gap.sign]
    numbers = f"flagship, signal of the gradients, mean over training, collm-cc − magrpo: {gap.text('+.4f')}"
    text = f"{numbers}, {len(common)} paired seeds"
    return [("Monte Carlo has the higher variance", text, verdict)]


def _convergence(found: Comparison) -> list[tuple[str, ...]]:
    """Seeds of CoLLM-DC that close less than a quarter of the gap."""
    group = found.groups.get((FLAGSHIP, "collm-dc"))
    if group is None:
        return []
    raw = group.before("score") or []
    failed = [after - before < FAILED * (100 - before) for after, before in zip(group.scores, raw, strict=True)]
    low, high = stats.wilson(sum(failed) / len(failed), len(failed))
    verdict = SUPPORTED if low > FAILED else AGAINST if high < FAILED else UNDECIDED
    verdict = waiting(len(failed), FLAGSHIP_SEEDS) or verdict
    share = f"{sum(failed)} of {len(failed)} [{low:.2f}, {high:.2f}]"
    text = f"flagship, seeds that close less than {FAILED:.0%} of the gap: {share}"
    return [("CoLLM-DC struggles to converge", text, verdict)]
