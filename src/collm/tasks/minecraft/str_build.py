"""StrBuild: a team writes a word in blocks, each agent with its own blocks and too few commands to finish alone."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from collm.errors import ConfigError
from collm.options import Range
from collm.tasks.minecraft import font, outcome, prompts, words
from collm.tasks.minecraft.blocks import AIR, PALETTES
from collm.tasks.minecraft.building import BuildingTask
from collm.tasks.minecraft.commands import Command, parse, write
from collm.tasks.minecraft.lines import Parsed
from collm.tasks.minecraft.outcome import MAXIMUM, World, evaluate
from collm.tasks.minecraft.plan import assignment, command_budget
from collm.tasks.minecraft.world import Conduct, apply
from collm.tasks.protocol import JointAction, Message, Observation, Problem, Split, Start, Step


@dataclasses.dataclass(frozen=True)
class StrBuildOptions:
    """Options of the task ``str-build``."""

    agents: Annotated[int, Range(1, len(PALETTES))] = 2
    """Number of agents, 1 to 4, each with two blocks of its own."""
    turns: Annotated[int, Range(1, 8)] = 4
    """Turn limit H, 1 to 8."""
    world: Literal["persistent", "fresh"] = "persistent"
    """Whether blocks stay from turn to turn or each turn is rebuilt from nothing (as released)."""
    reward: Literal["dense", "terminal"] = "dense"
    """Reward at every turn, or only at the last one (persistent world)."""
    profile: Literal["paper", "hardened"] = "paper"
    """Which reward R trains and scores; the other one is logged too."""
    feedback: Literal["own", "position", "perfect", "score"] = "own"
    """What later observations say: cells still empty, all target positions, exactly what to fix, or the last reward."""
    show_target: Literal["string+grid", "string", "none"] = "string+grid"
    """What turn 0 shows of the target; 'none' is the released setting."""
    max_commands: Annotated[int, Range(1, 10_000)] | None = None
    """Commands of one agent for one build (a turn in a fresh world, the episode in a persistent one). Default:
    0.6 of the target cells, rounded up, so that no agent can finish alone."""
    max_commands_per_turn: Annotated[int, Range(1, 10_000)] | None = None
    """Commands of one agent in one turn of a persistent world. Default: the budget spread over the turns, plus one."""
    source: Literal["mini", "released"] = "mini"
    """Generated words with disjoint splits, or the ten released strings (train on the first 8, test on the last 2)."""
    min_length: Annotated[int, Range(1, 12)] = 2
    """Least number of letters of a generated word."""
    max_length: Annotated[int, Range(1, 12)] = 3
    """Greatest number of letters of a generated word."""
    train_size: Annotated[int, Range(1, 100_000)] = 256
    """At most this many training words (short lengths have fewer)."""
    validation_size: Annotated[int, Range(1, 100_000)] = 64
    """At most this many validation words."""
    test_size: Annotated[int, Range(1, 100_000)] = 128
    """At most this many test words."""
    words_seed: Annotated[int, Range(0)] = 0
    """Which words are drawn; splits are disjoint whatever the seed."""
    train_words: tuple[str, ...] = ()
    """Train on these words of yours instead."""
    test_words: tuple[str, ...] = ()
    """Validate and test on these words of yours instead."""


@dataclasses.dataclass(frozen=True)
class WordProblem(Problem):
    """A word to build."""

    word: str

    @functools.cached_property
    def cells(self) -> tuple[font.Cell, ...]:
        """Target cells in reading order."""
        return font.cells(self.word)

    @functools.cached_property
    def target(self) -> frozenset[font.Cell]:
        return frozenset(self.cells)

    @property
    def width(self) -> int:
        return font.width(self.word)


@dataclasses.dataclass(frozen=True)
class BuildState:
    """The world after ``turn`` joint actions."""

    turn: int
    world: World
    spent: tuple[int, ...]
    """Commands each role has used of its budget for this build."""
    conduct: Conduct


class StrBuild(BuildingTask):
    """Build a word of 5×5 letters from blocks (paper: StrBuild; reference: TASKS sections 0 and 5)."""

    name: ClassVar[str] = "str-build"
    summary: ClassVar[str] = (
        "write a word in blocks, each agent with its own blocks and too few commands to finish alone"
    )
    Options: ClassVar[type] = StrBuildOptions
    profiles: ClassVar[tuple[str, ...]] = ("paper", "hardened")
    solved_above: ClassVar[float] = 1.9

    def __init__(self, options: StrBuildOptions | None = None, *, one_writer: bool = False) -> None:
        options = options or StrBuildOptions()
        if options.min_length > options.max_length:
            raise ConfigError(
                f"task.min_length = {options.min_length}: must be at most task.max_length = {options.max_length}."
            )
        super().__init__(options, one_writer)
        self.palettes = PALETTES[: self.roles]
        self._words = {split: self._split_words(split) for split in ("train", "validation", "test")}
        shared = sorted(set(self._words["train"]) & {*self._words["validation"], *self._words["test"]})
        if shared:
            raise ConfigError(f"words in both train and test: {', '.join(shared)}. Take them out of one of the two.")

    def _split_words(self, split: Split) -> tuple[str, ...]:
        options = self.options
        given = options.train_words if split == "train" else options.test_words
        if given:
            return tuple(dict.fromkeys(font.check_word(word) for word in given))
        if options.source == "released":
            released = words.released_words()
            return released[: words.RELEASED_TRAIN] if split == "train" else released[words.RELEASED_TRAIN :]
        size = {
            "train": options.train_size,
            "validation": options.validation_size,
            "test": options.test_size,
        }[split]
        lengths = (options.min_length, options.max_length)
        found = words.generated_words(split, lengths, size, options.words_seed)
        if not found:
            raise ConfigError(f"no {split} words of {lengths[0]} to {lengths[1]} letters exist; allow longer words.")
        return found

    def problems(self, split: Split) -> Sequence[WordProblem]:
        return [WordProblem(word, word) for word in self._words[split]]

    def problem(self, text: str) -> WordProblem:
        word = font.check_word(text)
        return WordProblem(word, word)

    def budget(self, problem: WordProblem) -> tuple[int, int]:
        """Commands of one role: per turn, and for one build."""
        return self.caps(command_budget(len(problem.cells), self.roles))

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        assert isinstance(problem, WordProblem)
        state = BuildState(0, {}, (0,) * self.roles, Conduct())
        return Start(state, tuple(self._opening(problem, agent) for agent in range(self.agents)))

    def _opening(self, problem: WordProblem, agent: int) -> Observation:
        per_turn, total = self.budget(problem)
        writers = self.roles // self.agents
        text = prompts.opening(
            problem.word,
            prompts.seat(agent, self.agents),
            self.blocks(agent),
            prompts.limits(per_turn * writers, total * writers),
            prompts.world_rule(self.turns, self.persistent),
            self.options.show_target,
        )
        return (Message("system", prompts.SYSTEM), Message("user", text))

    def blocks(self, agent: int) -> tuple[str, ...]:
        """The solid blocks an agent may use: its role's, or everybody's in the single-agent form."""
        if self.agents == self.roles:
            return self.palettes[agent]
        return tuple(block for palette in self.palettes for block in palette)

    def step(self, problem: Problem, state: BuildState, actions: JointAction) -> Step:
        assert isinstance(problem, WordProblem)
        if not self.persistent:
            state = BuildState(state.turn, {}, (0,) * self.roles, Conduct())
        parsed, moves = self._read(problem, state, actions)
        world, placed, overlaps = apply(state.world, moves)
        lines, rejected = sum(p.lines for p in parsed), sum(p.rejected for p in parsed)
        new = Counter(role for role, _ in moves)
        spent = tuple(used + new[role] for role, used in enumerate(state.spent))
        conduct = state.conduct + Conduct(lines, rejected, placed, overlaps)
        after = BuildState(state.turn + 1, world, spent, conduct)
        terminal = self.options.reward == "terminal"
        worth_before = self.floor(problem) if terminal else self.final(problem, state)
        reward, terminated = self.turn_reward(problem, after, worth_before)
        observations = (
            None if terminated else tuple(self._feedback(problem, after, agent) for agent in range(self.agents))
        )
        info = {"accepted": tuple(len(p.commands) for p in parsed), "lines": tuple(p.lines for p in parsed)}
        return Step(after, observations, reward, self.components(problem, after), terminated, info=info)

    def _read(
        self, problem: WordProblem, state: BuildState, actions: JointAction
    ) -> tuple[list[Parsed[Command]], list[tuple[int, Command]]]:
        """What every agent wrote, and the accepted commands in the order in which they are carried out."""
        per_turn, total = self.budget(problem)
        if self.agents == self.roles:
            parsed = [
                parse(action, self.palettes[role], problem.width, font.HEIGHT, min(per_turn, total - used))
                for role, (action, used) in enumerate(zip(actions, state.spent, strict=True))
            ]
            return parsed, [(role, command) for role, p in enumerate(parsed) for command in p.commands]
        limit = min(per_turn * self.roles, total * self.roles - sum(state.spent))
        both = parse(actions[0], self.blocks(0), problem.width, font.HEIGHT, limit)
        owner = {block: role for role, palette in enumerate(self.palettes) for block in palette}
        return [both], [(owner.get(command.block, 0), command) for command in both.commands]

    def _feedback(self, problem: WordProblem, state: BuildState, agent: int) -> Observation:
        header = prompts.turn_header(state.turn, self.turns, self.persistent)
        mode = self.options.feedback
        if mode == "own":
            body = prompts.own_feedback(sum(cell not in state.world for cell in problem.cells))
        elif mode == "score":
            body = prompts.score_feedback(self.final(problem, state))
        elif mode == "position":
            body = prompts.position_feedback(problem.cells, self.roles, self.blocks(agent))
        else:
            body = prompts.perfect_feedback(self.fixes(problem, state, agent))
        return (Message("user", f"{header}\n{body}"),)

    def observed_standing(self, problem: Problem, state: BuildState, agent: int) -> Mapping[str, float]:
        assert isinstance(problem, WordProblem)
        if state.turn == 0:
            return {}
        if self.options.feedback == "own":
            return {"empty": sum(cell not in state.world for cell in problem.cells)}
        if self.options.feedback == "score":
            return {"reward": self.final(problem, state)}
        return {"fixes": len(self.fixes(problem, state, agent))} if self.options.feedback == "perfect" else {}

    def fixes(self, problem: WordProblem, state: BuildState, agent: int) -> list[Command]:
        """What an agent should set for the canonical build; the last agent also clears what is outside the target."""
        world: World = state.world if self.persistent else {}
        chunks = assignment(problem.cells, self.palettes)
        own = [command for chunk in chunks for command in chunk] if self.agents < self.roles else chunks[agent]
        fixes = [c for c in own if c.cell not in world or world[c.cell].block != c.block]
        if agent == self.agents - 1:
            fixes += [Command(cell, AIR) for cell in sorted(world) if cell not in problem.target]
        return fixes

    def components(self, problem: Problem, state: BuildState) -> Mapping[str, float]:
        assert isinstance(problem, WordProblem)
        weight = outcome.weight_of_idling(len(problem.cells), self.roles, self.budget(problem)[1])
        return evaluate(state.world, state.conduct, problem.target, problem.width, self.palettes, weight)

    def floor(self, problem: Problem) -> float:
        return outcome.floor(self.roles)

    def ceiling(self, problem: Problem) -> float:
        return MAXIMUM

    def best_plan(self, problem: Problem) -> Sequence[JointAction] | None:
        """The canonical build, as early as the command budgets allow; None where they are too small for it."""
        assert isinstance(problem, WordProblem)
        per_turn, total = self.budget(problem)
        shares = [[write(c.cell, c.block) for c in chunk] for chunk in assignment(problem.cells, self.palettes)]
        return self.spread(shares, per_turn, total)

    def single_agent(self) -> StrBuild:
        """One agent with every role's blocks and the roles' commands together."""
        return StrBuild(self.options, one_writer=True)

    def as_text(self, problem: Problem, state: BuildState) -> str:
        from collm.tasks.minecraft.render import coloured_text

        assert isinstance(problem, WordProblem)
        return coloured_text(problem.word, {cell: placed.block for cell, placed in state.world.items()})

    def picture(self, problem: Problem, state: BuildState) -> Any:
        from collm.tasks.minecraft.render import isometric

        assert isinstance(problem, WordProblem)
        return isometric(problem.word, {cell: placed.block for cell, placed in state.world.items()})

    def as_blocks(self, problem: Problem, state: BuildState) -> dict[tuple[int, int, int], str]:
        return {(x, y, 0): placed.block for (x, y), placed in state.world.items()}
