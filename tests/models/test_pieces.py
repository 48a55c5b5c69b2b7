"""The pieces of the embedded tokenizer: recurring phrases become one, shared words are found, and spelling stays exact."""

from __future__ import annotations

from collections import Counter

import pytest

from collm.models.tiny import tokenizer
from collm.models.tiny.pieces import choose_pieces

SENTENCE = "you place blocks in a world"


def test_a_phrase_that_recurs_whole_is_one_piece() -> None:
    assert SENTENCE in choose_pieces({SENTENCE: 50, "something else": 1}, 40)


def test_phrases_with_a_slot_share_what_surrounds_it() -> None:
    animals, verbs = ("cat", "dog", "cow", "hen", "fox"), ("slept", "ran", "fell", "sang")
    chunks = {f"there the {animal} {verb} on the mat": 1 for animal in animals for verb in verbs}
    assert {f" {verb} on the mat" for verb in verbs} <= set(choose_pieces(chunks, 9))
    assert {f"there the {animal}" for animal in animals} <= set(choose_pieces(chunks, 9))


def test_what_saves_most_is_kept_when_room_is_scarce() -> None:
    assert choose_pieces({"wonderful": 10, "wonderfully": 3, "of": 12, "rare": 1}, 1) == ["wonderful"]


@pytest.mark.parametrize("size", [1, 5, 60])
def test_never_more_than_asked_for_and_nothing_twice(size: int) -> None:
    chunks = Counter(f"a{n % 7} b{n % 5} c{n % 3} d{n}" for n in range(300))
    pieces = choose_pieces(chunks, size)
    assert len(pieces) <= size
    assert len(set(pieces)) == len(pieces)
    assert all(len(piece) > 1 for piece in pieces)


def test_the_spelling_with_fewest_tokens_wins_and_every_text_comes_back() -> None:
    tokens = tokenizer.build([SENTENCE] * 20 + ["you place nothing"] * 30 + ["a world"] * 30, 500)
    assert len(tokens.encode(SENTENCE, add_special_tokens=False)) == 1
    for text in (
        "you place blocks",
        "Ünïcödé 漢字 🧱",
        "x = [1, 2]\n    return x\n",
        "  two  spaces\t",
        SENTENCE + " again",
    ):
        assert tokens.decode(tokens.encode(text, add_special_tokens=False)) == text
