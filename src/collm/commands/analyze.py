"""``collm analyze``: bias, variance, drift and cost of gradient estimators, in a game or with language models."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from collm.analysis.folder import begin, finish, free_path, write_rows
from collm.analysis.game_study import ConvergenceSettings, GameStudy, check_study, rows
from collm.analysis.game_tables import game_tables
from collm.commands.common import note, parse
from collm.errors import unknown_name
from collm.options import to_mapping
from collm.tasks.registry import task_names

USAGE = """usage: collm analyze game [options]       exactly, in a small game where nothing has to be sampled
       collm analyze TASK [options]       by sampling, for a fixed team of language models on a task
(collm analyze game --help and collm analyze TASK --help list the options)"""

QUICK = GameStudy(
    horizons=(1, 2),
    hidden=(0.0, 0.5, 1.0),
    lams=(0.0, 1.0),
    groups=(2, 4),
    teams=2,
    fits=1,
    updates=5,
    convergence=ConvergenceSettings(seeds=4, env_steps=256, lrs=(4.0,), horizons=(2,)),
)
"""Small enough for a test: a second or two."""


@dataclasses.dataclass(frozen=True)
class GameCommand:
    """What the theory says, measured in a two-agent game in which everything can be computed (docs/theory.md)."""

    study: Annotated[GameStudy, tyro.conf.arg(name="")]
    quick: bool = False
    """Begin with small sizes: a look in seconds, not a result."""
    out: Path | None = None
    """A new folder for tables, figures and raw rows; by default one under runs/."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        print(USAGE)
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    if arguments[0] == "game":
        return _game(arguments[1:])
    if arguments[0] not in task_names():
        raise unknown_name("task", arguments[0], [*task_names(), "game"])
    from collm.commands.analyze_task import analyze_task

    return analyze_task(arguments[0], arguments[1:])


def _game(arguments: Sequence[str]) -> int:
    default = GameCommand(QUICK if "--quick" in arguments else GameStudy())
    command = parse(GameCommand, "analyze game", arguments, default)
    check_study(command.study)
    started = time.perf_counter()
    out = begin(command.out or free_path("game"), {"analyze": "game", **to_mapping(command.study)})
    note(f"analyze: writing {out}")
    found = write_rows(out, rows(command.study))
    from collm.analysis.game_figures import draw_game

    finish(out, game_tables(found), draw_game(found, out), len(found), time.perf_counter() - started, command.json)
    return 0
