from collm.tasks.minecraft.blocks import COLOURS, PALETTES, texture


def test_texture_families() -> None:
    assert texture("oak_planks") == texture("birch_wood") == "wood"
    assert {texture(name) for name in ("stone", "cobblestone", "smooth_stone", "end_stone", "mossy_stone_bricks")} == {
        "stone"
    }
    assert texture("white_concrete") == texture("red_concrete") == "concrete"
    assert texture("sandstone") == "sandstone"


def test_the_eight_palette_blocks_have_eight_textures_and_a_colour_each() -> None:
    blocks = [block for palette in PALETTES for block in palette]
    assert len({texture(block) for block in blocks}) == len(blocks) == 8
    assert set(blocks) <= set(COLOURS)
