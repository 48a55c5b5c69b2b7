"""What a comparison keeps of a cell: one JSON object, from which every table and figure is made."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from collm import options
from collm.comparison.study import without
from collm.config import TrainConfig, comparable, from_saved, without_trackers
from collm.errors import ConfigError
from collm.evaluation.evaluate import Evaluation
from collm.methods import METHODS
from collm.training.metrics import read, to_json
from collm.training.run_folder import CONFIG, RunFolder, read_json
from collm.training.setup import build_task

Record = dict[str, Any]
FILE = "record.json"
_DIGITS = 5
"""Significant digits that are kept."""
CURVES: Mapping[str, tuple[str | int, ...]] = {
    "env_steps": ("env_steps",),
    "seconds": ("time", "seconds"),
    "score": ("score",),
    "entropy": ("entropy",),
    "explained_variance": ("critic", "explained_variance"),
    "kl": ("policy", "kl"),
    "gradient_signal": ("policy", "gradient_signal"),
}
"""Name of a curve → where its values are in a line of metrics."""


def conditions(config: TrainConfig[Any], budget: int, problems: Sequence[str]) -> Record:
    """What all cells of a setting have to agree in."""
    return {
        "task": config.task_name,
        "options": options.to_mapping(config.task),
        "env_steps": budget,
        "problems": len(problems),
        "problems_digest": hashlib.blake2b("\n".join(problems).encode(), digest_size=8).hexdigest(),
    }


def versions() -> dict[str, str]:
    """What made a record or a page."""
    return {
        **{name: metadata.version(name) for name in ("collm", "torch", "transformers", "numpy")},
        "python": platform.python_version(),
    }


def team_record(sampled: Evaluation, greedy: Evaluation) -> Record:
    """One team on the held-out problems: means under both decodings, and the sampled score problem by problem."""
    found: Record = {one.decoding: {**one.summary(), **one.cost.summary()} for one in (sampled, greedy)}
    for own in found.values():
        del own["decoding"]
    found["per_problem"] = sampled.rows["score"].tolist()
    return found


def curve(records: Iterable[Mapping[str, Any]]) -> Record:
    """The learning curves of a run: one list per name of ``CURVES``, null where a line has no such value; and what was
    validated, as pairs of env steps and score."""
    lines = list(records)
    found: Record = {name: [_at(line, path) for line in lines] for name, path in CURVES.items()}
    found["contribution"] = [line.get("contribution") for line in lines]
    found["spread"] = [_mean(_at(line, ("advantage", "spread"))) for line in lines]
    found["validation"] = [
        [line["env_steps"], line["validation"]["score"]] for line in lines if line.get("validation") is not None
    ]
    return {name: values for name, values in found.items() if any(value is not None for value in values)}


def of_run(path: Path) -> Record:
    """What a finished run that ``collm train`` made says of itself. Raises ConfigError if it is not finished."""
    folder = RunFolder.open(path)
    if not folder.summary_path.is_file() or not (path / "trained.json").is_file():
        raise ConfigError(f"{path} is not finished. Go on with: collm train --resume {path}")
    config = from_saved(folder.read_config())
    summary = read_json(folder.summary_path, f"Write it again: collm train --resume {path}")
    problems = [problem.id for problem in build_task(config).problems("test")][: summary["problems"]]
    return compact(
        {
            "setting": config.task_name,
            "arm": config.method,
            "seed": config.seed,
            "conditions": conditions(config, config.env_steps, problems),
            **run_record(config, summary, read(folder.metrics_path)),
            "before": team_of(path, "raw"),
            "after": team_of(path, "trained"),
        }
    )


def run_record(config: TrainConfig[Any], summary: Mapping[str, Any], lines: Iterable[Mapping[str, Any]]) -> Record:
    """The part of a record that only a trained team has."""
    values = comparable(config)
    return {
        "method": config.method,
        "single": METHODS[config.method].single,
        "model": config.model,
        "model_hash": summary["model_hash"],
        "config": {name: own for name, own in values.items() if name not in ("task", "seed")},
        "env_steps": summary["env_steps"],
        "seconds": summary["seconds"],
        "skipped_steps": summary["skipped_steps"],
        "caveats": summary["caveats"],
        "curve": curve(lines),
    }


def team_of(run: Path, name: str) -> Record:
    """What a run measured of its team: ``raw`` or ``trained``."""
    measured = read_json(run / f"{name}.json", f"Write it again: collm train --resume {run}")
    left_out = ("per_problem", "decoding")
    found = {decoding: {k: v for k, v in own.items() if k not in left_out} for decoding, own in measured.items()}
    return {**found, "per_problem": measured["sampled"]["per_problem"]["score"]}


def compact(value: Any) -> Any:
    """The value with floats of five significant digits, and without numpy."""
    if isinstance(value, Mapping):
        return {key: compact(own) for key, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [compact(own) for own in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{_DIGITS}g}")
    return value


def save(records: Iterable[Record], folder: Path) -> None:
    """Write ``SETTING.jsonl`` for every setting: a line per cell, in order of arm and seed."""
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, list[Record]] = {}
    for record in records:
        settings.setdefault(record["setting"], []).append(record)
    for name, own in settings.items():
        lines = [to_json(record) for record in sorted(own, key=lambda r: (r["arm"], r["seed"]))]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")


def load(folder: Path) -> Iterator[Record]:
    """The records of a comparison's folder (its finished cells), or of a folder of ``SETTING.jsonl`` files."""
    for path in sorted(folder.glob(f"cells/*/*/*/{FILE}")):
        yield of_cell(path)
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                yield checked(json.loads(line))
            except ValueError as error:
                raise ConfigError(f"{path}, line {number} is no record of a cell: {error}. Remove the line.") from error


