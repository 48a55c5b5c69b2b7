"""The 5×5 letters A–Z. I, C, M and L are the released bitmaps; every letter has at least eight cells."""

from __future__ import annotations

from collm.errors import ProblemError

HEIGHT = 5
WIDTH = 5
SPACING = 2

_ROWS = {
    "A": "01110 10001 11111 10001 10001",
    "B": "11110 10001 11110 10001 11110",
    "C": "01111 10000 10000 10000 01111",
    "D": "11110 10001 10001 10001 11110",
    "E": "11111 10000 11110 10000 11111",
    "F": "11111 10000 11110 10000 10000",
    "G": "01111 10000 10011 10001 01111",
    "H": "10001 10001 11111 10001 10001",
    "I": "11111 00100 00100 00100 11111",
    "J": "00111 00010 00010 10010 01100",
    "K": "10001 10010 11100 10010 10001",
    "L": "10000 10000 10000 10000 11111",
    "M": "10001 11011 10101 10001 10001",
    "N": "10001 11001 10101 10011 10001",
    "O": "01110 10001 10001 10001 01110",
    "P": "11110 10001 11110 10000 10000",
    "Q": "01110 10001 10101 10010 01101",
    "R": "11110 10001 11110 10010 10001",
    "S": "01111 10000 01110 00001 11110",
    "T": "11111 00100 00100 00100 00100",
    "U": "10001 10001 10001 10001 01110",
    "V": "10001 10001 10001 01010 00100",
    "W": "10001 10001 10101 11011 10001",
    "X": "10001 01010 00100 01010 10001",
    "Y": "10001 10001 01110 00100 00100",
    "Z": "11111 00010 00100 01000 11111",
}
BITMAPS: dict[str, tuple[str, ...]] = {letter: tuple(rows.split()) for letter, rows in _ROWS.items()}
LETTERS = tuple(sorted(BITMAPS))

Cell = tuple[int, int]
"""(x, y): x from left to right, y from bottom to top. The third coordinate of these builds is always 0."""


def check_word(word: str) -> str:
    """The word in upper case. Raises ProblemError if it is empty or has characters the font lacks."""
    upper = word.upper()
    outside = sorted({letter for letter in upper if letter not in BITMAPS})
    if outside:
        shown = ", ".join(repr(letter) for letter in outside)
        raise ProblemError(f"the word {word!r} has characters outside the font: {shown}. Allowed: A–Z.")
    if not upper:
        raise ProblemError("the word is empty. Allowed: one or more letters A–Z.")
    return upper


def width(word: str) -> int:
    """Columns of a word: five per letter, two empty ones between letters."""
    return WIDTH * len(word) + SPACING * (len(word) - 1)


def cells(word: str) -> tuple[Cell, ...]:
    """The target cells of a word in reading order: top row first, left to right."""
    found = [
        (index * (WIDTH + SPACING) + column, HEIGHT - 1 - row)
        for row in range(HEIGHT)
        for index, letter in enumerate(word)
        for column in range(WIDTH)
        if BITMAPS[letter][row][column] == "1"
    ]
    return tuple(found)


def grid(word: str) -> str:
    """The word drawn with '#' and '.', top row first."""
    gap = "." * SPACING
    return "\n".join(
        gap.join(BITMAPS[letter][row].replace("1", "#").replace("0", ".") for letter in word) for row in range(HEIGHT)
    )
