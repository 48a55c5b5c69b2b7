"""The words StrBuild says to its agents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from collm.tasks.minecraft import font
from collm.tasks.minecraft.commands import Command
from collm.tasks.minecraft.font import Cell

SYSTEM = "You are a Minecraft building agent. Output only Minecraft commands, one per line."


def opening(
    word: str,
    seat: str,
    blocks: Sequence[str],
    limits: str,
    world: str,
    show_target: str,
) -> str:
    """The user message of turn 0 for one agent."""
    parts = [seat]
    if show_target != "none":
        parts.append(f"Build the string {word}.")
    if show_target == "string+grid":
        parts.append(f"Target, top row first, # is a block:\n{font.grid(word)}\n")
    parts.append(
        f"World box: x 0 to {font.width(word) - 1} from left to right, "
        f"y 0 to {font.HEIGHT - 1} from bottom to top, z 0."
    )
    parts.append(f"Your blocks: {', '.join(blocks)}, air.")
    on_target = " only on # cells," if show_target == "string+grid" else ""
    parts.append(
        f"Rules: /setblock <x> <y> <z> <block>,{on_target} blocks that share a side must differ in texture, "
        "use all your blocks."
    )
    parts.append(limits)
    parts.append(world)
    return "\n".join(parts)


def seat(agent: int, agents: int) -> str:
    """Who the agent is and in which order simultaneous commands are applied."""
    if agents == 1:
        return "You are the only agent."
    return f"You are Agent {agent + 1} of {agents}. All act at the same time; later agents overwrite earlier ones."


def limits(per_turn: int, total: int) -> str:
    """How much an agent may write."""
    if per_turn >= total:
        return f"At most {total} commands."
    return f"At most {per_turn} commands per turn, {total} in all."


def world_rule(turns: int, persistent: bool) -> str:
    """How many turns there are and what happens to blocks between them."""
    if turns == 1:
        return "There is one turn."
    stays = "blocks stay." if persistent else "each turn starts from an empty world."
    return f"There are {turns} turns; {stays}"


def turn_header(turn: int, turns: int, persistent: bool) -> str:
    """The first line of a later observation; ``turn`` counts from 0."""
    rebuilt = "" if persistent else " The world is empty again: send the whole build."
    return f"Turn {turn + 1} of {turns}.{rebuilt}"


def own_feedback(empty: int) -> str:
    """What remains to be done, and nothing of who did what."""
    return f"Target cells still empty: {empty}."


def score_feedback(reward: float) -> str:
    """The plain reward of the last outcome."""
    return f"Your team's last reward: {reward:.4f}."


def position_feedback(target: Iterable[Cell], agents: int, blocks: Sequence[str]) -> str:
    """All target positions, top row first, and the advice to take a share; it does not depend on what was built."""
    cells = sorted(target, key=lambda cell: (-cell[1], cell[0]))
    listed = " ".join(f"({x}, {y}, 0)" for x, y in cells)
    return (
        f"Target positions, absolute: {listed}.\n"
        f"Choose about {max(1, len(cells) // agents)} of them, avoid cells that share a side. "
        f"Your blocks: {', '.join(blocks)}, air. Format: /setblock <x> <y> <z> <block>."
    )


def perfect_feedback(fixes: Sequence[Command]) -> str:
    """Exactly the cells that this agent should set, with the block of an optimal build."""
    if not fixes:
        return "Nothing to fix."
    listed = " ".join(f"({fix.cell[0]}, {fix.cell[1]}, 0) {fix.block}" for fix in fixes)
    return f"Set these cells: {listed}."
