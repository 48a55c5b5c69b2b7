"""The words HouseBuild says to its agents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from collm.tasks.minecraft import fill
from collm.tasks.minecraft.boxes import Box, Cell
from collm.tasks.minecraft.house_outcome import Threat


def listed(found: Iterable[Box]) -> str:
    """Boxes as the commands that fill them, one per line."""
    return "\n".join(map(fill.write, found))


def layered(found: Iterable[Box]) -> str:
    """Rectangles of each layer as released: one line per y."""
    groups = itertools.groupby(found, key=lambda box: box.low[1])
    return "\n".join(f"y={y}: {' '.join(f'({_corners(box)} {box.block})' for box in row)}" for y, row in groups)


def _corners(box: Box) -> str:
    return ", ".join(map(str, (*box.low, *box.high)))


def opening(seat: str, target: str, size: tuple[int, int, int], stock: str, threat: Threat, ends: Sequence[str]) -> str:
    """The user message of turn 0 for one agent; ``ends`` are the limits and the rule of the world."""
    width, height, depth = size
    parts = [
        seat,
        f"Build this house together, every box once:\n{target}\n",
        f"World box: x 0 to {width - 1}, y 0 to {height - 1} upwards, z 0 to {depth - 1}.",
        stock,
        "Rules: /fill <x> <y> <z> <x> <y> <z> <block>, inside the box; air clears.",
    ]
    if threat.attacks:
        attacks = " + ".join(map(str, threat.attacks))
        parts.append(f"Spiders attack you every turn: {attacks} of your {threat.full} HP. One line /kill ends it.")
    return "\n".join([*parts, *ends])


def stock(amounts: Mapping[str, float], limited: bool) -> str:
    """The blocks an agent has, and how many cells of each it may fill."""
    if not limited:
        return f"Your blocks: {', '.join(amounts)}."
    return f"Your blocks: {', '.join(f'{block} {amount:g}' for block, amount in amounts.items())}."


def health(threat: Threat, persistent: bool) -> str:
    """The hit points that are left, and whether the spiders will attack again; nothing where there are none."""
    if not threat.attacks:
        return ""
    fate = "are dead" if persistent and threat.killed else "attack again"
    return f"HP {threat.hp} of {threat.full}; the spiders {fate}."


def own_feedback(wrong: int, persistent: bool) -> str:
    """What remains to be done, and nothing of who did what."""
    return f"Cells {'still' if persistent else 'of the last build that were'} wrong: {wrong}."


def perfect_feedback(fixes: Sequence[Box]) -> str:
    """Exactly what this agent should fill."""
    return f"Fill these boxes:\n{listed(fixes)}" if fixes else "Nothing to fix."


def position_feedback(blocks: Mapping[Cell, str], agents: int) -> str:
    """All target positions by block, and the advice to take a share; it does not depend on what was built."""
    lines = [
        f"{block}: {' '.join(_spot(cell) for cell, kind in blocks.items() if kind == block)}"
        for block in dict.fromkeys(blocks.values())
    ]
    share = "" if agents == 1 else f"\nChoose about {max(1, len(blocks) // agents)} of them."
    return "Target positions:\n" + "\n".join(lines) + share


def modification_feedback(cells: Sequence[Box], persistent: bool) -> str:
    """Wrong cells with the block that belongs there."""
    if not cells:
        return "No wrong cells for you."
    head = (
        "Wrong cells, with what belongs there:" if persistent else "Wrong in the last build, with what belongs there:"
    )
    return f"{head}\n" + "\n".join(f"{_spot(box.low)} {box.block}" for box in cells)


def rectangle_feedback(found: Sequence[Box], accepted: int, lines: int, persistent: bool) -> str:
    """The target rectangles in which something is wrong, and how many of the agent's own lines were carried out."""
    head = "Target rectangles with wrong cells" + (":" if persistent else " in the last build:")
    body = f"{head}\n{listed(found)}" if found else "No wrong rectangles for you."
    return f"Accepted: {accepted} of your {lines} lines.\n{body}"


def schedule_feedback(
    accepted: int, lines: int, left: Mapping[str, float], found: Sequence[Box], persistent: bool
) -> str:
    """What is left of the agent's blocks before anything suggested is placed, and boxes that this pays for."""
    amounts = ", ".join(f"{block} {amount:g}" for block, amount in left.items())
    when = "left until the end" if persistent else "for this turn's build"
    body = f"Suggested boxes:\n{listed(found)}" if found else "Nothing to suggest."
    return f"Accepted: {accepted} of your {lines} lines.\nBlocks {when}: {amounts}.\n{body}"


def _spot(cell: Cell) -> str:
    return f"({cell[0]}, {cell[1]}, {cell[2]})"
