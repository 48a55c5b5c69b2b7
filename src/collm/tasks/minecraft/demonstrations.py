"""Noisy StrBuild demonstrations: what a crowd of builders who never met would write.

Every builder has habits of its own, drawn once per episode: which cells it starts with, how it chooses blocks, how
well it aims, how long it works. Some habits are good and some combinations of habits fit together, but nobody in the
crowd agrees on them: agreeing is what reinforcement has to teach. The embedded models are pretrained on this crowd.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from collm.randomness import pick
from collm.tasks.minecraft import crowd, font
from collm.tasks.minecraft.commands import Command, write
from collm.tasks.minecraft.str_build import BuildState, StrBuild, StrBuildOptions, WordProblem
from collm.tasks.minecraft.words import generated_words
from collm.tasks.protocol import Conversation

ORDERS: Mapping[str, float] = {"share": 0.3, "rows": 0.48, "left": 0.11, "right": 0.11}
"""Where a builder starts: its fair share by seat, the left letter, the right letter, the top row."""
TEXTURES: Mapping[str, float] = {"plain": 0.6, "random": 0.16, "checker": 0.24}
"""How it chooses blocks: always the same, at random, or a checkerboard."""
SLOPPY = 0.2
"""Share of builders that aim badly."""
MISS = 0.3
"""How often a bad aim misses its cell."""


@dataclasses.dataclass(frozen=True)
class Habits:
    """One builder's habits for one episode."""

    order: str
    texture: str
    miss: float
    effort: float
    """Share of each turn's budget that it uses."""
    plain_block: int


def draw_habits(random: np.random.Generator) -> Habits:
    """A builder from the crowd."""
    return Habits(
        order=pick(random, ORDERS),
        texture=pick(random, TEXTURES),
        miss=MISS if random.random() < SLOPPY else 0.0,
        effort=crowd.draw_effort(random),
        plain_block=int(random.integers(2)),
    )


def ordered_cells(problem: WordProblem, order: str, agent: int, agents: int) -> list[font.Cell]:
    """The target cells in the order in which a builder with this habit places them."""
    pitch = font.WIDTH + font.SPACING
    by_letter = sorted(problem.cells, key=lambda cell: (cell[0] // pitch, -cell[1], cell[0]))
    if order == "rows":
        return list(problem.cells)
    if order == "right":
        return sorted(problem.cells, key=lambda cell: (-(cell[0] // pitch), -cell[1], cell[0]))
    if order == "share":
        start = round(len(by_letter) * agent / agents)
        return by_letter[start:] + by_letter[:start]
    return by_letter


class Builder:
    """One demonstrator in one episode: works through its own list of cells, turn by turn."""

    def __init__(self, task: StrBuild, problem: WordProblem, agent: int, random: np.random.Generator) -> None:
        self.task, self.problem, self.agent, self.random = task, problem, agent, random
        self.habits = draw_habits(random)
        self.todo = ordered_cells(problem, self.habits.order, agent, task.agents)
        self.blocks = task.blocks(agent)

    def act(self, state: BuildState, seen: Sequence[Command] | None) -> str:
        """The response of a turn; ``seen`` are the fixes that the observation asked for, if it did."""
        per_turn, total = self.task.budget(self.problem)
        writers = self.task.roles // self.task.agents
        left = min(per_turn, total - state.spent[self.agent]) if self.task.persistent else per_turn
        count = max(1, round(self.habits.effort * left * writers)) if left else 0
        if seen is not None:
            return "\n".join(self._line(fix.cell, fix.block) for fix in seen[:count])
        cells = self.todo[:count]
        if self.task.persistent:
            self.todo = self.todo[count:]
        return "\n".join(self._line(cell, self._block(cell)) for cell in cells)

    def _block(self, cell: font.Cell) -> str:
        if self.habits.texture == "checker":
            return self.blocks[sum(cell) % len(self.blocks)]
        if self.habits.texture == "plain":
            return self.blocks[self.habits.plain_block]
        return self.blocks[int(self.random.integers(len(self.blocks)))]

    def _line(self, cell: font.Cell, block: str) -> str:
        random = self.random
        if random.random() < crowd.BLUNDER:
            return str(random.choice([f"setblock {block}", "Done.", write((cell[0], 9), block)]))
        if random.random() < self.habits.miss:
            cell = (int(random.integers(self.problem.width)), int(random.integers(font.HEIGHT)))
        return write(cell, block)


def demonstrate(task: StrBuild, problem: WordProblem, random: np.random.Generator) -> list[Conversation]:
    """One episode of the crowd: each agent's observations and responses, turn by turn."""
    builders = [Builder(task, problem, agent, random) for agent in range(task.agents)]

    def act(agent: int, state: BuildState) -> str:
        perfect = task.options.feedback == "perfect" and state.turn > 0
        return builders[agent].act(state, task.fixes(problem, state, agent) if perfect else None)

    conversations, _ = crowd.play(task, problem, act)
    return conversations


def stream(random: np.random.Generator) -> Iterator[Conversation]:
    """An endless stream of conversations over every form of the task, on training words only."""
    words = [
        generated_words("train", (length, length), count, 0)
        for length, count in ((1, 26), (2, 400), (3, 4000), (4, 4000))
    ]
    while True:
        task = _draw_task(random)
        pool = words[int(random.choice(4, p=[0.08, 0.64, 0.22, 0.06]))]
        problem = task.problem(str(random.choice(pool)))
        yield from demonstrate(task, problem, random)


def _draw_task(random: np.random.Generator) -> StrBuild:
    persistent = random.random() < 0.8
    options = StrBuildOptions(
        agents=int(random.choice([1, 2, 3, 4], p=[0.05, 0.81, 0.07, 0.07])),
        turns=int(random.choice([1, 2, 3, 4, 6, 8], p=[0.22, 0.3, 0.2, 0.22, 0.03, 0.03])),
        world="persistent" if persistent else "fresh",
        feedback=str(random.choice(["own", "position", "perfect", "score"], p=[0.8, 0.04, 0.06, 0.1])),  # type: ignore[arg-type]
        show_target=str(random.choice(["string+grid", "string", "none"], p=[0.9, 0.07, 0.03])),  # type: ignore[arg-type]
        train_size=1,
        validation_size=1,
        test_size=1,
    )
    task = StrBuild(options)
    return task.single_agent() if task.agents > 1 and random.random() < 0.06 else task