def of_cell(path: Path) -> Record:
    """The record of a finished cell. Raises ConfigError if it is damaged."""
    advice = "Remove it and repeat the comparison: only what is missing is done again."
    try:
        return checked(read_json(path, advice))
    except ValueError as error:
        raise ConfigError(f"{path} is no record of a cell: {error}. {advice}") from error


def checked(record: Any) -> Record:
    """The record if it has what every record has. Raises ValueError otherwise."""
    for key in ("setting", "arm", "seed", "conditions", "after"):
        if not isinstance(record, dict) or key not in record:
            raise ValueError(f"it has no '{key}'")
    for part in ("sampled", "greedy", "per_problem"):
        if part not in record["after"]:
            raise ValueError(f"it has no 'after.{part}'")
    return record


def require_comparable(records: Iterable[Record]) -> None:
    """Raise ConfigError with the difference if two cells of a setting disagree in task, budget or evaluation problems."""
    first: dict[str, Record] = {}
    for record in records:
        other = first.setdefault(record["setting"], record)
        found = difference(other["conditions"], record["conditions"])
        if found:
            raise ConfigError(
                f"{name(other)} and {name(record)} cannot be compared: {found}. Run both with the same task options, "
                "env steps and test problems, or compare them as two settings."
            )


def changed(cell: Path, config: TrainConfig[Any], method: str) -> str:
    """What the cell in this folder was begun or finished with, and what ``config`` and the method (or protocol) say, where
    they differ. Empty if nothing is there."""
    if (cell / FILE).is_file():
        return made_otherwise(of_cell(cell / FILE), config, method)
    if (cell / CONFIG).is_file():
        return _differs(without_trackers(RunFolder.open(cell).read_config()), config)
    return ""


def made_otherwise(record: Record, config: TrainConfig[Any], method: str) -> str:
    """The same for a finished cell. An older record says only what it kept."""
    agreed = record["conditions"]
    kind = difference(
        {"task": agreed["task"], "method": record.get("method", method)}, {"task": config.task_name, "method": method}
    )
    own = {"task": agreed["options"], "env_steps": agreed["env_steps"], "seed": record["seed"]}
    return kind or _differs({**record.get("config", {}), **own}, config)


def _differs(kept: Mapping[str, Any], config: TrainConfig[Any]) -> str:
    # A cell is measured on the whole test split, whatever its plan says.
    rest = {key: own for key, own in kept.get("evaluation", {}).items() if key != "test_problems"}
    kept = without(compact({**kept, "evaluation": rest}), METHODS[config.method].without)
    return difference(kept, _as_far_as(compact(comparable(config)), kept))


def _as_far_as(values: Mapping[str, Any], kept: Mapping[str, Any]) -> Record:
    """The part of nested values that has a counterpart."""
    return {
        key: _as_far_as(own, kept[key]) if isinstance(own, Mapping) and isinstance(kept[key], Mapping) else own
        for key, own in values.items()
        if key in kept
    }


def name(record: Record) -> str:
    """The name of a record's cell."""
    return f"{record['setting']}/{record['arm']}/{record['seed']}"


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What two nested mappings disagree in, as a person would say it; empty if they are the same."""
    found = []
    for key in {**one, **other}:
        a, b = one.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            nested = difference(a, b)
            found += [nested] if nested else []
        elif a != b:
            found.append(f"{key.replace('_', ' ')} {a} and {b}")
    return ", ".join(found)


def _at(line: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
    value: Any = line
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _mean(table: Any) -> float | None:
    """Mean over turns and agents of a table with gaps."""
    values = [value for row in table or [] for value in row if value is not None]
    return float(np.mean(values)) if values else None
