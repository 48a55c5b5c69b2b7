"""Noisy HouseBuild demonstrations: a crowd of builders who write good commands and agree on nothing.

Every builder has habits of its own, drawn once per episode: which boxes of the target it takes, whether it sees to the
spiders, how often it misses or takes the wrong block, how long it works. Every part of a house comes in as many
boxes as there are agents, and nobody has blocks for all of them, so whole houses need builders whose choices fit
together. Scores of the crowd: ``python benchmarks/crowd.py``. The embedded models are pretrained on this crowd.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from collm.randomness import pick
from collm.tasks.minecraft import crowd, fill
from collm.tasks.minecraft.boxes import Box
from collm.tasks.minecraft.house_build import HouseBuild, HouseBuildOptions, HouseState
from collm.tasks.minecraft.house_plan import pieces
from collm.tasks.minecraft.houses import HouseProblem, Size, generated_houses
from collm.tasks.protocol import Conversation

CHOICES: Mapping[str, float] = {
    "all": 0.36,
    "back": 0.1,
    "low side": 0.18,
    "high side": 0.06,
    "seat": 0.06,
    "random": 0.24,
}
"""Which boxes a builder takes: all from the first or from the last line, those at low or high x first, its seat's, any."""
KILLS: Mapping[str, float] = {"never": 0.6, "first": 0.25, "last": 0.15}
"""When it writes /kill."""
SLOPPY = 0.25
"""Share of builders that often place a box wrongly."""
MISS = 0.5
"""How often those do: they shift it, or take another block."""
FORGETFUL = 0.55
"""Share of builders that begin again at every turn, also where blocks stay."""
FOLLOW = 0.7
"""How often a builder does what the feedback names."""
_QUICK_TURNS = 3
_LISTING = ("perfect", "position", "position-modification", "rect-modification", "resource-schedule")


@dataclasses.dataclass(frozen=True)
class Habits:
    """One builder's habits for one episode."""

    choice: str
    kill: str
    miss: float
    effort: float
    """Share of each turn's budget that it uses."""
    forgets: bool
    follows: bool


def draw_habits(random: np.random.Generator) -> Habits:
    """A builder from the crowd."""
    return Habits(
        choice=pick(random, CHOICES),
        kill=pick(random, KILLS),
        miss=MISS if random.random() < SLOPPY else 0.0,
        effort=crowd.draw_effort(random),
        forgets=bool(random.random() < FORGETFUL),
        follows=bool(random.random() < FOLLOW),
    )


