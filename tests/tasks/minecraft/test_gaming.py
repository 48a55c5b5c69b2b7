"""What must not pay in the hardened profile (0–100): filling everything at most 20, an idle partner at most 60."""

from collections.abc import Iterator, Sequence

import pytest

from collm.tasks import make_task, replay
from collm.tasks.minecraft import fill, house_outcome, house_plan, outcome
from collm.tasks.minecraft.boxes import Box
from collm.tasks.minecraft.commands import write
from collm.tasks.minecraft.house_build import HouseBuild
from collm.tasks.minecraft.house_feedback import schedule
from collm.tasks.minecraft.houses import HouseProblem
from collm.tasks.minecraft.plan import assignment
from collm.tasks.minecraft.str_build import StrBuild
from collm.tasks.protocol import JointAction, Problem, Task

EVERYTHING, IDLE = 20.0, 60.0
FORMS = [
    {},
    {"world": "fresh"},
    {"reward": "terminal"},
    {"agents": 3},
    {"agents": 4},
]


def score(task: Task, problem: Problem, plan: Sequence[JointAction]) -> float:
    return task.score(problem, replay(task, problem, plan).state)


def in_turns(lines: Sequence[str], per_turn: int, turns: int, persistent: bool) -> list[str]:
    """The lines as early as the budgets allow, one text per turn."""
    if not persistent:
        return ["\n".join(lines)] * turns
    return ["\n".join(lines[turn * per_turn : (turn + 1) * per_turn]) for turn in range(turns)]


def whole_boxes(problem: HouseProblem) -> Iterator[list[str]]:
    """Ways for one agent to fill the whole box: at once, by layers, rows or columns, in one block or in all in turn."""
    width, height, depth = problem.size
    right, top, back = width - 1, height - 1, depth - 1
    parts = [
        [((0, 0, 0), (right, top, back))],
        [((0, y, 0), (right, y, back)) for y in range(height)],
        [((0, y, z), (right, y, z)) for y in range(height) for z in range(depth)],
        [((x, 0, z), (x, top, z)) for x in range(width) for z in range(depth)],
    ]
    common = max(problem.counts, key=lambda block: problem.counts[block])
    for blocks in ([common], list(problem.counts), list(problem.counts)[::-1]):
        for part in parts:
            yield [fill.write(Box(*corners, blocks[i % len(blocks)])) for i, corners in enumerate(part)]


@pytest.mark.parametrize(
    "size", ["small", *(pytest.param(size, marks=pytest.mark.slow) for size in ("medium", "large"))]
)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_filling_everything_builds_no_house(form: dict[str, object], size: str) -> None:
    task = make_task("house-build", profile="hardened", size=size, **form)
    for problem in [*task.problems("train")[:6], *task.problems("test")[:6]]:
        assert isinstance(problem, HouseProblem)
        for lines in whole_boxes(problem):
            for kill in ([], [fill.KILL]):
                plan = [["\n".join([*kill, *lines])] * task.agents] * task.turns
                assert score(task, problem, plan) <= EVERYTHING


@pytest.mark.parametrize(
    "size", ["small", *(pytest.param(size, marks=pytest.mark.slow) for size in ("medium", "large"))]
)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_lone_builder_of_houses_stays_below_the_ceiling(form: dict[str, object], size: str) -> None:
    """It places the largest parts of the house that its blocks and its commands allow, and kills the spiders."""
    task = make_task("house-build", profile="hardened", size=size, **form)
    assert isinstance(task, HouseBuild)
    reached = []
    for problem in [*task.problems("train")[:20], *task.problems("test")[:20]]:
        per_turn, total = task.budget(problem)
        (found,) = schedule(problem, {}, [task.limits(problem)], total - 1)
        texts = in_turns([fill.KILL, *map(fill.write, found)], per_turn, task.turns, task.persistent)
        reached.append(score(task, problem, [[text, *[""] * (task.agents - 1)] for text in texts]))
    assert max(reached) <= IDLE
    # Honest work alone does pay, only not enough; with two or three idle partners, next to nothing.
    assert max(reached) > (15 if task.agents == 2 else 2)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_filling_everything_writes_no_word(form: dict[str, object]) -> None:
    """Every agent sets every cell of the box: in one block, as a checkerboard, from above or from below."""
    task = make_task("str-build", profile="hardened", **form)
    assert isinstance(task, StrBuild)
    for problem in task.problems("test")[:30]:
        box = [(x, y) for y in reversed(range(5)) for x in range(problem.width)]
        for cells in (box, box[::-1]):
            for checker in (0, 1):
                texts = [
                    "\n".join(write(cell, palette[checker * (sum(cell) % 2)]) for cell in cells)
                    for palette in task.palettes
                ]
                assert score(task, problem, [texts] * task.turns) <= EVERYTHING
                assert score(task, problem, [[texts[0], *[""] * (task.agents - 1)]] * task.turns) <= EVERYTHING


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_lone_builder_of_words_stays_below_the_ceiling(form: dict[str, object]) -> None:
    task = make_task("str-build", profile="hardened", **form)
    assert isinstance(task, StrBuild)
    for problem in task.problems("test")[:60]:
        per_turn, total = task.budget(problem)
        lines = [write(cell, task.palettes[0][sum(cell) % 2]) for cell in problem.cells][:total]
        texts = in_turns(lines, per_turn, task.turns, task.persistent)
        assert 10 < score(task, problem, [[text, *[""] * (task.agents - 1)] for text in texts]) <= IDLE


