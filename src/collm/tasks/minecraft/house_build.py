"""HouseBuild: a team builds a house by rectangles, with too little of every block to do it alone, and spiders about."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from collm.errors import ConfigError
from collm.options import Range
from collm.randomness import generator
from collm.tasks.minecraft import fill, house_feedback, house_outcome, house_plan, house_prompts, houses, prompts
from collm.tasks.minecraft.blocks import AIR
from collm.tasks.minecraft.boxes import Box, Cell, rectangles
from collm.tasks.minecraft.building import BuildingTask
from collm.tasks.minecraft.house_outcome import MAXIMUM, Threat, World, evaluate
from collm.tasks.minecraft.houses import HouseProblem
from collm.tasks.minecraft.lines import Parsed
from collm.tasks.minecraft.plan import command_budget
from collm.tasks.minecraft.world import Conduct, apply
from collm.tasks.protocol import JointAction, Message, Observation, Problem, Split, Start, Step


@dataclasses.dataclass(frozen=True)
class HouseBuildOptions:
    """Options of the task ``house-build``."""

    agents: Annotated[int, Range(1, 4)] = 2
    """Number of agents, 1 to 4, all with the same blocks."""
    turns: Annotated[int, Range(1, 8)] = 4
    """Turn limit H, 1 to 8."""
    world: Literal["persistent", "fresh"] = "persistent"
    """Whether blocks stay from turn to turn or each turn is rebuilt from nothing (as released)."""
    reward: Literal["dense", "terminal"] = "dense"
    """Reward at every turn, or only at the last one (persistent world)."""
    profile: Literal["paper", "hardened"] = "paper"
    """Which reward R trains and scores; the other one is logged too."""
    feedback: Literal[
        "own", "score", "perfect", "position", "position-modification", "rect-modification", "resource-schedule"
    ] = "own"
    """What later observations say: how many cells are wrong, the last reward, exactly what to fill, all target positions,
    wrong cells, wrong rectangles, or what is left of the blocks with boxes to spend it on."""
    feedback_limit: Annotated[int, Range(1, 1000)] = 20
    """At most this many cells or boxes per agent in the modes that list some of them."""
    show_target: Literal["boxes", "rectangles"] = "boxes"
    """The target as boxes that one agent can pay for, or as rectangles of each layer (as released)."""
    limited_resource: bool = True
    """Whether agents have too little of every block to build the house alone."""
    resource_share: Annotated[float, Range(1, 8)] = 1.5
    """What all agents have together of each block, as a multiple of what the house needs (before rounding)."""
    max_commands: Annotated[int, Range(1, 10_000)] | None = None
    """Commands of one agent for one build (a turn in a fresh world, the episode in a persistent one). Default:
    0.6 of the lines of the canonical plan, rounded up, but enough for its longest share."""
    max_commands_per_turn: Annotated[int, Range(1, 10_000)] | None = None
    """Commands of one agent in one turn of a persistent world. Default: the budget spread over the turns, plus one."""
    hp: Annotated[int, Range(1, 1000)] = 5
    """Hit points at the start."""
    spiders: Annotated[int, Range(0, 100)] = 3
    """Number of spiders; 0 for none."""
    attack_low: Annotated[int, Range(0, 1000)] = 1
    """Least damage of a spider per turn."""
    attack_high: Annotated[int, Range(0, 1000)] = 3
    """Greatest damage of a spider per turn."""
    source: Literal["mini", "released"] = "mini"
    """Generated houses with disjoint splits, or the five released ones (train on the first 4, test on the last)."""
    size: Literal["small", "medium", "large"] = "medium"
    """How large generated houses are: small ones take an agent at most 8 lines, large ones are released-sized."""
    train_size: Annotated[int, Range(1, 10_000)] = 256
    """At most this many training houses."""
    validation_size: Annotated[int, Range(1, 10_000)] = 64
    """At most this many validation houses."""
    test_size: Annotated[int, Range(1, 10_000)] = 128
    """At most this many test houses."""
    houses_seed: Annotated[int, Range(0)] = 0
    """Which houses are drawn; splits are disjoint whatever the seed."""


@dataclasses.dataclass(frozen=True)
class HouseState:
    """The world after ``turn`` joint actions."""

    turn: int
    world: World
    spent: tuple[int, ...]
    """Commands each agent has used of its budget for this build."""
    used: tuple[Mapping[str, int], ...]
    """Cells of each block that each agent has filled in this build."""
    conduct: Conduct
    threat: Threat
    last: tuple[tuple[int, int], ...]
    """For each agent the accepted and the non-empty lines of its last response."""


class HouseBuild(BuildingTask):
    """Build a house with `/fill` under limits, and see to the spiders (paper: HouseBuild; reference: TASKS 0 and 6)."""

    name: ClassVar[str] = "house-build"
    summary: ClassVar[str] = (
        "build a house from boxes, with too little of every block to do it alone, and spiders about"
    )
    Options: ClassVar[type] = HouseBuildOptions
    profiles: ClassVar[tuple[str, ...]] = ("paper", "hardened")
    solved_above: ClassVar[float] = 0.95

    def __init__(self, options: HouseBuildOptions | None = None, *, one_writer: bool = False) -> None:
        options = options or HouseBuildOptions()
        super().__init__(options, one_writer)
        if options.attack_low > options.attack_high:
            raise ConfigError(
                f"task.attack_low = {options.attack_low}: must be at most task.attack_high = {options.attack_high}."
            )
        if options.feedback == "resource-schedule" and not options.limited_resource:
            raise ConfigError("task.feedback = resource-schedule needs task.limited_resource = true.")

    def problems(self, split: Split) -> Sequence[HouseProblem]:
        options = self.options
        if options.source == "released":
            released = houses.released_houses()
            return released[: houses.RELEASED_TRAIN] if split == "train" else released[houses.RELEASED_TRAIN :]
        sizes = {"train": options.train_size, "validation": options.validation_size, "test": options.test_size}
        return houses.generated_houses(split, options.size, sizes[split], options.houses_seed)

    def problem(self, text: str) -> HouseProblem:
        return houses.named_house(text)

    @property
    def writers(self) -> int:
        """Roles per agent."""
        return self.roles // self.agents

    def limits(self, problem: HouseProblem) -> dict[str, float]:
        """Cells of each block that one agent may fill in one build."""
        if not self.options.limited_resource:
            return dict.fromkeys(problem.counts, math.inf)
        shared = house_plan.limits(problem.counts, self.roles, self.options.resource_share)
        return {block: float(amount * self.writers) for block, amount in shared.items()}

    def budget(self, problem: HouseProblem) -> tuple[int, int]:
        """Commands of one role: per turn, and for one build."""
        lengths = [len(share) for share in self._plan_lines(problem)]
        return self.caps(max(command_budget(sum(lengths), self.roles), *lengths))

    def _plan_lines(self, problem: HouseProblem) -> list[list[str]]:
        """The canonical plan's lines of each role; the first one sees to the spiders."""
        lines = [[fill.write(box) for box in share] for share in house_plan.shares(problem, self.roles)]
        if self.options.spiders:
            lines[0].insert(0, fill.KILL)
        return lines

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        assert isinstance(problem, HouseProblem)
        state = self._start(self._threat(problem, seed))
        return Start(state, tuple(self._opening(problem, agent, state.threat) for agent in range(self.agents)))

    def _threat(self, problem: Problem, seed: int) -> Threat:
        """The attacks of an episode: drawn once, the same in all its turns."""
        options = self.options
        drawn = generator("house-build attacks", problem.id, seed).integers(
            options.attack_low, options.attack_high + 1, options.spiders
        )
        return Threat(tuple(int(damage) for damage in drawn), options.hp, options.hp)

    def _start(self, threat: Threat, turn: int = 0) -> HouseState:
        """An empty world before a build."""
        none = (0,) * self.agents
        return HouseState(turn, {}, none, ({},) * self.agents, Conduct(), threat, ((0, 0),) * self.agents)

    def _opening(self, problem: HouseProblem, agent: int, threat: Threat) -> Observation:
        per_turn, total = self.budget(problem)
        if self.options.show_target == "boxes":
            target = house_prompts.listed(house_plan.pieces(problem, self.roles))
        else:
            target = house_prompts.layered(rectangles(problem.target))
        text = house_prompts.opening(
            prompts.seat(agent, self.agents),
            target,
            problem.size,
            house_prompts.stock(self.limits(problem), self.options.limited_resource),
            threat,
            [
                prompts.limits(per_turn * self.writers, total * self.writers),
                prompts.world_rule(self.turns, self.persistent),
            ],
        )
        return (Message("system", prompts.SYSTEM), Message("user", text))

    def step(self, problem: Problem, state: HouseState, actions: JointAction) -> Step:
        assert isinstance(problem, HouseProblem)
        before = state if self.persistent else self._start(dataclasses.replace(state.threat, killed=False), state.turn)
        parsed = self._read(problem, before, actions)
        moves = [(role, order) for role, p in enumerate(parsed) for order in p.commands if isinstance(order, Box)]
        kill = any(isinstance(order, fill.Kill) for p in parsed for order in p.commands)
        world, placed, overlaps = apply(before.world, moves)
        lines, rejected = sum(p.lines for p in parsed), sum(p.rejected for p in parsed)
        after = HouseState(
            state.turn + 1,
            world,
            tuple(used + len(p.commands) for used, p in zip(before.spent, parsed, strict=True)),
            tuple(_with_volumes(used, p) for used, p in zip(before.used, parsed, strict=True)),
            before.conduct + Conduct(lines, rejected, placed, overlaps),
            before.threat.after_turn(kill),
            tuple((len(p.commands), p.lines) for p in parsed),
        )
        first = self._start(dataclasses.replace(state.threat, hp=state.threat.full, killed=False))
        worth_before = self.final(problem, first if self.options.reward == "terminal" else state)
        reward, terminated = self.turn_reward(problem, after, worth_before)
        observations = (
            None if terminated else tuple(self._feedback(problem, after, agent) for agent in range(self.agents))
        )
        info = {"accepted": tuple(len(p.commands) for p in parsed), "lines": tuple(p.lines for p in parsed)}
        return Step(after, observations, reward, self.components(problem, after), terminated, info=info)

    def _read(self, problem: HouseProblem, state: HouseState, actions: JointAction) -> list[Parsed[fill.Order]]:
        per_turn, total = (cap * self.writers for cap in self.budget(problem))
        return [
            fill.parse(
                action, problem.size, self.left(problem, state, agent), min(per_turn, total - state.spent[agent])
            )
            for agent, action in enumerate(actions)
        ]

    def left(self, problem: HouseProblem, state: HouseState, agent: int) -> dict[str, float]:
        """Cells of each block that an agent may still fill in the build of its next turn."""
        used = state.used[agent] if self.persistent else {}
        return {block: amount - used.get(block, 0) for block, amount in self.limits(problem).items()}

    def _feedback(self, problem: HouseProblem, state: HouseState, agent: int) -> Observation:
        lines = [
            prompts.turn_header(state.turn, self.turns, self.persistent),
            house_prompts.health(state.threat, self.persistent),
            self._mode_feedback(problem, state, agent),
        ]
        return (Message("user", "\n".join(filter(None, lines))),)

    def _mode_feedback(self, problem: HouseProblem, state: HouseState, agent: int) -> str:
        mode = self.options.feedback
        if mode == "own":
            wrong = house_feedback.wrong_cells(problem, state.world)
            return house_prompts.own_feedback(len(wrong), self.persistent)
        if mode == "score":
            return prompts.score_feedback(self.final(problem, state))
        if mode == "position":
            return house_prompts.position_feedback(problem.target, self.agents)
        named = self.suggestions(problem, state, agent)
        if mode == "perfect":
            return house_prompts.perfect_feedback(named)
        if mode == "position-modification":
            return house_prompts.modification_feedback(named, self.persistent)
        if mode == "rect-modification":
            return house_prompts.rectangle_feedback(named, *state.last[agent], self.persistent)
        left = self.left(problem, state, agent)
        return house_prompts.schedule_feedback(*state.last[agent], left, named, self.persistent)

    def observed_standing(self, problem: Problem, state: HouseState, agent: int) -> Mapping[str, float]:
        assert isinstance(problem, HouseProblem)
        mode = self.options.feedback
        if state.turn == 0:
            return {}
        told = {"health": state.threat.hp / state.threat.full} if state.threat.attacks else {}
        if state.threat.attacks and self.persistent:
            told["killed"] = float(state.threat.killed)
        if mode == "own":
            told["wrong"] = len(house_feedback.wrong_cells(problem, state.world))
        elif mode == "score":
            told["reward"] = self.final(problem, state)
        elif mode != "position":
            told["named"] = sum(box.volume for box in self.suggestions(problem, state, agent))
        return told

    def suggestions(self, problem: HouseProblem, state: HouseState, agent: int) -> list[Box]:
        """The boxes that the observation after ``state`` names to an agent, in the modes that name some."""
        mode, limit = self.options.feedback, self.options.feedback_limit
        # Where the next build starts from nothing, what it needs is everything.
        standing: World = state.world if self.persistent else {}
        if mode == "perfect":
            alone = self.agents < self.roles
            return house_feedback.perfect(problem, standing, self.roles, None if alone else agent)
        if mode == "resource-schedule":
            left = [self.left(problem, state, each) for each in range(self.agents)]
            return house_feedback.schedule(problem, standing, left, limit)[agent]
        wrong = house_feedback.wrong_cells(problem, state.world)
        if mode == "position-modification":
            return house_feedback.modification(wrong, self.agents, agent, limit)
        if mode == "rect-modification":
            return house_feedback.wrong_rectangles(problem, wrong, self.agents, agent, limit)
        return []

    def components(self, problem: Problem, state: HouseState) -> Mapping[str, float]:
        assert isinstance(problem, HouseProblem)
        weight = house_outcome.weight_of_idling(problem, self.agents, self.limits(problem))
        return evaluate(problem, state.world, state.conduct, state.threat, self.agents, weight)

    def floor(self, problem: Problem) -> float:
        return self._empty(problem, self._threat(problem, 0))

    def episode_floor(self, problem: Problem, state: HouseState) -> float:
        return self._empty(problem, state.threat)

    def _empty(self, problem: Problem, threat: Threat) -> float:
        """The final of an episode in which nobody does anything, against these spiders."""
        assert isinstance(problem, HouseProblem)
        hp = max(0, threat.full - self.turns * threat.damage)
        idle = self._start(dataclasses.replace(threat, hp=hp, killed=False))
        return self.final(problem, idle)

    def ceiling(self, problem: Problem) -> float:
        return MAXIMUM

    def best_plan(self, problem: Problem) -> Sequence[JointAction] | None:
        """The canonical build, as early as the budgets allow; None where they are too small for it."""
        assert isinstance(problem, HouseProblem)
        return self.spread(self._plan_lines(problem), *self.budget(problem))

    def single_agent(self) -> HouseBuild:
        """One agent with the roles' blocks and commands together; nobody can idle or overwrite a partner."""
        return HouseBuild(self.options, one_writer=True)

    def as_text(self, problem: Problem, state: HouseState) -> str:
        from collm.tasks.minecraft.house_render import layered_text

        assert isinstance(problem, HouseProblem)
        health = house_prompts.health(state.threat, persistent=True)
        return "\n".join(filter(None, [layered_text(problem, self.as_blocks(problem, state)), health]))

    def picture(self, problem: Problem, state: HouseState) -> Any:
        from collm.tasks.minecraft.house_render import isometric

        assert isinstance(problem, HouseProblem)
        return isometric(problem, self.as_blocks(problem, state))

    def as_blocks(self, problem: Problem, state: HouseState) -> dict[Cell, str]:
        return {cell: placed.block for cell, placed in state.world.items()}


def _with_volumes(used: Mapping[str, int], parsed: Parsed[fill.Order]) -> dict[str, int]:
    """What has been used of each block, with what these commands used; air costs nothing."""
    total = dict(used)
    for order in parsed.commands:
        if isinstance(order, Box) and order.block != AIR:
            total[order.block] = total.get(order.block, 0) + order.volume
    return total