def chosen_boxes(problem: HouseProblem, choice: str, agent: int, roles: int, random: np.random.Generator) -> list[Box]:
    """The boxes that a builder with this habit wants to place, in its order."""
    listed = pieces(problem, roles)
    width = problem.size[0]
    if choice == "back":
        return listed[::-1]
    if choice == "random":
        return [listed[i] for i in random.permutation(len(listed))]
    if choice in ("low side", "high side"):
        sign = 1 if choice == "low side" else -1
        return sorted(listed, key=lambda box: sign * (box.low[0] + box.high[0] >= width))
    if choice == "seat":
        return sorted(listed, key=lambda box: (box.low[0] + box.high[0]) * roles // (2 * width) != agent)
    return listed


class Builder:
    """One demonstrator in one episode: works through its own list of boxes, turn by turn."""

    def __init__(
        self, task: HouseBuild, problem: HouseProblem, agent: int, random: np.random.Generator, habits: Habits
    ) -> None:
        self.task, self.problem, self.agent, self.random, self.habits = task, problem, agent, random, habits
        self.todo = chosen_boxes(problem, habits.choice, agent, task.roles, random)

    def act(self, state: HouseState) -> str:
        """The response of a turn."""
        task, kill = self.task, self.habits.kill
        per_turn, total = (cap * task.writers for cap in task.budget(self.problem))
        left = min(per_turn, total - state.spent[self.agent]) if task.persistent else per_turn
        count = max(1, round(self.habits.effort * left)) if left else 0
        kills = (
            bool(task.options.spiders) and kill != "never" and (state.turn == 0 or not task.persistent) and count > 0
        )
        lines = [self._line(box) for box in self._boxes(state, count - kills)]
        if kills:
            lines.insert(0 if kill == "first" else len(lines), fill.KILL)
        return "\n".join(lines)

    def _boxes(self, state: HouseState, count: int) -> Sequence[Box]:
        if state.turn and self.habits.follows:
            named = self.task.suggestions(self.problem, state, self.agent)
            if named or self.task.options.feedback in _LISTING[2:]:
                return named[:count]
        now = self.todo[:count]
        if self.task.persistent and not self.habits.forgets:
            self.todo = self.todo[count:]
        return now

    def _line(self, box: Box) -> str:
        random = self.random
        if random.random() < crowd.BLUNDER:
            return str(random.choice([f"fill {box.block}", "Done.", fill.write(box).rsplit(" ", 1)[0]]))
        if random.random() < self.habits.miss:
            box = self._missed(box)
        return fill.write(box)

    def _missed(self, box: Box) -> Box:
        """The box of another block, or one cell aside."""
        if self.random.random() < 0.5:
            return dataclasses.replace(box, block=str(self.random.choice(list(self.problem.counts))))
        axis, width = int(self.random.integers(3)), self.problem.size
        step = 1 if box.high[axis] + 1 < width[axis] else -1
        if box.low[axis] + step < 0:
            return box
        low, high = list(box.low), list(box.high)
        low[axis] += step
        high[axis] += step
        return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]), box.block)


def demonstrate(
    task: HouseBuild, problem: HouseProblem, random: np.random.Generator, habits: Sequence[Habits] | None = None
) -> tuple[list[Conversation], HouseState]:
    """One episode of builders with given habits, or of the crowd: the conversations and the last state."""
    drawn = habits or [draw_habits(random) for _ in range(task.agents)]
    builders = [Builder(task, problem, agent, random, own) for agent, own in enumerate(drawn)]
    return crowd.play(task, problem, lambda agent, state: builders[agent].act(state), int(random.integers(2**31)))


def stream(random: np.random.Generator) -> Iterator[Conversation]:
    """An endless stream of conversations over every form of the task, on training houses only."""
    sizes: dict[Size, int] = {"small": 1000, "medium": 400}
    houses = {size: generated_houses("train", size, count, 0) for size, count in sizes.items()}
    while True:
        task = _draw_task(random)
        pool = houses[task.options.size]
        conversations, _ = demonstrate(task, pool[int(random.integers(len(pool)))], random)
        yield from conversations


def _draw_task(random: np.random.Generator) -> HouseBuild:
    turns = int(random.choice([1, 2, 3, 4, 6, 8], p=[0.16, 0.42, 0.22, 0.14, 0.03, 0.03]))
    feedback = str(random.choice(["own", "score", *_LISTING], p=[0.76, 0.06, 0.05, 0.02, 0.04, 0.03, 0.04]))
    size = "medium" if random.random() < 0.04 else "small"
    options = HouseBuildOptions(
        agents=int(random.choice([1, 2, 3, 4], p=[0.05, 0.83, 0.06, 0.06])),
        # Lists at every turn would make histories longer than the model can read.
        turns=min(turns, _QUICK_TURNS) if feedback in _LISTING or size == "medium" else turns,
        world="persistent" if random.random() < 0.8 else "fresh",
        feedback=feedback,  # type: ignore[arg-type]
        show_target="boxes" if random.random() < 0.95 else "rectangles",
        limited_resource=feedback == "resource-schedule" or random.random() < 0.96,
        spiders=0 if random.random() < 0.04 else 3,
        size=size,  # type: ignore[arg-type]
        train_size=1,
        validation_size=1,
        test_size=1,
    )
    task = HouseBuild(options)
    return task.single_agent() if task.agents > 1 and random.random() < 0.06 else task
