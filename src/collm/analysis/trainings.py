"""The trainings of a study: a method with a team's task, and runs that are begun, gone on with, or already there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collm.config import TrainConfig, comparable, from_saved, resolve, validated, with_changes
from collm.errors import ConfigError
from collm.methods import method
from collm.training.display import Display
from collm.training.run import resume, train
from collm.training.run_folder import RunFolder


def with_method(config: TrainConfig[Any], name: str, change: Mapping[str, Any]) -> TrainConfig[Any]:
    """What ``config`` is for another method: the same task, sampling, model and machine, the method's own settings in the
    same preset, and dotted keys replaced. Raises ConfigError for a single-model method: it has no team."""
    if method(name).single:
        raise ConfigError(
            f"'{name}' trains one model in all roles: not a team. Name a method for teams, such as collm-cc."
        )
    if name != config.method:
        own = resolve(config.task_name, name, config.preset, {"model": config.model})
        config = dataclasses.replace(
            own,
            task=config.task,
            sampling=config.sampling,
            run=config.run,
            credit=dataclasses.replace(own.credit, gamma=config.credit.gamma),
            critic=config.critic if method(name).critic and method(config.method).critic else own.critic,
        )
    return validated(with_changes(config, change))


def trained(config: TrainConfig[Any], out: Path, display: Display | None = None) -> dict[str, Any]:
    """The summary of this training in folder ``out``: read if it is finished, else the run is gone on with, or begun.

    Raises ConfigError if the folder holds a run with other settings, and what ``train`` raises.
    """
    folder = RunFolder(out)
    if not folder.config_path.is_file():
        return train(config, out, display)
    saved = from_saved(folder.read_config())
    threads = config.run.threads or saved.run.threads
    if comparable(saved) != comparable(
        dataclasses.replace(config, run=dataclasses.replace(config.run, threads=threads))
    ):
        raise ConfigError(f"{out} holds a run with other settings. Name another folder with --out, or move it away.")
    if folder.summary_path.is_file():
        return dict(json.loads(folder.summary_path.read_text()))
    return resume(out, display, trackers=config.run.trackers, project=config.run.project)
