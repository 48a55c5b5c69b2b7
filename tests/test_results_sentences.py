"""docs/results: the numbers in its sentences, and in those of the README, are what the raw data gives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import results
import results_beside
import results_gaps
import results_map
import results_presets
import results_told

from collm.comparison.data import Comparison
from collm.evaluation.stats import Estimate

STUDIES: Mapping[str, Comparison] = results.studies()


def said(page: Path) -> str:
    """The words of a page, without its line breaks."""
    return " ".join(page.read_text().split())


def points(estimate: Estimate) -> str:
    """As sentences have it: 2.8 points [1.8, 3.8]."""
    return estimate.text().replace(" [", " points [")


def sampled_mean(setting: str, arm: str, measure: str) -> float:
    """Mean over the seeds of an arm of ``main``, after training, sampled."""
    found = [record["after"]["sampled"][measure] for record in STUDIES["main"].groups[setting, arm].records]
    return sum(found) / len(found)


@pytest.mark.parametrize("page", results.PAGES[:2], ids=lambda page: page.parent.name)
def test_numbers_in_sentences(page: Path) -> None:
    """Those that no generated part has."""
    words = said(page)

    def gap(arm: str, other: str) -> Estimate:
        found = STUDIES["told"].difference("flagship", arm, other)
        assert found is not None
        return found

    for arm in ("collm-cc-told", "collm-dc-own"):
        assert f"ends {points(gap(arm, 'magrpo'))} above M" in words
    assert f"{gap('collm-cc-told', 'collm-dc').text()} above CoLLM-DC that reads" in words
    central = gap("collm-cc-told", "collm-dc-own")
    assert f"is at most {central.high:.1f} points above it ({central.text()})" in words


def test_numbers_on_the_told_critic() -> None:
    """Those of the sentences above its tables: its leads, and which of them other scores do not show."""
    words = said(results.RESULTS / "README.md")
    leads = [
        STUDIES["told"].difference("flagship", "collm-cc-told", arm) for arm in ("magrpo", "collm-dc", "collm-dc-long")
    ]
    first, second, third = (lead for lead in leads if lead is not None)
    assert (
        f"it ends {points(first)} above Monte Carlo and {second.text()} above CoLLM-DC that reads, or {third.text()} w"
        in words
    )
    rows = {
        row[0]: dict(zip(results_told.BESIDE, row[3:5], strict=True))
        for row in results_told.table(STUDIES["told"]).rows
    }
    for arm, low in (("magrpo", "[+"), ("collm-dc", "[-")):
        assert all(low in number for number in rows[f"collm-cc-told − {arm}"].values())


def test_numbers_of_the_flagship_decoded_greedily() -> None:
    words = said(results.RESULTS / "README.md")
    groups = STUDIES["main"].groups
    gaps = [
        results_told.difference(groups["flagship", arm], groups["flagship", "magrpo"], "greedy", "score")
        for arm in ("collm-cc", "collm-dc")
    ]
    assert f"CoLLM-CC ends {points(gaps[0])} above Monte Carlo and CoLLM-DC {gaps[1].text()}" in words


def test_numbers_on_all_tasks() -> None:
    """CoopHE's hint, and what the hardened reward says of TLDR."""
    words = said(results.RESULTS / "README.md")
    hint = STUDIES["main"].difference("coop-he", "collm-cc", "collm-dc")
    assert hint is not None
    assert f"CoLLM-CC ends {points(hint)} above CoLLM-DC is a hint" in words
    single, teams = ("grpo", "ac"), ("magrpo", "collm-dc", "collm-cc")
    hardened = {arm: sampled_mean("tldr", arm, "score_hardened") for arm in (*single, *teams)}
    scores = [sampled_mean("tldr", arm, "score") for arm in teams]
    three = [hardened[arm] for arm in teams]
    assert (
        f"all three team methods score {min(scores):.0f} to {max(scores):.0f} and, by the hardened reward, "
        f"{min(three):.0f} to {max(three):.0f}, the single models {hardened['grpo']:.0f}:"
    ) in words
    assert f"{hardened['grpo']:.0f}" == f"{hardened['ac']:.0f}"


def test_numbers_of_the_presets() -> None:
    words = said(results.RESULTS / "README.md")
    (row,) = [row for row in results_presets.table(STUDIES["presets"]).rows if row[0] == "paper-3e-5"]
    assert f"they close {row[4]} of the gap" in words
    cells = [sum(len(STUDIES[name].records) for name in names) for names in (("defaults", "steps"), ("paper-rates",))]
    assert (
        "{} cells of the plans `defaults` and `steps` on words that are mostly these, against {} of".format(*cells)
        in words
    )


def test_numbers_over_all_settings() -> None:
    """How often CoLLM-CC is above the others, in both pages."""
    (table,) = [one for one in results.tables(STUDIES["main"]) if one.title.startswith("Probability of improvement")]
    for page in results.PAGES[:2]:
        words = said(page)
        for arm, before in (("collm-dc", "CoLLM-DC with probability"), ("magrpo", "with")):
            (row,) = [row for row in table.rows if row[0] == f"{arm} over collm-cc"]
            share, low, high = (1 - float(part.strip("[],")) for part in row[3].split())
            assert f"{before} {share:.2f} [{high:.2f}, {low:.2f}]" in words
    signs = [STUDIES["main"].difference(setting, "collm-cc", "collm-dc") for setting in STUDIES["main"].settings]
    assert all(gap is not None and gap.value > 0 for gap in signs)


