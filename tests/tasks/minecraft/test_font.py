import pytest

from collm.errors import ProblemError
from collm.tasks.minecraft import font

RELEASED_ROWS = {
    "I": "11111 00100 00100 00100 11111",
    "C": "01111 10000 10000 10000 01111",
    "L": "10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10001 10001",
}


@pytest.mark.parametrize("letter", RELEASED_ROWS)
def test_released_letters_keep_their_bitmaps(letter: str) -> None:
    assert " ".join(font.BITMAPS[letter]) == RELEASED_ROWS[letter]


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("I", 13),
        ("C", 11),
        ("M", 13),
        ("L", 9),
        ("MC", 24),
        ("CM", 24),
        ("LI", 22),
        ("LLM", 31),
        ("ICML", 46),
    ],
)
def test_released_words_have_the_released_number_of_cells(word: str, count: int) -> None:
    assert len(font.cells(word)) == count == len(set(font.cells(word)))


def test_icml_is_26_columns_wide_with_84_background_cells() -> None:
    assert font.width("ICML") == 26
    assert font.width("ICML") * font.HEIGHT - len(font.cells("ICML")) == 84
    assert font.width("LLM") == 19


def test_the_alphabet_is_complete_and_every_letter_large_enough_for_four_agents() -> None:
    assert "".join(font.LETTERS) == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for letter, rows in font.BITMAPS.items():
        assert [len(row) for row in rows] == [5] * 5
        assert set("".join(rows)) <= {"0", "1"}
        assert len(font.cells(letter)) >= 8


def test_no_two_letters_look_alike() -> None:
    assert len(set(font.BITMAPS.values())) == 26


def test_row_zero_is_the_bottom_and_letters_are_two_columns_apart() -> None:
    # L: a full left column and a full bottom row; the second L starts at x = 7.
    single = {(0, y) for y in range(5)} | {(x, 0) for x in range(5)}
    assert set(font.cells("L")) == single
    assert set(font.cells("LL")) == single | {(x + 7, y) for x, y in single}


def test_cells_are_listed_in_reading_order() -> None:
    cells = font.cells("HI")
    assert list(cells) == sorted(cells, key=lambda cell: (-cell[1], cell[0]))


def test_the_grid_shows_exactly_the_cells() -> None:
    rows = font.grid("MI").split("\n")
    drawn = {(x, 4 - r) for r, row in enumerate(rows) for x, mark in enumerate(row) if mark == "#"}
    assert drawn == set(font.cells("MI"))
    assert {len(row) for row in rows} == {font.width("MI")}


def test_words_are_upper_cased_and_checked() -> None:
    assert font.check_word("icml") == "ICML"
    with pytest.raises(ProblemError, match="outside the font: '-', '1'"):
        font.check_word("A-1")
    with pytest.raises(ProblemError, match="empty"):
        font.check_word("")
