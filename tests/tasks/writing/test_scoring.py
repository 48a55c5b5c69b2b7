"""Both rewards against numbers worked out by hand, at every level and edge, and their properties."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collm.tasks.writing import lexicon, scoring
from collm.tasks.writing.arxiv import Arxiv
from collm.tasks.writing.scoring import MAXIMUM, evaluate, transition_scale
from collm.tasks.writing.tldr import Tldr
from collm.testing import malformed_actions

TLDR, ARXIV = Tldr.shape, Arxiv.shape


def text(words: int, unique: int, characters: int, prefix: str) -> str:
    """So many tokens, distinct words and characters; no connective and no stop word, each word begins with ``prefix``.

    The last token is a run of the marks that are no words, which fills the length up.
    """
    distinct = [f"{prefix}{a}{b}" for a, b in itertools.product("zqx", "zqxvkjhgfd")][:unique]
    tokens = [distinct[i % unique] for i in range(words - 1)]
    body = " ".join(tokens) + " "
    assert characters > len(body)
    return body + "-" * (characters - len(body))


PAIRS = {
    # (words, unique, characters) of both texts, the levels by hand: L1, L2, L3.
    "too few words in the first": ((7, 5, 100), (20, 10, 200), (0, 0, 0)),
    "too few words in the second": ((20, 5, 100), (7, 5, 200), (0, 0, 0)),
    "eight words are enough": ((8, 5, 100), (11, 10, 200), (0.5, 1, 0.5)),
    "256 words": ((8, 5, 600), (256, 10, 1200), (0.5, 1, 0.5)),
    "257 words": ((8, 5, 600), (257, 10, 1200), (0, 0, 0)),
    "length 1.0": ((8, 5, 100), (11, 10, 100), (0.5, 0, 0)),
    "length just below 1.1": ((8, 5, 1000), (11, 10, 1099), (0.5, 0, 0)),
    "length 1.1 pays 0 and goes on": ((8, 5, 1000), (11, 10, 1100), (0.5, 0, 0.5)),
    "length 1.35": ((8, 5, 100), (11, 10, 135), (0.5, 0.5, 0.5)),
    "length 1.6": ((8, 5, 100), (11, 10, 160), (0.5, 1, 0.5)),
    "length 3.2": ((8, 5, 100), (11, 10, 320), (0.5, 1, 0.5)),
    "length 4.1": ((8, 5, 100), (11, 10, 410), (0.5, 0.5, 0.5)),
    "length 5.0 pays 0 and goes on": ((8, 5, 100), (11, 10, 500), (0.5, 0, 0.5)),
    "length 5.01": ((8, 5, 100), (11, 10, 501), (0.5, 0, 0)),
    "vocabulary 1.2": ((11, 10, 100), (13, 12, 200), (0.5, 1, 0)),
    "vocabulary 1.3 pays 0 and goes on": ((11, 10, 100), (14, 13, 200), (0.5, 1, 0)),
    "vocabulary 1.65": ((21, 20, 200), (34, 29, 400), (0.5, 1, 0.5 * (1.45 - 1.3) / 0.7)),
    "vocabulary 2.0": ((11, 10, 100), (21, 20, 200), (0.5, 1, 0.5)),
    "vocabulary 3.0": ((11, 10, 100), (31, 30, 200), (0.5, 1, 0.5)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_levels_of_tldr(name: str) -> None:
    first, second, levels = PAIRS[name]
    pair = (text(*first, "a"), text(*second, "b"))
    numbers = evaluate(TLDR, "nothing of it", pair)
    assert numbers["paper"] == pytest.approx(sum(levels), abs=1e-12)
    assert (numbers["words1"], numbers["characters2"]) == (first[0], second[2])
    stopped = "and goes on" not in name and 0 in levels
    assert (numbers["gate1"] * numbers["gate2"] * numbers["gate3"] == 0) == stopped


ARXIV_LEVELS = {
    "127 words in the first": ((127, 20, 1000), (128, 20, 1400), (0, 0, 0)),
    "127 words in the second": ((128, 20, 1000), (127, 20, 1400), (0, 0, 0)),
    "128 and 256 words": ((128, 20, 1000), (256, 20, 1400), (0.5, 1, 0.5)),
    "257 words": ((128, 20, 1000), (257, 20, 1400), (0, 0, 0)),
    "length 0.79": ((128, 20, 2000), (128, 20, 1580), (0.5, 0, 0)),
    "length 0.8 pays 0 and goes on": ((128, 20, 2000), (128, 20, 1600), (0.5, 0, 0.5)),
    "length 1.05": ((128, 20, 1000), (128, 20, 1050), (0.5, 0.5, 0.5)),
    "length 1.3": ((128, 20, 1000), (128, 20, 1300), (0.5, 1, 0.5)),
    "length 1.6": ((128, 20, 1000), (128, 20, 1600), (0.5, 1, 0.5)),
    "length 1.8": ((128, 20, 1000), (128, 20, 1800), (0.5, 0.5, 0.5)),
    "length 2.0 pays 0 and goes on": ((128, 20, 1000), (128, 20, 2000), (0.5, 0, 0.5)),
    "length 2.01": ((128, 20, 1000), (128, 20, 2010), (0.5, 0, 0)),
    "vocabulary 0.45": ((128, 20, 1000), (128, 9, 1400), (0.5, 1, 0)),
    "vocabulary 0.5 pays 0 and goes on": ((128, 20, 1000), (128, 10, 1400), (0.5, 1, 0)),
    "vocabulary 0.6": ((128, 20, 1000), (128, 12, 1400), (0.5, 1, 0.25)),
    "vocabulary 0.7": ((128, 20, 1000), (128, 14, 1400), (0.5, 1, 0.5)),
    "vocabulary 1.3": ((128, 20, 1000), (128, 26, 1400), (0.5, 1, 0.5)),
    "vocabulary 1.5": ((128, 20, 1000), (128, 30, 1400), (0.5, 1, 0.25)),
    "vocabulary 1.7 pays 0 and goes on": ((128, 10, 1000), (128, 17, 1400), (0.5, 1, 0)),
    "vocabulary 1.8": ((128, 10, 1000), (128, 18, 1400), (0.5, 1, 0)),
}


@pytest.mark.parametrize("name", ARXIV_LEVELS)
def test_levels_of_arxiv(name: str) -> None:
    first, second, levels = ARXIV_LEVELS[name]
    numbers = evaluate(ARXIV, "nothing of it", (text(*first, "a"), text(*second, "b")))
    assert numbers["paper"] == pytest.approx(sum(levels), abs=1e-12)
    stopped = "and goes on" not in name and 0 in levels
    assert (numbers["gate1"] * numbers["gate2"] * numbers["gate3"] == 0) == stopped


@pytest.mark.parametrize(("count", "value"), [(0, 0), (1, 0.4), (2, 0.45), (7, 0.7), (12, 0.95), (13, 1), (99, 1)])
def test_transition_scale(count: int, value: float) -> None:
    assert transition_scale(count) == pytest.approx(value)


def style(shape: scoring.Shape, pair: tuple[str, str]) -> float:
    return evaluate(shape, "", pair)["level4"]


def test_style_by_hand() -> None:
    """Disjoint content words: J = 0, so only transitions pay; one shared word of 33 pays J in full."""
    assert style(TLDR, ("zzz", "qqq")) == 0
    assert style(TLDR, ("zzz", "moreover qqq")) == pytest.approx(0.4 * 0.4)
    assert style(TLDR, ("moreover zzz", "qqq")) == 0
    assert style(ARXIV, ("moreover zzz", "qqq")) == pytest.approx(0.4 * 0.4)
    shared = [f"z{i}z" for i in range(33)]
    assert style(TLDR, (" ".join(shared[:17]), " ".join(shared[16:]))) == pytest.approx(0.6)
    wide = [f"z{i}z" for i in range(40)]
    assert style(TLDR, (" ".join(wide[:20]), " ".join(wide[19:]))) == pytest.approx(0.6 * (1 / 40) / 0.03)
    assert style(ARXIV, (" ".join(wide[:25]), " ".join(wide[15:]))) == pytest.approx(0.6)
    assert style(ARXIV, (" ".join(wide[:22]), " ".join(wide[18:]))) == pytest.approx(0.6 * 0.1 / 0.23)


def test_phrases_inside_words_count_only_as_released() -> None:
    text = "the soft basin is gifted"
    assert {"cause_effect", "condition"} <= lexicon.categories(text)
    assert lexicon.whole_word_categories(text) == frozenset()
    assert lexicon.whole_word_categories("In\nsummary,") == {"summary"}


def test_texts_are_joined_without_a_gap_as_released() -> None:
    pair = ("we go in", " fact zzz")
    assert evaluate(ARXIV, "", pair)["categories"] == 1
    assert evaluate(ARXIV, "", pair)["categories_whole"] == 0


def test_hardened_by_hand() -> None:
    """Recall 3/8, so g = 0.75; nothing repeated; unknown words cost, and the reward is never below 0."""
    source = "cat dog horse sheep goat goose zebrq lion"
    pair = ("cat dog zebrq xqxq xqyq mouse", "money table chair house road river")
    numbers = evaluate(TLDR, source, pair)
    assert numbers["recall"] == pytest.approx(3 / 8)
    assert numbers["grounding"] == pytest.approx(0.75)
    known = {"mouse", "money", "table", "chair", "house", "road", "river"} & lexicon.known_words()
    assert numbers["unknown"] == pytest.approx((2 + 7 - len(known)) / 12)
    assert numbers["hardened"] == 0


def test_repeated_four_grams() -> None:
    """``a b c d a b c d`` has five 4-grams, and the first and the last are the same."""
    numbers = evaluate(TLDR, "x", ("a b c d a b c d", "a b c d e f g h"))
    assert numbers["repetition"] == pytest.approx(2 / 5)


def test_hardened_is_the_formula() -> None:
    problem = Tldr().problems("test")[0]
    first, second = Tldr().best_plan(problem)[0]
    again = f"{second}\n{first}\n{first} qqzz"
    numbers = evaluate(TLDR, problem.text, (first, again))
    rewarded = numbers["level1"] + numbers["level2"] + numbers["level3"] + numbers["jaccard_reward"]
    rewarded += 0.4 * transition_scale(int(numbers["categories_whole"]))
    trust = numbers["grounding"] ** 2 * (1 - numbers["repetition"]) ** 2 * min(1.0, numbers["own_words"] / 0.1)
    trust *= min(1.0, (0.7 - numbers["copied"]) / 0.1) * min(1.0, (numbers["ordered"] - 0.35) / 0.15)
    assert numbers["repetition"] > 0
    assert numbers["unknown"] > 0
    assert numbers["hardened"] == pytest.approx(trust * rewarded - 0.5 * numbers["unknown"])
    assert numbers["hardened"] > 0


WORDS = [
    *(
        "moreover",
        "for example",
        "that is",
        "because",
        "but",
        "first",
        "indeed",
        "in summary",
        "like",
        "although",
        "if",
    ),
    *("cat", "dog", "12", "qqzz", "[PARAGRAPH_SPLIT]", "Paragraph 2:", "\n", "\x00", "é", "漢字", "```", "<think>"),
]
TEXTS = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join))


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([TLDR, ARXIV]), TEXTS, TEXTS, TEXTS)
def test_ranges(shape: scoring.Shape, source: str, first: str, second: str) -> None:
    numbers = evaluate(shape, source, (first, second))
    assert 0 <= numbers["paper"] <= numbers["paper_ungated"] + 1e-12
    assert numbers["paper_ungated"] <= MAXIMUM + 1e-12
    assert 0 <= numbers["hardened"] <= numbers["paper"] + 1e-12
    shares = ("recall", "grounding", "repetition", "unknown", "own_words", "copied", "ordered", "jaccard")
    for name in (*shares, "gate1", "gate2", "gate3"):
        assert 0 <= numbers[name] <= 1
    assert numbers["categories_whole"] <= numbers["categories"] or shape.transitions_in_both


@given(st.integers(0, 30))
def test_more_categories_never_pay_less(count: int) -> None:
    assert transition_scale(count + 1) >= transition_scale(count)


@settings(deadline=None)
@given(st.integers(1, 29), st.sampled_from([TLDR, ARXIV]))
def test_more_overlap_never_pays_less(shared: int, shape: scoring.Shape) -> None:
    def overlapping(count: int) -> float:
        names = [f"z{i}z" for i in range(60)]
        return evaluate(shape, "", (" ".join(names[:30]), " ".join(names[30 - count : 60 - count])))["jaccard_reward"]

    assert overlapping(shared + 1) >= overlapping(shared)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_overlap_is_symmetric_and_so_is_grounding(first: str, second: str) -> None:
    one, other = evaluate(ARXIV, "cat dog 12", (first, second)), evaluate(ARXIV, "cat dog 12", (second, first))
    for name in ("jaccard", "recall", "repetition", "unknown", "own_words", "categories_whole", "gate1"):
        assert one[name] == pytest.approx(other[name])


def test_ten_thousand_random_and_mutated_texts() -> None:
    """Never an exception, never a number out of range: random characters, random words, and damaged good texts."""
    from collm.randomness import generator

    random = generator("fuzz")
    task = Tldr()
    problem = task.problems("train")[0]
    good = [*task.best_plan(problem)[0], *malformed_actions(problem.text)["unicode"]]
    alphabet = [*map(chr, range(32, 127)), "\n", "\x00", "é", "漢", "\u2028", " so ", " because "]
    for number in range(10_000):
        kind = number % 3
        if kind == 0:
            made = "".join(alphabet[i] for i in random.integers(0, len(alphabet), int(random.integers(0, 120))))
        elif kind == 1:
            made = " ".join(WORDS[i] for i in random.integers(0, len(WORDS), int(random.integers(0, 40))))
        else:
            whole = good[int(random.integers(len(good)))]
            at, width = int(random.integers(len(whole))), int(random.integers(0, 20))
            made = whole[:at] + alphabet[int(random.integers(len(alphabet)))] + whole[at + width :]
        pair = (made, good[1]) if random.random() < 0.5 else (good[0], made)
        numbers = evaluate.__wrapped__((TLDR, ARXIV)[number % 2], problem.text, pair)
        assert 0 <= numbers["hardened"] <= numbers["paper"] + 1e-9 <= MAXIMUM + 1e-8
