import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collm.tasks.minecraft.boxes import Box
from collm.tasks.minecraft.fill import NAMES, Kill, Order, parse, write
from collm.tasks.minecraft.lines import Parsed, unfenced

SIZE = (6, 7, 7)
STOCK = {"obsidian": 9.0, "planks": 1.0}
SLAB = Box((1, 2, 3), (2, 2, 5), "obsidian")


def read(text: str, limit: int = 100, stock: dict[str, float] | None = None) -> Parsed[Order]:
    return parse(text, SIZE, STOCK if stock is None else stock, limit)


@pytest.mark.parametrize(
    "line",
    [
        "/fill 1 2 3 2 2 5 obsidian",
        "fill 1 2 3 2 2 5 obsidian",
        "  /FILL  1 2 3\t2 2 5  Minecraft:OBSIDIAN ",
        "- /fill 1 2 3 2 2 5 obsidian",
        "3) fill +1 0_2 3 2 2 5 obsidian",
        "/fill 2 2 5 1 2 3 obsidian",
        "/fill 2 2 3 1 2 5 obsidian",
    ],
)
def test_accepted_forms(line: str) -> None:
    assert read(line) == Parsed((SLAB,), 1, 0)


@pytest.mark.parametrize(
    "line",
    [
        "/fill 1 2 3 2 2 5",
        "/fill 1 2 3 2 2 5 obsidian replace",
        "/fill ~1 2 3 2 2 5 obsidian",
        "/fill 1.0 2 3 2 2 5 obsidian",
        "/fill 1 2 3 2 2 7 obsidian",
        "/fill -1 2 3 2 2 5 obsidian",
        "/fill 1 2 3 2 2 5 stone",
        "/fill 1 2 3 2 2 5 obsidian[axis=x]",
        "/setblock 1 2 3 obsidian",
        "/fill 0 0 0 4 0 1 obsidian",
        "/fill 99999999999999999999 0 0 0 0 0 obsidian",
        "skill",
        "/killall",
    ],
)
def test_rejected_forms(line: str) -> None:
    assert read(line) == Parsed((), 1, 1)


@pytest.mark.parametrize("line", ["/kill", "kill", "KILL @e[type=spider]", "- /Kill spiders now"])
def test_kill_takes_any_arguments(line: str) -> None:
    assert read(line) == Parsed((Kill(),), 1, 0)


def test_stock_is_used_by_volume_and_a_dear_command_is_rejected_as_a_whole() -> None:
    lines = [
        "/fill 0 0 0 5 0 0 obsidian",  # 6 of 9
        "/fill 0 0 0 3 0 0 obsidian",  # 4 of 3: rejected
        "/fill 0 0 0 5 6 6 air",  # free, and gives nothing back
        "/fill 0 0 0 2 0 0 obsidian",  # the last 3, on cells that were cleared
        "/fill 0 0 0 0 0 0 obsidian",  # none left
        "/fill 0 1 0 0 1 0 planks",
    ]
    parsed = read("\n".join(lines))
    assert [write(box) for box in parsed.commands if isinstance(box, Box)] == [lines[i] for i in (0, 2, 3, 5)]
    assert (parsed.lines, parsed.rejected) == (6, 2)


def test_commands_beyond_the_limit_are_rejected_and_use_nothing() -> None:
    parsed = read("/kill\n/fill 0 0 0 0 0 0 planks\n/fill 0 0 0 0 0 0 obsidian", limit=2)
    assert parsed == Parsed((Kill(), Box((0, 0, 0), (0, 0, 0), "planks")), 3, 1)


@pytest.mark.parametrize(
    ("text", "kept"),
    [("```\n/fill a\n```", "/fill a\n"), ("```fill a\nb\n```", "fill a\nb\n"), ("```mc\n/kill\n```", "/kill\n")],
)
def test_a_first_line_with_a_command_is_no_language_line(text: str, kept: str) -> None:
    assert unfenced(text, NAMES) == kept


def check_sound(text: str, limit: int) -> None:
    parsed = read(text, limit)
    assert len(parsed.commands) <= limit
    assert parsed.lines == parsed.rejected + len(parsed.commands)
    used = dict.fromkeys(STOCK, 0)
    for order in parsed.commands:
        if isinstance(order, Box):
            assert all(0 <= low <= high < size for low, high, size in zip(order.low, order.high, SIZE, strict=True))
            if order.block != "air":
                used[order.block] += order.volume
    assert all(used[block] <= STOCK[block] for block in STOCK)


@settings(max_examples=1000, deadline=None)
@given(st.text(max_size=200), st.integers(0, 3))
def test_any_text_parses(text: str, limit: int) -> None:
    check_sound(text, limit)


WORDS = st.sampled_from(
    ["/fill", "fill", "/kill", "kill", "```", "\n", "- ", "1. ", "obsidian", "planks", "air", "minecraft:", "~", "7"]
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(WORDS | st.integers(-2, 8).map(str), max_size=40), st.integers(0, 5))
def test_any_sequence_of_words_parses(words: list[str], limit: int) -> None:
    check_sound(" ".join(words), limit)


def test_ten_thousand_mutated_responses_parse() -> None:
    random = np.random.Generator(np.random.Philox(5))
    seed = "/kill\n1. /fill 1 2 3 2 2 5 obsidian\n```mc\n- fill +1 0 0 1 0 0 minecraft:PLANKS\n```\n/fill 0 0 0 5 6 6 air\n"
    alphabet = [*"/-*_+.)0129 \n\t\r\x00\x0b\x1c\u2028٣²🧱`fFkK", "```", "fill", "kill", "minecraft:", "air", "1 " * 9]
    for _ in range(10_000):
        text = list(seed)
        for _ in range(random.integers(1, 9)):
            place = int(random.integers(len(text)))
            text[place : place + int(random.integers(3))] = alphabet[random.integers(len(alphabet))]
        check_sound("".join(text), int(random.integers(5)))


@given(st.tuples(*[st.integers(0, 5)] * 6), st.sampled_from(["obsidian", "planks", "air"]))
def test_a_written_box_reads_back(corners: tuple[int, ...], block: str) -> None:
    low, high = (tuple(pick(pair) for pair in zip(corners[:3], corners[3:], strict=True)) for pick in (min, max))
    box = Box(low, high, block)
    assert read(write(box), stock=dict.fromkeys(STOCK, math.inf)).commands == (box,)
