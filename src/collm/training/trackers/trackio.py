"""trackio, in its local store (``TRACKIO_DIR``), from which its own commands publish."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from collm.training.trackers.protocol import About


class Trackio:
    """A run of trackio, drawn against env steps."""

    def __init__(self, about: About) -> None:
        import trackio

        # trackio finds runs by name, so the id is part of it.
        name = f"{about.name}-{about.id}"
        self._run = trackio.init(
            project=about.project,
            name=name,
            group=about.group,
            config=dict(about.config),
            resume="never",
            embed=False,
            auto_log_cpu=False,
            auto_log_gpu=False,
        )
        # Its points cannot be replaced one by one. ValueError: nothing was ever stored in this project.
        with contextlib.suppress(ValueError):
            for old in trackio.Api().runs(about.project):
                if old.name == name and old.id != self._run.id:
                    old.delete()

    @staticmethod
    def check() -> None:
        pass

    def numbers(self, values: Mapping[str, float], update: int, env_steps: int) -> None:
        self._run.log(dict(values), step=env_steps)

    def pictures(self, paths: Mapping[str, Path], update: int, env_steps: int) -> None:
        import trackio

        self._run.log({name: trackio.Image(str(path)) for name, path in paths.items()}, step=env_steps)

    def finish(self) -> None:
        import trackio

        trackio.finish()
