"""The report of a comparison: one self-contained page, and its tables and figures as files."""

from __future__ import annotations

import base64
import csv
import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from collm.analysis.folder import Table
from collm.comparison import records
from collm.comparison.data import Comparison, load
from collm.comparison.figures import Drawer
from collm.comparison.study import FILE, Cell, to_yaml
from collm.comparison.tables import details, tables
from collm.evaluation import stats
from collm.training.run_folder import make_folder

Key = tuple[str, str, int]
"""Setting, arm and seed."""
PAGE = "report.html"
_OVER = 1.1
"""More env steps than this part of the budget are said."""
_LONGEST = 200
"""Characters of a table's title in the name of its file."""
_NAMED = 6
"""Missing cells that are named one by one."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """One problem of one run, before and after training."""

    title: str
    before: str
    after: str
    pictures: tuple[str, ...]
    """Of the outcome before and after, where the task has pictures."""


def write_report(folder: Path, out: Path, command: str | None = None) -> dict[str, Any]:
    """Write the report of the comparison in ``folder`` into ``out``; returns where it is and what it says in short."""
    found = load(folder)
    cells = [Cell(record["setting"], record["arm"], record["seed"]) for record in found.records]
    runs = {(cell.setting, cell.arm, cell.seed): folder / cell.path for cell in cells}
    return write(found, out, command or f"collm report {folder}", runs, folder)


def write(
    found: Comparison, out: Path, command: str, runs: Mapping[Key, Path], folder: Path | None = None
) -> dict[str, Any]:
    """Write ``report.html``, ``tables.md``, CSVs and PNGs; ``runs`` are the run folders of cells, where there are any."""
    make_folder(out)
    made, closer, drawn = tables(found), details(found), list(Drawer(found, out / "figures").all())
    short, warnings, samples = list(summary(found)), list(caveats(found)), list(sampled(found, runs))
    write_tables(out, [*made, *closer], command)
    page = _template().render(
        title=_title(found),
        subtitle=_subtitle(found),
        sections=_sections(bool(samples)),
        short=short,
        warnings=warnings,
        tables=made,
        details=closer,
        figures=[{"title": one.title, "text": one.text, "data": embedded(one.path)} for one in drawn],
        samples=samples,
        command=command,
        again=_again(found, folder),
        plan=to_yaml(found.study) if found.study else "",
        versions=", ".join(f"{name} {version}" for name, version in records.versions().items()),
    )
    (out / PAGE).write_text(page, encoding="utf-8")
    return {
        "page": str(out / PAGE),
        "figures": [str(one.path) for one in drawn],
        "missing": [str(cell) for cell in found.missing],
        "scores": scores(found),
        "short": short,
        "warnings": warnings,
    }


def scores(found: Comparison) -> dict[str, Any]:
    """Setting → arm → its mean score with interval and seeds."""
    return {
        setting: {group.arm: dataclasses.asdict(stats.mean(group.scores)) for group in found.of(setting)}
        for setting in found.settings
    }


def _template() -> jinja2.Template:
    text = resources.files("collm.comparison").joinpath("report.html.jinja").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(text)


def _sections(samples: bool) -> list[tuple[str, str]]:
    names = [("short", "In short"), ("figures", "Figures"), ("tables", "Scores, time and tokens")]
    names += [("samples", "Before and after")] if samples else []
    return [*names, ("details", "Training and components"), ("made", "How this was made")]


def _title(found: Comparison) -> str:
    """What the page is about."""
    if len(found.records) == 1:
        one = found.records[0]
        return f"Run: {one['setting']}, {one['arm']}, seed {one['seed']}"
    return f"Comparison: {', '.join(found.settings)}"


def _subtitle(found: Comparison) -> str:
    sizes = sorted({len(group.records) for group in found.groups.values()})
    seeds = _count(sizes[0], "seed") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} seeds"
    arms, settings = _count(len(found.arms), "arm"), _count(len(found.settings), "setting")
    return f"{_count(len(found.records), 'run')}: {arms} in {settings}, {seeds} each."


def summary(found: Comparison) -> Iterator[str]:
    """What a person with one minute should know: per setting the best arm, and what is decided against the others.

    The best was picked by looking, as if all pairs had been compared: their intervals hold together.
    """
    for setting in found.settings:
        groups = found.of(setting)
        best = max(groups, key=lambda group: float(np.mean(group.scores)))
        mean = stats.mean(best.scores)
        line = f"{setting}: {best.arm} scores {'highest, ' if len(groups) > 1 else ''}{mean.text()}"
        line += f" over {_count(mean.seeds, 'seed')}"
        if raw := best.before("score"):
            line += f" ({np.mean(raw):.1f} before training)"
        trained = [group.arm for group in groups if group.trained]
        level = stats.joint_level(math.comb(len(trained), 2))
        others = [arm for arm in trained if arm != best.arm] if best.trained else []
        gaps = {arm: found.difference(setting, best.arm, arm, level) for arm in others}
        clear = [arm for arm, gap in gaps.items() if gap is not None and gap.sign > 0]
        open_ = [arm for arm, gap in gaps.items() if gap is not None and gap.sign == 0]
        above = [arm for arm, gap in gaps.items() if gap is not None and gap.sign < 0]
        line += f"; higher than {', '.join(clear)}" if clear else ""
        line += f"; against {', '.join(open_)} nothing is decided" if open_ else ""
        line += f"; on the seeds that both have, lower than {', '.join(above)}" if above else ""
        yield line + "."


def caveats(found: Comparison) -> Iterator[str]:
    """What is missing, and what the numbers cannot say."""
    if missing := found.missing:
        named, rest = ", ".join(map(str, itertools.islice(missing, _NAMED))), len(missing) - _NAMED
        named += f" and {rest:,} more" if rest > 0 else ""
        yield f"{_count(len(missing), 'planned cell')} not finished, and averaged over nowhere: {named}."
    lonely = [f"{g.setting}/{g.arm}" for g in found.groups.values() if len(g.records) == 1]
    if lonely:
        where = "every arm" if len(lonely) == len(found.groups) else ", ".join(lonely[:_NAMED])
        yield (
            f"One seed of {where}: no intervals there, because a single training says nothing about how much trainings "
            "differ."
        )
    for group in found.groups.values():
        used = [record["env_steps"] for record in group.records] if group.trained else [0]
        if max(used) > _OVER * group.budget:
            yield (
                f"{group.setting}/{group.arm}: up to {max(used):,} env steps for a budget of {group.budget:,}, because "
                "whole updates are played. A larger budget, or a smaller rollout.problems, comes nearer."
            )
    said = dict.fromkeys(text for record in found.records for text in record.get("caveats", []))
    yield from said
    skipped = sum(record.get("skipped_steps", 0) for record in found.records)
    if skipped:
        yield f"{_count(skipped, 'optimiser step')} skipped because a loss was not finite."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def sampled(found: Comparison, runs: Mapping[Key, Path]) -> Iterator[Sample]:
    """A problem of the first seed of every trained arm."""
    for (setting, arm), group in found.groups.items():
        run = runs.get((setting, arm, group.seeds[0]))
        if group.trained and run is not None:
            sample = sample_of(run, f"{setting}, {arm}, seed {group.seeds[0]}")
            if sample is not None:
                yield sample


def sample_of(run: Path, title: str) -> Sample | None:
    """The sample of a run, if its files are there."""
    before, after = (run / "samples" / when for when in ("before", "after"))
    names = sorted({path.name for path in before.glob("*.txt")} & {path.name for path in after.glob("*.txt")})
    if not names:
        return None
    pictures = [(folder / names[0]).with_suffix(".png") for folder in (before, after)]
    shown = tuple(map(embedded, pictures)) if all(path.is_file() for path in pictures) else ()
    return Sample(title, (before / names[0]).read_text(), (after / names[0]).read_text(), shown)


def _again(found: Comparison, folder: Path | None) -> str:
    if found.study is None or folder is None:
        return ""
    name = next(iter(found.study.settings))
    return f"collm compare --study {folder / FILE} --out OTHER --only {name}"


def embedded(path: Path) -> str:
    """A PNG as the address of an image, so that the page needs no other file."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def write_tables(out: Path, made: Sequence[Table], command: str) -> None:
    """``tables.md``, and a CSV of every table."""
    text = "\n\n".join(table.markdown() for table in made)
    (out / "tables.md").write_text(f"Made by `{command}`.\n\n{text}\n", encoding="utf-8")
    folder = out / "tables"
    folder.mkdir(exist_ok=True)
    for table in made:
        name = "".join(letter if letter.isalnum() else "-" for letter in table.title.lower())
        with (folder / f"{name.strip('-')[:_LONGEST]}.csv").open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([table.columns, *table.rows])
