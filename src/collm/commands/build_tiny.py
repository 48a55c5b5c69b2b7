"""``collm build-tiny``: make an embedded model again."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import Progress

from collm import machine
from collm.commands.common import note, parse, peek
from collm.errors import RunExistsError
from collm.models.tiny.build import RECIPES, TinyRecipe, build
from collm.options import check


@dataclasses.dataclass(frozen=True)
class BuildTinyCommand:
    """Make an embedded model from the tasks' own noisy demonstrations and write it as a Hugging Face folder."""

    out: Annotated[Path, tyro.conf.Positional]
    """A new folder; use it with --model."""
    recipe: Annotated[TinyRecipe, tyro.conf.arg(name="")]
    size: Literal["tiny", "small"] = "tiny"
    """Which of the two; the options of the recipe start from its values."""
    threads: int | None = None
    """Processor threads; by default what torch finds."""


def main(arguments: Sequence[str]) -> int:
    size = peek(arguments, "--size") or "tiny"
    default = BuildTinyCommand(tyro.MISSING, RECIPES.get(size, RECIPES["tiny"]))
    command = parse(BuildTinyCommand, "build-tiny", arguments, default)
    check(command.recipe)
    if command.out.exists() and (not command.out.is_dir() or any(command.out.iterdir())):
        raise RunExistsError(f"{command.out} exists and is not empty. Name another folder.")
    machine.prepare("cpu", command.threads)
    with Progress(console=Console(file=sys.stderr), transient=False) as bar:
        work = bar.add_task("making demonstrations …", total=command.recipe.steps)

        def progress(step: int, loss: float) -> None:
            bar.update(work, completed=step, description=f"loss {loss:.3f} nats per token")

        build(command.recipe, command.out, progress)
    note(f"wrote {command.out}. Try it: collm play str-build --model {command.out}")
    return 0
