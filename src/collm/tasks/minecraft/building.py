"""What building tasks share: fresh and persistent worlds, when an episode ends, what a turn is worth."""

from __future__ import annotations

from typing import Any, ClassVar

from collm.errors import ConfigError
from collm.tasks.minecraft import plan
from collm.tasks.protocol import Problem, Task


class BuildingTask(Task):
    """A task whose states are worlds of blocks; its options have ``world``, ``reward``, ``profile`` and the caps.

    A *role* is a share of the work with a budget of its own. Every agent has one role; in the single-agent form one
    agent writes for all of them.
    """

    solved_above: ClassVar[float]
    """A fresh-world episode ends after a turn with R above this (the released threshold)."""

    def __init__(self, options: Any, one_writer: bool) -> None:
        if options.world == "fresh" and options.reward == "terminal":
            raise ConfigError(
                "task.reward = terminal needs task.world = persistent: a fresh world is judged every turn."
            )
        if options.world == "fresh" and options.max_commands_per_turn is not None:
            raise ConfigError(
                "task.max_commands_per_turn needs task.world = persistent: in a fresh world a turn is a whole build. Use "
                "task.max_commands."
            )
        self.options = options
        self.roles: int = options.agents
        self.agents = 1 if one_writer else options.agents
        self.turns = options.turns
        self.persistent = options.world == "persistent"
        self.gamma = 1.0 if self.persistent else 0.9

    def caps(self, default: int) -> tuple[int, int]:
        """Commands of one role: per turn, and for one build; ``default`` is the cap of a build if none is given."""
        total = self.options.max_commands or default
        if not self.persistent:
            return total, total
        per_turn = self.options.max_commands_per_turn or plan.turn_budget(total, self.turns)
        return min(per_turn, total), total

    def turn_reward(self, problem: Problem, after: Any, worth_before: float) -> tuple[float, bool]:
        """The reward of a turn and whether it ended the episode (TASKS section 0, first table).

        ``worth_before`` is R of the world that rewards are counted from: the empty one for terminal rewards, that of
        the last turn for dense ones.
        """
        value = self.final(problem, after)
        last = after.turn == self.turns
        if not self.persistent:
            return value - self.ceiling(problem), last or value > self.solved_above
        if self.options.reward == "terminal":
            return (value - worth_before if last else 0.0), last
        return value - worth_before, last or value >= self.ceiling(problem) - 1e-9

    def final(self, problem: Problem, state: Any) -> float:
        return self.components(problem, state)[self.options.profile]

    def paper_score(self, problem: Problem, state: Any) -> float:
        """Intersection over union of occupied and target cells, in per cent."""
        return 100.0 * self.components(problem, state)["iou"]

    def spread(self, shares: list[list[str]], per_turn: int, total: int) -> list[list[str]] | None:
        """The lines of a canonical build as joint actions, as early as the budgets allow; None if they are too small.

        ``shares`` are the lines of each role.
        """
        longest = max(len(share) for share in shares)
        turns = 1 if not self.persistent else max(1, -(-longest // per_turn))
        if longest > total or turns > self.turns:
            return None
        if self.options.reward == "terminal":
            turns = self.turns
        joint = []
        for turn in range(turns):
            window = slice(turn * per_turn, (turn + 1) * per_turn)
            texts = ["\n".join(share[window]) for share in shares]
            joint.append(["\n".join(filter(None, texts))] if self.agents < self.roles else texts)
        return joint
