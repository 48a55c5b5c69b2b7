"""A canonical optimal build: who places which block where, so that the reward is exactly its maximum."""

from __future__ import annotations

import math
from collections.abc import Sequence

from collm.tasks.minecraft.commands import Command
from collm.tasks.minecraft.font import Cell

Chunk = tuple[Command, ...]


def assignment(cells: Sequence[Cell], palettes: Sequence[Sequence[str]]) -> tuple[Chunk, ...]:
    """Each role's commands: an equal share of the target in reading order, in a checkerboard of its two blocks.

    Side-sharing cells differ in the parity of x + y, so within a share neighbours differ in block, and across shares
    in palette: no two neighbours share a texture. A share that lies on one parity only has no neighbours in itself;
    its last cell takes the other block, so that both blocks of every role occur.
    """
    roles = len(palettes)
    bounds = [round(len(cells) * role / roles) for role in range(roles + 1)]
    chunks = []
    for role, palette in enumerate(palettes):
        share = list(cells[bounds[role] : bounds[role + 1]])
        commands = [Command(cell, palette[(cell[0] + cell[1]) % 2]) for cell in share]
        if len({command.block for command in commands}) == 1 and len(commands) > 1:
            other = palette[1] if commands[-1].block == palette[0] else palette[0]
            commands[-1] = Command(commands[-1].cell, other)
        chunks.append(tuple(commands))
    return tuple(chunks)


def command_budget(cells: int, roles: int) -> int:
    """The default number of commands of a role for one build: ⌈0.6·cells⌉, so that no role can finish alone.

    A lone role gets ⌈1.2·cells⌉, the same total as a pair.
    """
    return math.ceil((0.6 if roles > 1 else 1.2) * cells)


def turn_budget(total: int, turns: int) -> int:
    """The default number of commands per role and turn in a persistent world: the budget spread evenly, plus one."""
    return total if turns == 1 else math.ceil(total / turns) + 1