def test_numbers_on_the_released_str_build() -> None:
    """Those of the sentences above its table."""
    words = said(results.RESULTS / "README.md")
    table = {row[0]: row[1:] for row in results_beside.FRESH.table(STUDIES).rows}
    gaps = [-float(table[f"{arm} − magrpo"][1].split()[0]) for arm in ("collm-cc", "collm-dc")]
    assert "both critics end {:.0f} and {:.0f} points behind Monte Carlo".format(*gaps) in words
    seeds, gain, _ = table["collm-cc-warmup-0 − collm-cc"]
    assert seeds == "2"
    assert f"ends {gain.replace('+', '').replace(' [', ' points [')} higher than with them" in words


def test_numbers_of_the_map() -> None:
    """Those of the sentences above its table."""
    words = said(results.RESULTS / "README.md")
    found = list(results_map.points(STUDIES))
    assert not any(gap.score.sign > 0 for _, gap in found)
    assert [(*point[:2], point[2][1]) for point, gap in found if gap.score.sign < 0] == [
        (2, ("dense", "hidden"), "collm-dc")
    ]
    assert all(round(gap.score.high or 0) <= 2 for (horizon, *_), gap in found if horizon <= 2)
    assert not any(gap.area_later.sign for _, gap in found)
    assert not any(gap.area.sign for (*_, contrast), gap in found if contrast[1] == "collm-dc")
    leads = [-gap.area.value for (*_, contrast), gap in found if contrast[1] == "magrpo" and gap.area.sign < 0]
    assert (
        f"leads in {len(leads)} of {len(results_map.PLACES)} settings**, by {min(leads):.0f} to {max(leads):.0f} points"
        in words
    )
    ends = []
    for place in ((4, "terminal", "visible"), (4, "terminal", "hidden"), (8, "terminal", "visible")):
        study, name = results_map.setting(*place)
        group = STUDIES[study].groups[name, "collm-cc"]
        ends += [sum(group.before("score") or []) / len(group.seeds), sum(group.scores) / len(group.seeds)]
    assert (
        "starts at {:.0f} and ends at {:.0f}, where with hidden partners it starts at {:.0f} and ends at {:.0f}; "
        "at 8 turns it starts at {:.0f} and ends at {:.0f}".format(*ends)
    ) in words


def test_numbers_of_the_longer_and_sparser_settings() -> None:
    """Those of the sentences above their table."""
    words, found = said(results.RESULTS / "README.md"), STUDIES["sweep"]
    gaps = {
        (setting, contrast[1]): results_gaps.gap(found, setting, contrast)
        for setting in found.settings
        for contrast in results_gaps.CONTRASTS
    }
    signs = {key: gap.score.sign for key, gap in gaps.items() if gap is not None and gap.score.sign}
    assert signs == {("coop-he-4-terminal", "collm-dc"): -1}
    reverse = found.difference("coop-he-4-terminal", "collm-dc", "collm-cc")
    assert reverse is not None
    assert f"CoLLM-DC ends {points(reverse)} above CoLLM-CC in CoopHE" in words
    ends = []
    for setting in ("coop-he-4-dense", "coop-he-4-terminal", "house-build-4-dense"):
        means = [sum(group.scores) / len(group.seeds) for group in found.of(setting)]
        ends += [min(means), max(means)]
    assert "ends at {:.0f} to {:.0f} by all three".format(*ends) in words
    assert "and at {2:.0f} to {3:.0f} if the last is; HouseBuild at {4:.0f} to {5:.0f} and at 40".format(*ends) in words
    assert {round(sum(group.scores) / len(group.seeds)) for group in found.of("house-build-4-terminal")} == {40}
    sparse = gaps["coop-he-4-terminal", "magrpo"]
    assert sparse is not None
    assert f"CoLLM-CC − MAGRPO is {sparse.score.text('+.1f')}" in words
    first = [found.groups["coop-he-4-terminal", arm].scores[:2] for arm in ("magrpo", "collm-dc", "collm-cc")]
    behind = [critic[seed] - first[0][seed] for critic in first[1:] for seed in (0, 1)]
    assert f"MAGRPO was {min(behind):.0f} to {max(behind):.0f} points behind both critics" in words


def test_what_critics_explain_on_the_map() -> None:
    """Shares of variance in its sentences: means over the last half of training, over seeds."""
    shares: dict[str, list[float]] = {"dense": [], "terminal": []}
    for horizon, (reward, partner) in results_map.PLACES[1:]:
        study, name = results_map.setting(horizon, reward, partner)
        for arm in ("collm-cc", "collm-dc"):
            curves = [record["curve"]["explained_variance"] for record in STUDIES[study].groups[name, arm].records]
            shares[reward] += [sum(sum(curve[-8:]) / 8 for curve in curves) / len(curves) * 100]
    assert (
        "both critics explain {:.0f} to {:.0f} % of the variance of the returns-to-go (much of that is which turn it is), "
        "with terminal reward {:.0f} to {:.0f} %"
    ).format(*(end for found in shares.values() for end in (min(found), max(found)))) in said(
        results.RESULTS / "README.md"
    )
