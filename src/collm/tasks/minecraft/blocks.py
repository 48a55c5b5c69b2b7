"""Block names, textures and colours."""

from __future__ import annotations

AIR = "air"

PALETTES: tuple[tuple[str, str], ...] = (
    ("oak_planks", "stone"),
    ("white_concrete", "obsidian"),
    ("red_wool", "gold_block"),
    ("blue_wool", "sandstone"),
)
"""The two solid blocks of each StrBuild agent."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "oak_planks": (184, 148, 95),
    "stone": (127, 127, 127),
    "white_concrete": (226, 230, 231),
    "obsidian": (43, 33, 62),
    "red_wool": (161, 39, 35),
    "gold_block": (250, 210, 62),
    "blue_wool": (53, 57, 157),
    "sandstone": (219, 207, 163),
    "stone_bricks": (110, 110, 112),
    "stone_stairs": (152, 150, 146),
    "planks": (184, 148, 95),
}
"""RGB of each block for pictures, close to the game's own textures."""

_STONES = {"stone", "cobblestone", "smooth_stone"}


def texture(block: str) -> str:
    """The texture key of the adjacency rule: planks and wood alike, the stone family alike, concretes alike."""
    if block.endswith(("_planks", "_wood")):
        return "wood"
    if block in _STONES or block.endswith(("_stone", "_stone_bricks")):
        return "stone"
    if block.endswith("_concrete"):
        return "concrete"
    return block
