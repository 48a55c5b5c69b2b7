"""Builds as files for the game: Sponge ``.schem`` (with the package mcschematic) and ``.mcfunction``."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collm.errors import ConfigError
from collm.tasks.minecraft.boxes import Cell, boxes

GAME_IDS: Mapping[str, str] = {"planks": "oak_planks"}
"""Blocks of the tasks whose name the game no longer has, and what stands in for them."""
SUFFIXES = (".schem", ".mcfunction")
_FUNCTION = re.compile(r"[a-z0-9_.-]+")
_VERSION = "JE_1_21_5"
"""The data version written into a ``.schem``; later versions of the game upgrade it when they load it."""


def game_id(block: str) -> str:
    """The id of a block in a current Java edition."""
    return f"minecraft:{GAME_IDS.get(block, block)}"


def check_path(path: Path) -> None:
    """Raise ConfigError if the name of an export does not say its format, or the format's package is missing."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"--export {path}: the name must end in {' or '.join(SUFFIXES)}.")
    if path.suffix == ".schem":
        _mcschematic()
    elif not _FUNCTION.fullmatch(path.stem):
        raise ConfigError(
            f"--export {path}: the game loads functions only with names of lower-case letters, digits, '_', '-' and '.'. "
            f"Call it, for instance, {path.with_stem(re.sub('[^a-z0-9_.-]', '_', path.stem.lower())).name}."
        )


def _mcschematic() -> Any:
    try:
        return importlib.import_module("mcschematic")
    except ImportError as error:
        raise ConfigError(
            "a .schem needs the package mcschematic: pip install 'collm[minecraft]'. A .mcfunction needs none."
        ) from error


def export(blocks: Mapping[Cell, str], path: Path) -> None:
    """Write blocks in the format that the name says. Raises ConfigError if there are none or it cannot be written."""
    check_path(path)
    if not blocks:
        raise ConfigError(f"--export {path}: nothing stands in this world, so there is nothing to export.")
    try:
        if path.suffix == ".schem":
            _write_schem(blocks, path)
        else:
            path.write_text(mcfunction(blocks))
    except OSError as error:
        raise ConfigError(
            f"--export {path} cannot be written: {error.strerror or error}. Name a folder that exists."
        ) from error


def mcfunction(blocks: Mapping[Cell, str]) -> str:
    """Commands that build the blocks relative to where they are run, one per line; air is left as it is."""
    lines = []
    for box in boxes(blocks):
        low, high = (" ".join(f"~{place}" for place in corner) for corner in (box.low, box.high))
        lines.append(f"fill {low} {high} {game_id(box.block)}")
    return "\n".join(lines) + "\n"


def _write_schem(blocks: Mapping[Cell, str], path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(2, "No such folder")
    package = _mcschematic()
    schematic = package.MCSchematic()
    for cell, block in sorted(blocks.items()):
        schematic.setBlock(cell, game_id(block))
    schematic.save(str(path.parent), path.stem, package.Version[_VERSION])
