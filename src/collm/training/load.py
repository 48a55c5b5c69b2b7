"""A run's trained team, for measuring and playing: policies only, nothing of a critic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collm import machine
from collm.config import TrainConfig, from_saved
from collm.models.policy import Policy
from collm.tasks.protocol import Task
from collm.training import checkpoint
from collm.training.run_folder import RunFolder
from collm.training.setup import build_task
from collm.training.state import restore_policies
from collm.training.team import team_of


def load_team(
    run: Path, name: str | None = None, task: Task | None = None
) -> tuple[TrainConfig[Any], Task, list[Policy]]:
    """The configuration, task and policies of a run at its newest checkpoint, or at the one called ``name``.

    A run of a task that is an object needs the same ``task``. Raises ConfigError if there is no run, CheckpointError if it
    has no good checkpoint.
    """
    folder = RunFolder.open(run)
    config = from_saved(folder.read_config(), task)
    machine.prepare(config.run.device, config.run.threads)
    task = build_task(config, task)
    policies = team_of(config, task.agents)
    path = folder.checkpoints / name if name else checkpoint.latest(folder.checkpoints, str(run))
    restore_policies(policies, checkpoint.load(path)[0])
    return config, task, policies
