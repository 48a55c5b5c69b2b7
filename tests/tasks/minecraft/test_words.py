import itertools

import pytest

from collm.tasks.minecraft.font import LETTERS
from collm.tasks.minecraft.words import generated_words, released_words, split_of
from collm.tasks.protocol import SPLITS, Split


def test_released_words_in_file_order() -> None:
    assert released_words() == ("I", "C", "M", "L", "MC", "CM", "LI", "LLM", "ICML", "CLIM")


def test_splits_are_disjoint_over_all_lengths_and_seeds_together() -> None:
    found: dict[Split, set[str]] = {split: set() for split in SPLITS}
    for split, lengths, seed in itertools.product(SPLITS, [(1, 1), (1, 2), (2, 3), (4, 4), (3, 9)], range(4)):
        words = generated_words(split, lengths, 40, seed)
        assert len(set(words)) == len(words)
        assert all(lengths[0] <= len(word) <= lengths[1] for word in words)
        found[split].update(words)
    for one, other in itertools.combinations(SPLITS, 2):
        assert not found[one] & found[other]


def test_all_words_of_two_letters_are_found_once_and_released_ones_never() -> None:
    """More words are asked for than exist: every existing one comes back, and it does not take forever."""
    every = {"".join(pair) for pair in itertools.product(LETTERS, repeat=2)}
    parts = [generated_words(split, (2, 2), 100_000, 0) for split in SPLITS]
    assert sorted(itertools.chain(*parts)) == sorted(every - set(released_words()))
    assert len(parts[0]) > 2 * max(len(parts[1]), len(parts[2]))


@pytest.mark.parametrize("word", ["I", "MC", "LLM", "CLIM"])
def test_released_words_belong_to_no_generated_split(word: str) -> None:
    assert split_of(word) is None


def test_seeds_change_the_words_and_sizes_extend_them() -> None:
    assert generated_words("train", (3, 3), 20, 0) != generated_words("train", (3, 3), 20, 1)
    assert generated_words("train", (3, 3), 40, 0)[:20] == generated_words("train", (3, 3), 20, 0)
