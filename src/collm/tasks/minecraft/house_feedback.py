"""What HouseBuild's feedback modes look at: wrong cells, and who is told about which of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from collm.tasks.minecraft.blocks import AIR
from collm.tasks.minecraft.boxes import Box, Cell, boxes, rectangles
from collm.tasks.minecraft.house_outcome import World
from collm.tasks.minecraft.house_plan import shares
from collm.tasks.minecraft.houses import HouseProblem


def wrong_cells(problem: HouseProblem, world: World) -> dict[Cell, str]:
    """The cells whose block is not the target's, with the target's block, from below upwards."""
    found = {
        cell: block for cell, block in problem.cells.items() if block != (world[cell].block if cell in world else AIR)
    }
    return dict(sorted(found.items(), key=lambda item: (item[0][1], item[0][0], item[0][2])))


def perfect(problem: HouseProblem, world: World, roles: int, agent: int | None) -> list[Box]:
    """What an agent should fill for the canonical build; the last agent also clears what is outside the target.

    ``agent`` None stands for one who writes for all roles.
    """
    wrong = wrong_cells(problem, world)
    parts = shares(problem, roles)
    own = [box for part in (parts if agent is None else parts[agent : agent + 1]) for box in part]
    fixes = {cell: wrong[cell] for box in own for cell in box.cells if cell in wrong}
    strays = {cell: block for cell, block in wrong.items() if block == AIR}
    clears = boxes(strays) if agent is None or agent == roles - 1 else []
    # Boxes of the share that are wrong as a whole stay whole; the rest of it is put together anew.
    whole = [box for box in own if all(cell in fixes for cell in box.cells)]
    rest = fixes.keys() - {cell for box in whole for cell in box.cells}
    return clears + whole + boxes({cell: fixes[cell] for cell in fixes if cell in rest})


def modification(wrong: Mapping[Cell, str], agents: int, agent: int, limit: int) -> list[Box]:
    """The first wrong cells, dealt out so that no two agents are told the same."""
    return [Box(cell, cell, wrong[cell]) for cell in itertools.islice(wrong, agent, agents * limit, agents)]


def wrong_rectangles(
    problem: HouseProblem, wrong: Mapping[Cell, str], agents: int, agent: int, limit: int
) -> list[Box]:
    """The agent's target rectangles, air included, that contain a wrong cell; each agent has a band of layers."""
    height = problem.size[1]
    band = range(height * agent // agents, height * (agent + 1) // agents)
    found = [box for box in rectangles(problem.cells) if box.low[1] in band and any(c in wrong for c in box.cells)]
    return found[:limit]


def schedule(problem: HouseProblem, world: World, left: Sequence[Mapping[str, float]], limit: int) -> list[list[Box]]:
    """For each agent boxes that mend the world and that what it has ``left`` pays for; no cell is suggested twice.

    Greedy by volume: the largest wrong box goes to the agent with most of its block; what it cannot pay as a whole
    it gets in part, and the rest waits for the next agent.
    """
    solid = {cell: block for cell, block in wrong_cells(problem, world).items() if block != AIR}
    waiting = sorted(boxes(solid), key=lambda box: -box.volume)
    stock = [dict(amounts) for amounts in left]
    found: list[list[Box]] = [[] for _ in left]
    while waiting:
        box = waiting.pop(0)
        open_to = [agent for agent in range(len(left)) if len(found[agent]) < limit]
        if not open_to:
            break
        agent = max(open_to, key=lambda agent: stock[agent].get(box.block, 0))
        part = _part(box, stock[agent].get(box.block, 0))
        if part is None:
            continue
        stock[agent][box.block] -= part.volume
        found[agent].append(part)
        rest = dict.fromkeys(box.cells, box.block)
        for cell in part.cells:
            del rest[cell]
        waiting[:0] = boxes(rest) if rest else []
    return found


def _part(box: Box, amount: float) -> Box | None:
    """The largest part of a box, cut along one axis after the other, of at most ``amount`` cells."""
    high = list(box.high)
    for axis in (0, 2, 1):
        slab = Box(box.low, (high[0], high[1], high[2]), box.block).volume // (high[axis] - box.low[axis] + 1)
        high[axis] = min(high[axis], box.low[axis] + max(0, int(min(amount, 1e9)) // slab - 1))
    part = Box(box.low, (high[0], high[1], high[2]), box.block)
    return part if part.volume <= amount else None
