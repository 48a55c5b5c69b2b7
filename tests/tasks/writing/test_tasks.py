"""Both writing tasks: the contract, exact best plans, splits, one writer, data sets, wrong input, the crowd."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collm.errors import ConfigError, ProblemError
from collm.randomness import generator
from collm.tasks import SPLITS, make_task, replay
from collm.tasks.writing import demonstrations, lexicon
from collm.tasks.writing.scoring import MAXIMUM
from collm.tasks.writing.task import SPLIT_MARK, WritingTask, Written, split_paragraphs
from collm.testing import check_task

NAMES = ("tldr", "arxiv")
STREAMS = {"tldr": demonstrations.tldr_stream, "arxiv": demonstrations.arxiv_stream}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("profile", ["paper", "hardened"])
def test_contract(name: str, profile: str) -> None:
    check_task(make_task(name, profile=profile), problems_per_split=2)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("details", [(1, 3), (0, 0), (3, 3)])
def test_the_best_plan_earns_exactly_the_maximum_in_both_profiles(name: str, details: tuple[int, int]) -> None:
    task = make_task(name, min_details=details[0], max_details=details[1])
    assert abs(MAXIMUM - 2.98) < 1e-12
    for form in (task, task.single_agent()):
        for problem in itertools.chain(*(form.problems(split) for split in SPLITS)):
            state = replay(form, problem, form.best_plan(problem)).state
            numbers = form.components(problem, state)
            assert abs(numbers["paper"] - MAXIMUM) < 1e-12
            assert abs(numbers["hardened"] - MAXIMUM) < 1e-12
    assert task.paper_score(problem, state) == pytest.approx(100 * 2.98 / 3)


@pytest.mark.parametrize("name", NAMES)
def test_splits_are_disjoint_whatever_the_settings(name: str) -> None:
    ids: dict[str, set[str]] = {split: set() for split in SPLITS}
    for seed in range(3):
        task = make_task(name, problems_seed=seed, train_size=300, test_size=300, validation_size=300)
        for split in SPLITS:
            problems = task.problems(split)
            assert len(problems) == 300 == len({problem.text for problem in problems})
            ids[split] |= {problem.id for problem in problems}
            # Numbers do not make another problem: without them the splits are still apart.
            ids[split] |= {problem.facts.told for problem in problems}
    assert not ids["train"] & ids["test"]
    assert not ids["train"] & ids["validation"]
    assert not ids["validation"] & ids["test"]


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_is_found_by_its_name_and_anybodys_text_is_one(name: str) -> None:
    task = make_task(name)
    problem = task.problems("test")[3]
    assert task.problem(problem.id) == problem
    own = task.problem("one two three four five six seven eight")
    assert own.facts is None
    assert task.best_plan(own) is None
    assert task.ceiling(own) == MAXIMUM
    for wrong in ("", "too short", f"{problem.id}9", problem.id.replace("-", "-9", 1), "housing-99999"):
        with pytest.raises(ProblemError, match="neither the name of a problem"):
            task.problem(wrong)


def test_lengths_of_generated_sources() -> None:
    for name, low, high in (("tldr", 40, 85), ("arxiv", 45, 80)):
        counts = [len(p.text.split()) for p in make_task(name).problems("train")]
        assert low <= min(counts)
        assert max(counts) <= high
    shortest = make_task("tldr", min_details=0, max_details=0).problems("train")
    longest = make_task("tldr", min_details=3, max_details=3).problems("train")
    assert max(len(p.text.split()) for p in shortest) < min(len(p.text.split()) for p in longest)


@pytest.mark.parametrize("name", NAMES)
def test_observations_hold_the_source_and_say_nothing_of_lengths_or_the_partners_text(name: str) -> None:
    task = make_task(name)
    problem = task.problems("test")[0]
    first, second = (observation[0].content for observation in task.reset(problem).observations)
    assert first != second
    assert first.endswith(problem.text)
    assert second.endswith(problem.text)
    asked = (first + second).replace(problem.text, "")
    assert not any(character.isdigit() for character in asked)
    (both,) = task.single_agent().reset(problem).observations
    assert SPLIT_MARK in both[0].content


SPLITTING = {
    f"a b {SPLIT_MARK} c {SPLIT_MARK} d": ("a b", f"c {SPLIT_MARK} d"),
    f"Paragraph 1: a\n{SPLIT_MARK}\nparagraph 2: b": ("a", "b"),
    "Paragraph 1: a b PARAGRAPH 2: c Paragraph 2: d": ("a b", "c Paragraph 2: d"),
    "abcdefghi": ("abc", "defghi"),
    "": ("", ""),
}


@pytest.mark.parametrize("text", SPLITTING)
def test_one_writer_is_split_by_rule(text: str) -> None:
    assert split_paragraphs(text) == SPLITTING[text]


@given(st.text())
def test_any_text_splits(text: str) -> None:
    first, second = split_paragraphs(text)
    assert len(first) + len(second) <= len(text)


def test_wrong_options_say_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"task.agents = 3: 'tldr' has two roles, so it must be 2"):
        make_task("tldr", agents=3)
    with pytest.raises(ConfigError, match=r"needs task.source = hub"):
        make_task("arxiv", data="somewhere")
    with pytest.raises(ConfigError, match=r"task.min_details = 3: must be at most task.max_details = 2"):
        make_task("tldr", min_details=3, max_details=2)


def test_lists() -> None:
    counts = [len(phrases) for phrases in lexicon.transitions().values()]
    assert counts == [21, 22, 22, 26, 29, 33, 24, 21, 17, 19, 19, 26]
    assert all(len(set(phrases)) == len(phrases) for phrases in lexicon.transitions().values())
    assert len(lexicon.stop_words()) == len(lexicon.read("stop_words")) == 106
    assert {"so", "as", "if", "but", "had", "were", "when", "then", "yet"} <= {
        phrase for phrases in lexicon.transitions().values() for phrase in phrases
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_word_of_the_grammar_is_known(name: str) -> None:
    task = make_task(name)
    stream = itertools.islice(STREAMS[name](generator("words")), 1500)
    said = {word for ((_, text),) in stream for word in lexicon.words(text.replace(SPLIT_MARK, " "))}
    said |= {word for problem in task.problems("train") for word in lexicon.words(problem.text)}
    assert not [word for word in said - lexicon.known_words() if not word.isdigit()]


def folder(path: Path, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    for split, rows in splits.items():
        (path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def posts(split: str, count: int = 4) -> list[dict[str, Any]]:
    return [
        {"prompt": f"SUBREDDIT: r/x TITLE: {split} {i} POST: it rains on my tent TL;DR:", "completion": "rain"}
        for i in range(count)
    ]


def papers(split: str, words: Sequence[int] = (99, 100, 300, 301)) -> list[dict[str, Any]]:
    return [
        {"article_id": f"{split}-{n}", "abstract_text": " ".join([split, *["word"] * (n - 1)]), "token_count": n}
        for n in words
    ]


def test_posts_of_the_data_set(tmp_path: Path) -> None:
    data = folder(tmp_path, {split: posts(split) for split in SPLITS})
    task = make_task("tldr", source="hub", data=data, train_size=3)
    assert [len(task.problems(split)) for split in SPLITS] == [3, 4, 4]
    problem = task.problems("test")[1]
    assert problem.text == "SUBREDDIT: r/x TITLE: test 1 POST: it rains on my tent TL;DR:"
    assert task.problem(problem.id) == problem
    assert task.notes() == ()
    check_task(task, problems_per_split=1)


def test_abstracts_of_the_data_set_are_filtered_and_the_released_evaluation_is_our_test(tmp_path: Path) -> None:
    data = folder(tmp_path, {split: papers(split) for split in ("train", "val", "test")})
    task = make_task("arxiv", source="hub", data=data)
    assert [p.id for p in task.problems("train")] == ["train-100", "train-300"]
    assert [p.id for p in task.problems("validation")] == ["test-100", "test-300"]
    assert [p.id for p in task.problems("test")] == ["val-100", "val-300"]
    check_task(task, problems_per_split=1)


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    twice = [*posts("train"), posts("train")[0]]
    data = folder(tmp_path, {"train": twice, "validation": posts("validation"), "test": posts("test")})
    with pytest.raises(ConfigError, match="row 4 repeats"):
        make_task("tldr", source="hub", data=data).problems("train")
    task = make_task("tldr", source="hub", data=data, bad_rows="drop")
    assert len(task.problems("train")) == 4
    (note,) = task.notes()
    assert note.startswith("dropped 1 rows of the data set")


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_out_of_reach_is_one_line(name: str, tmp_path: Path) -> None:
    task = make_task(name, source="hub", data=str(tmp_path))
    with pytest.raises(ConfigError) as error:
        task.problems("train")
    assert "\n" not in str(error.value)
    assert "task.source = mini" in str(error.value)


CROWD = {
    "tldr": (demonstrations.about_post, demonstrations.POST_LENGTHS, ("medium", "long")),
    "arxiv": (demonstrations.about_abstract, demonstrations.ABSTRACT_LENGTHS, ("medium", "long")),
}


def play(name: str, count: int, habits: Sequence[demonstrations.Habits] | None = None) -> dict[str, np.ndarray]:
    """Components of pairs of independent writers, or of two writers with given habits."""
    writer, lengths, _ = CROWD[name]
    random = generator("crowd", name)
    task = make_task(name)
    assert isinstance(task, WritingTask)
    found = []
    for _ in range(count):
        facts = task.grammar.draw(random, (1, 3))
        chosen = habits or [demonstrations.draw_habits(random, lengths[agent]) for agent in range(2)]
        first, second = (writer(facts, agent, chosen[agent], random) for agent in range(2))
        found.append(task.components(task.stating(facts), Written(1, (first, second))))
    return {key: np.array([numbers[key] for numbers in found]) for key in found[0]}


@pytest.mark.parametrize("name", NAMES)
def test_the_crowd_leaves_room_and_signal(name: str) -> None:
    found = play(name, 800)
    passed = found["gate1"] * found["gate2"] * found["gate3"]
    assert passed.mean() > 0.25
    assert 0.2 < found["paper"].mean() / MAXIMUM < 0.45
    assert 0.05 < found["hardened"].mean() / MAXIMUM < found["paper"].mean() / MAXIMUM


@pytest.mark.parametrize("name", NAMES)
def test_habits_that_fit_score_above_90(name: str) -> None:
    habits = [demonstrations.Habits(length, "grounded", "rich") for length in CROWD[name][2]]
    found = play(name, 200, habits)
    assert found["paper"].mean() / MAXIMUM > 0.9
    assert found["hardened"].mean() / MAXIMUM > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_demonstrations_come_from_training_problems_and_both_forms(name: str) -> None:
    task = make_task(name)
    said = list(itertools.islice(STREAMS[name](generator("stream")), 800))
    single = [text for ((_, text),) in said if SPLIT_MARK in text]
    assert 0.01 < len(single) / len(said) < 0.08
    texts = {problem.text for split in ("validation", "test") for problem in task.problems(split)}
    assert not any(observation[0].content.endswith(text) for ((observation, _),) in said for text in texts)
