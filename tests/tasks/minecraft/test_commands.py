import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collm.tasks.minecraft.commands import NAMES, Command, parse, write
from collm.tasks.minecraft.lines import Parsed, unfenced

BLOCKS = ("oak_planks", "stone")
WIDTH, HEIGHT = 12, 5
STONE = Command((1, 2), "stone")


def read(text: str, limit: int = 100) -> Parsed[Command]:
    return parse(text, BLOCKS, WIDTH, HEIGHT, limit)


@pytest.mark.parametrize(
    "line",
    [
        "/setblock 1 2 0 stone",
        "setblock 1 2 0 stone",
        "  /SetBlock   1\t2 0   stone  ",
        "- /setblock 1 2 0 stone",
        "* setblock 1 2 0 stone",
        "1. /setblock 1 2 0 stone",
        "12) /setblock 1 2 0 stone",
        "/setblock 1 2 0 minecraft:stone",
        "/setblock 1 2 0 STONE",
        "/setblock 1 2 0 Minecraft:Stone",
        "/setblock +1 0_2 -0 stone",
        "/setblock 1 2 0 stone replace # the middle",
    ],
)
def test_accepted_forms(line: str) -> None:
    assert read(line) == Parsed((STONE,), 1, 0)


@pytest.mark.parametrize(
    "line",
    [
        "/setblock 1 2 0",
        "/fill 1 2 0 stone",
        "place 1 2 0 stone",
        "/setblock ~1 2 0 stone",
        "/setblock ^1 2 0 stone",
        "/setblock 1.0 2 0 stone",
        "/setblock 1, 2, 0 stone",
        "/setblock one 2 0 stone",
        "/setblock ١ 2 0 stone",
        "/setblock 1__0 2 0 stone",
        "/setblock 99999999999999999999 2 0 stone",
        "/setblock 12 2 0 stone",
        "/setblock -1 2 0 stone",
        "/setblock 1 5 0 stone",
        "/setblock 1 2 1 stone",
        "/setblock 1 2 0 obsidian",
        "/setblock 1 2 0 stone[axis=x]",
        "/setblock 1 2 0 mod:stone",
        "// setblock 1 2 0 stone extra",
        "- - /setblock 1 2 0 stone",
        "I place /setblock 1 2 0 stone",
    ],
)
def test_rejected_forms(line: str) -> None:
    assert read(line) == Parsed((), 1, 1)


def test_air_is_always_allowed() -> None:
    assert read("/setblock 1 2 0 minecraft:AIR").commands == (Command((1, 2), "air"),)


def test_junk_is_counted_and_valid_lines_are_kept_in_order() -> None:
    parsed = read("<think>\n\nhm\n/setblock 1 2 0 stone\n  \nnonsense\n/setblock 0 0 0 oak_planks\n")
    assert parsed == Parsed((STONE, Command((0, 0), "oak_planks")), 5, 3)


def test_commands_beyond_the_limit_count_as_rejected() -> None:
    three = "\n".join(write((x, 0), "stone") for x in range(3))
    assert read(three, limit=2) == Parsed((Command((0, 0), "stone"), Command((1, 0), "stone")), 3, 1)
    assert read(three, limit=0) == Parsed((), 3, 3)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("no fence", "no fence"),
        ("``` one fence", "``` one fence"),
        ("a\n```\nb\n```\nc", "b\n"),
        ("a\n```mcfunction\nb\n```\nc", "b\n"),
        ("```\nfirst\n```\n```\nsecond\n```", "first\n"),
        ("```/setblock 1 2 0 stone\nb\n```", "/setblock 1 2 0 stone\nb\n"),
        ("```b```", "b"),
        ("``````", ""),
    ],
)
def test_only_the_first_fenced_block_counts(text: str, kept: str) -> None:
    assert unfenced(text, NAMES) == kept


@given(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.sampled_from([*BLOCKS, "air"]))
def test_a_written_command_reads_back(x: int, y: int, block: str) -> None:
    assert read(write((x, y), block)).commands == (Command((x, y), block),)


def check_sound(text: str, limit: int) -> None:
    parsed = read(text, limit)
    assert len(parsed.commands) <= limit
    assert parsed.lines == parsed.rejected + len(parsed.commands)
    for command in parsed.commands:
        assert 0 <= command.cell[0] < WIDTH
        assert 0 <= command.cell[1] < HEIGHT
        assert command.block in (*BLOCKS, "air")


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=200), st.integers(0, 3))
def test_any_text_parses(text: str, limit: int) -> None:
    check_sound(text, limit)


def test_ten_thousand_mutated_responses_parse() -> None:
    random = np.random.Generator(np.random.Philox(3))
    seed = "1. /setblock 1 2 0 stone\n```mc\n- setblock +1 0 0 minecraft:AIR\n```\n"
    alphabet = [
        *"/-*_+.)0129 \n\t\r\x00\x0b\x1c\u2028٣²🧱`sS",
        "```",
        "setblock",
        "minecraft:",
        "stone",
        "air",
        "1 " * 9,
    ]
    for _ in range(10_000):
        text = list(seed)
        for _ in range(random.integers(1, 9)):
            place = int(random.integers(len(text)))
            text[place : place + int(random.integers(3))] = alphabet[random.integers(len(alphabet))]
        check_sound("".join(text), int(random.integers(4)))
