"""One cell of a comparison, run as ``python -m collm.comparison.cell FOLDER SETTING ARM SEED``: it trains (or goes on
training) and measures on all held-out problems. What it finds is in ``record.json``; a cell that has one is finished."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collm import cli, machine, options
from collm.comparison import records
from collm.comparison.records import Record
from collm.comparison.study import FILE, Cell, Study, read_study
from collm.config import TrainConfig, from_saved, with_changes
from collm.errors import ConfigError
from collm.evaluation.baselines import answers, measure
from collm.evaluation.samples import write_samples
from collm.evaluation.stats import pass_at_k
from collm.methods import METHODS
from collm.models.base import weights_hash
from collm.models.policy import Policy
from collm.rollout.protocols import PROTOCOLS, Protocol
from collm.tasks.protocol import Task
from collm.training.load import load_team
from collm.training.metrics import read
from collm.training.run import resume, train
from collm.training.run_folder import CONFIG, RunFolder
from collm.training.setup import build_task
from collm.training.team import team_of

_SAMPLES = 4
_SOLVED, _TRIES = "all_tests_passed", (1, 3, 5)
"""The measure of tasks that count solved problems, and the k of their pass@k."""


def play(study: Study, cell: Cell, folder: Path) -> Record:
    """Run a cell in its folder, whatever state it was left in, and return its record."""
    config, arm = study.config(cell), study.arms[cell.arm]
    difference = records.changed(folder, config, arm.method)
    if difference:
        raise ConfigError(
            f"{folder} was begun with other settings: {difference}. Put them back, or remove that folder to begin again."
        )
    problems = build_task(config).problems("test")
    config = with_changes(config, {"evaluation.test_problems": len(problems)})
    own: Record = {"setting": cell.setting, "arm": cell.arm, "seed": cell.seed, "versions": records.versions()}
    own["conditions"] = records.conditions(config, study.budget(cell.setting), [problem.id for problem in problems])
    found = _trained(config, folder) if arm.trained else _untrained(config, PROTOCOLS[arm.method], folder)
    record: Record = records.compact({**own, **found})
    RunFolder(folder).write_json(records.FILE, record)
    return record


def _trained(config: TrainConfig[Any], folder: Path) -> Record:
    if (folder / CONFIG).exists():
        summary = resume(folder, trackers=config.run.trackers, project=config.run.project)
    else:
        summary = train(config, folder)
    saved = from_saved(RunFolder.open(folder).read_config())
    found = records.run_record(saved, summary, read(folder / "metrics.jsonl"))
    found["before"], found["after"] = (records.team_of(folder, name) for name in ("raw", "trained"))
    if _SOLVED in found["after"]["sampled"]:
        _, task, team = load_team(folder)
        protocol = PROTOCOLS["raw" if METHODS[config.method].single else "parallel"]
        found["after"]["sampled"] |= _pass_at(protocol, task, team, saved)
    return found


def _untrained(config: TrainConfig[Any], protocol: Protocol, folder: Path) -> Record:
    folder.mkdir(parents=True, exist_ok=True)
    machine.prepare(config.run.device, config.run.threads)
    task = build_task(config)
    team = team_of(config, task.agents)
    return {
        "method": protocol.name,
        "single": protocol.single,
        "model": config.model,
        "model_hash": weights_hash(team[0].model),
        "config": {"model": config.model, "sampling": options.to_mapping(config.sampling)},
        "after": _measured(protocol, task, team, config, folder / "samples" / "after"),
    }


def _measured(
    protocol: Protocol, task: Task, team: Sequence[Policy], config: TrainConfig[Any], samples: Path
) -> Record:
    """A team on all test problems, sampled and greedy. The first call of a process is slow, and is not what play takes."""
    problems, key = task.problems("test"), ("test", config.seed)
    measure(protocol, task, team, problems[:1], config.sampling, key)
    sampled, greedy = (
        measure(protocol, task, team, problems, sampling, key)
        for sampling in (config.sampling, config.sampling.greedy())
    )
    write_samples(task, sampled.episodes[:_SAMPLES], samples)
    found = records.team_record(sampled, greedy)
    if _SOLVED in sampled.rows:
        found["sampled"] |= _pass_at(protocol, task, team, config)
    return found


def _pass_at(protocol: Protocol, task: Task, team: Sequence[Policy], config: TrainConfig[Any]) -> Record:
    """pass@k of a team on all test problems."""
    problems, key = task.problems("test"), ("test", config.seed)
    solved = answers(protocol, task, team, problems, config.sampling, key, _SOLVED, max(_TRIES))
    return {f"pass_at_{k}": pass_at_k(solved, k) for k in _TRIES}


def main(arguments: Sequence[str]) -> int:
    root = Path(arguments[0])
    cell = Cell(arguments[1], arguments[2], int(arguments[3]))
    play(read_study(root / FILE), cell, root / cell.path)
    return 0


if __name__ == "__main__":
    sys.exit(cli.guarded(lambda: main(sys.argv[1:])))
