import re

from PIL import Image

from collm.tasks import make_task, replay
from collm.tasks.minecraft.house_render import isometric, layered_text
from collm.tasks.minecraft.houses import named_house

HOUSE = named_house("4x3x1-flat-CBO__")


def plain(text: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", text).split("\n")


def count(image: Image.Image, like: tuple[int, int, int], near: int = 14) -> int:
    """Pixels close to a colour."""
    colours = image.getcolors(image.width * image.height) or []
    return sum(n for n, colour in colours if all(abs(a - b) <= near for a, b in zip(colour, like, strict=True)))


def test_text_shows_layers_side_by_side_with_the_target_below() -> None:
    rows = plain(layered_text(HOUSE, {(0, 0, 0): "white_concrete", (1, 0, 0): "obsidian", (1, 1, 1): "planks"}))
    assert rows[0].split() == ["y=0", "y=1", "y=2"]
    assert rows[1] == "  ××····" + "  " + "········" + "  " + "········"
    assert rows[2] == "········" + "  " + "··××  ··" + "  " + "········"
    assert rows[4] == "target:"
    assert len(rows) == 1 + 3 + 1 + 3
    assert "×" not in "".join(rows[5:])
    assert "·" not in "".join(rows[5:])


def test_a_picture_has_one_size_per_house_and_marks_what_is_wrong() -> None:
    target = HOUSE.target
    done, empty = isometric(HOUSE, target), isometric(HOUSE, {})
    assert done.size == empty.size
    assert done.tobytes() == isometric(HOUSE, dict(reversed(target.items()))).tobytes()
    red, orange = (224, 49, 49), (240, 140, 0)
    assert count(done, red) == count(done, orange) == count(empty, red) == 0
    eaves = named_house("4x3x1-trim-CBOS_-e")
    assert count(isometric(eaves, {(1, 1, 0): "planks"}), red) > 100
    assert count(isometric(HOUSE, {(0, 2, 0): "planks"}), orange) > 100


def test_hidden_faces_are_not_drawn_and_the_door_is_in_front() -> None:
    """Planks (light brown) at the door are seen; behind the back wall they would not be."""
    brown = (179, 144, 92)
    assert count(isometric(HOUSE, HOUSE.target), brown) > 500
    walls = {cell: ("obsidian" if block == "planks" else block) for cell, block in HOUSE.target.items()}
    assert count(isometric(HOUSE, walls), brown) == 0
    filled = {**walls, (1, 1, 1): "planks", (2, 1, 1): "planks"}
    assert isometric(HOUSE, filled).tobytes() == isometric(HOUSE, walls).tobytes()


def test_the_task_shows_its_state() -> None:
    task = make_task("house-build", size="small")
    plan = task.best_plan(HOUSE)
    assert plan is not None
    state = replay(task, HOUSE, plan).state
    assert "HP 5 of 5; the spiders are dead." in task.as_text(HOUSE, state)
    assert task.picture(HOUSE, state).tobytes() == isometric(HOUSE, HOUSE.target).tobytes()
