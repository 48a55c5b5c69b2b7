"""Weights & Biases, online or offline, as its own settings say (``wandb login``, ``WANDB_MODE``, …)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from collm.errors import ConfigError
from collm.training.trackers.protocol import About

_PATIENCE = 60
"""Seconds that the end of a run waits for a slow network. What is not sent by then is in the run's folder."""


class Wandb:
    """A run of W&B whose steps are updates, drawn against env steps."""

    def __init__(self, about: About) -> None:
        import wandb

        # What was kept offline is told again in whole, so the older files would be the same points twice.
        for old in (about.folder / "wandb").glob(f"offline-run-*-{about.id}"):
            shutil.rmtree(old)
        self._run = wandb.init(
            project=about.project,
            name=about.name,
            group=about.group,
            id=about.id,
            dir=about.folder,
            # Whoever trains from Python may have a run of their own.
            reinit="create_new",
            config=dict(about.config),
            resume="allow" if wandb.setup().settings.mode == "online" else None,
            settings=wandb.Settings(
                console="off",
                quiet=True,
                disable_git=True,
                save_code=False,
                finish_timeout=_PATIENCE,
                finish_timeout_raises=True,
            ),
        )
        self._run.define_metric("env_steps")
        self._run.define_metric("*", step_metric="env_steps")

    @staticmethod
    def check() -> None:
        import wandb

        if wandb.setup().settings.mode == "online" and not wandb.login(prompt=False, verify=False):
            raise ConfigError(
                "wandb is not logged in. Run `wandb login`, or set WANDB_MODE=offline to keep the run on this machine "
                "(`wandb sync` sends it later)."
            )

    def numbers(self, values: Mapping[str, float], update: int, env_steps: int) -> None:
        # The server's history only grows: of a resumed run it keeps the updates that it has, and those are not sent again.
        if update >= self._run.step:
            self._run.log({**values, "env_steps": env_steps}, step=update)

    def pictures(self, paths: Mapping[str, Path], update: int, env_steps: int) -> None:
        import wandb

        if update >= self._run.step:
            self._run.log({name: wandb.Image(str(path)) for name, path in paths.items()}, step=update)

    def finish(self) -> None:
        self._run.finish()