TEAMS = [{"agents": agents, "world": world} for agents in (2, 3, 4) for world in ("fresh", "persistent")]
FREE_WORDS = [{}, {"max_commands": 150}]
FREE_HOUSES = [{}, {"max_commands": 300, "limited_resource": False}]


def without(idle: int, texts: Sequence[str]) -> list[str]:
    """The texts of the others, and nothing by the idle one."""
    return [*texts[:idle], "", *texts[idle:]]


@pytest.mark.parametrize("caps", FREE_WORDS, ids=str)
@pytest.mark.parametrize("form", TEAMS, ids=str)
def test_one_idle_writer_of_words_among_busy_ones_stays_below_the_ceiling(
    form: dict[str, object], caps: dict[str, object]
) -> None:
    """The others share the word as well as their commands allow, whoever is idle."""
    task = make_task("str-build", profile="hardened", turns=1, **form, **caps)
    assert isinstance(task, StrBuild)
    for problem in task.problems("test")[:30]:
        for idle in range(task.agents):
            palettes = [palette for role, palette in enumerate(task.palettes) if role != idle]
            parts = assignment(problem.cells, palettes)
            texts = ["\n".join(write(command.cell, command.block) for command in part) for part in parts]
            reached = score(task, problem, [without(idle, texts)])
            assert reached <= IDLE + 1e-9
            if caps:  # A word that is finished without one of the team is worth just the ceiling.
                assert reached == pytest.approx(IDLE)
        assert score(task, problem, task.best_plan(problem) or []) == pytest.approx(100)


@pytest.mark.parametrize("caps", FREE_HOUSES, ids=str)
@pytest.mark.parametrize("form", TEAMS, ids=str)
def test_one_idle_builder_of_houses_among_busy_ones_stays_below_the_ceiling(
    form: dict[str, object], caps: dict[str, object]
) -> None:
    task = make_task("house-build", profile="hardened", turns=1, **form, **caps)
    assert isinstance(task, HouseBuild)
    for problem in [*task.problems("train")[:10], *task.problems("test")[:10]]:
        for idle in range(task.agents):
            shares = house_plan.shares(problem, task.agents - 1)
            texts = ["\n".join([fill.KILL, *map(fill.write, share)]) for share in shares]
            reached = score(task, problem, [without(idle, texts)])
            assert reached <= IDLE + 1e-9
            if caps:
                assert reached > 55
        assert score(task, problem, task.best_plan(problem) or []) == pytest.approx(100)


def test_the_weight_of_idling_is_the_first_one_for_pairs_with_default_caps() -> None:
    words, houses = make_task("str-build"), make_task("house-build")
    assert isinstance(words, StrBuild)
    assert isinstance(houses, HouseBuild)
    for word in words.problems("test"):
        assert outcome.weight_of_idling(len(word.cells), 2, words.budget(word)[1]) == outcome.IDLE_WEIGHT
    for size in ("small", "medium", "large"):
        for house in make_task("house-build", size=size).problems("test"):
            assert isinstance(house, HouseProblem)
            limits = houses.limits(house)
            assert house_outcome.weight_of_idling(house, 2, limits) == house_outcome.IDLE_WEIGHT
