import re
import sys
from pathlib import Path

import pytest

from collm.errors import ConfigError
from collm.tasks import make_task, replay
from collm.tasks.minecraft.blocks import AIR, PALETTES
from collm.tasks.minecraft.export import check_path, export, game_id, mcfunction
from collm.tasks.minecraft.houses import LETTERS

nbtlib = pytest.importorskip("nbtlib")

CURRENT = {
    "minecraft:oak_planks",
    "minecraft:stone",
    "minecraft:white_concrete",
    "minecraft:obsidian",
    "minecraft:red_wool",
    "minecraft:gold_block",
    "minecraft:blue_wool",
    "minecraft:sandstone",
    "minecraft:stone_bricks",
    "minecraft:stone_stairs",
}
"""Ids of Java Edition 1.21, of those that the tasks use."""
Blocks = dict[tuple[int, int, int], str]


def built(name: str, problem: str, **options: object) -> Blocks:
    task = make_task(name, **options)
    posed = task.problem(problem)
    plan = task.best_plan(posed)
    assert plan is not None
    blocks = task.as_blocks(posed, replay(task, posed, plan).state)
    assert blocks
    return {cell: game_id(block) for cell, block in blocks.items()}


def raw(name: str, problem: str) -> Blocks:
    task = make_task(name)
    posed = task.problem(problem)
    return dict(task.as_blocks(posed, replay(task, posed, task.best_plan(posed) or []).state) or {})


BUILDS = [("str-build", "HI"), ("house-build", "house_build_0002"), ("house-build", "6x5x3-gable-BCSBO-e-w")]


def executed(function: str, origin: tuple[int, int, int]) -> Blocks:
    """What a server does with `fill` commands in relative coordinates."""
    world: Blocks = {}
    for line in function.splitlines():
        match = re.fullmatch(r"fill ~(\d+) ~(\d+) ~(\d+) ~(\d+) ~(\d+) ~(\d+) (minecraft:[a-z_]+)", line)
        assert match is not None, line
        low, high = ([origin[i] + int(match[i + first]) for i in range(3)] for first in (1, 4))
        for x in range(low[0], high[0] + 1):
            for y in range(low[1], high[1] + 1):
                for z in range(low[2], high[2] + 1):
                    world[x, y, z] = match[7]
    return world


def test_every_block_of_the_tasks_has_a_current_id() -> None:
    used = {block for palette in PALETTES for block in palette} | set(LETTERS.values()) - {AIR}
    assert {game_id(block) for block in used} == CURRENT
    assert game_id("planks") == "minecraft:oak_planks"


@pytest.mark.parametrize(("name", "problem"), BUILDS)
def test_a_function_builds_the_world_where_it_is_run(name: str, problem: str) -> None:
    moved = {(x + 100, y + 64, z - 7): block for (x, y, z), block in built(name, problem).items()}
    assert executed(mcfunction(raw(name, problem)), (100, 64, -7)) == moved


@pytest.mark.parametrize(("name", "problem"), BUILDS)
def test_a_schematic_reads_back_as_the_world(name: str, problem: str, tmp_path: Path) -> None:
    export(raw(name, problem), tmp_path / "build.schem")
    data = nbtlib.load(tmp_path / "build.schem")
    width, length, height = (int(data[key]) for key in ("Width", "Length", "Height"))
    names = {int(index): str(block) for block, index in data["Palette"].items()}
    cells = [int(index) for index in data["BlockData"]]
    assert len(cells) == width * length * height
    offset = [int(data["Metadata"][f"WEOffset{axis}"]) for axis in "XYZ"]
    world = {
        (i % width + offset[0], i // (width * length) + offset[1], i // width % length + offset[2]): names[index]
        for i, index in enumerate(cells)
        if names[index] != "minecraft:air"
    }
    assert world == built(name, problem)
    assert int(data["Version"]) == 2


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell: Blocks = {(0, 0, 0): "stone"}
    with pytest.raises(ConfigError, match=r"must end in \.schem or \.mcfunction"):
        check_path(Path("house.nbt"))
    with pytest.raises(ConfigError, match=r"only with names of lower-case letters.* for instance, h_1\.mcfunction"):
        check_path(Path("Builds/H 1.mcfunction"))
    check_path(Path("Builds/h-1.mcfunction"))
    for name in ("a.schem", "a.mcfunction"):
        with pytest.raises(ConfigError, match="nothing stands in this world"):
            export({}, tmp_path / name)
        with pytest.raises(ConfigError, match="Name a folder that exists"):
            export(cell, tmp_path / "none" / name)
    monkeypatch.setitem(sys.modules, "mcschematic", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'collm[minecraft]'")):
        check_path(Path("house.schem"))
    export(cell, tmp_path / "without.mcfunction")
    assert (tmp_path / "without.mcfunction").read_text() == "fill ~0 ~0 ~0 ~0 ~0 ~0 minecraft:stone\n"
