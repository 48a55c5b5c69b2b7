"""What a HouseBuild world is worth: the released reward, the hardened one, and their parts (reference: TASKS 0, 6)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from collm.tasks.minecraft.boxes import Cell
from collm.tasks.minecraft.houses import HouseProblem
from collm.tasks.minecraft.world import Conduct, Placed, idle_weight, idleness

MAXIMUM = 1.0
THREAT_WEIGHT = 0.1
OVERLAP_WEIGHT = 0.1
INVALID_WEIGHT = 0.1
IDLE_WEIGHT = 0.25

World = Mapping[Cell, Placed]
"""The non-air cells of the box."""


@dataclasses.dataclass(frozen=True)
class Threat:
    """The spiders of an episode and what they have done."""

    attacks: tuple[int, ...]
    """Damage of each spider in one turn."""
    full: int
    """Hit points at the start."""
    hp: int
    """Hit points left, at least 0."""
    killed: bool = False
    """Whether the spiders of this build are dead."""

    @property
    def damage(self) -> int:
        """Damage of all spiders in one turn."""
        return sum(self.attacks)

    def after_turn(self, kill: bool) -> Threat:
        """What a turn does: spiders that nobody has killed attack."""
        killed = kill or self.killed
        hp = self.hp if killed else max(0, self.hp - self.damage)
        return dataclasses.replace(self, hp=hp, killed=killed)

    @property
    def released_penalty(self) -> float:
        """0.1·min(1, D/HP) if nobody killed the spiders in this build (TASKS 6.4)."""
        return 0.0 if self.killed else THREAT_WEIGHT * min(1.0, self.damage / self.full)

    @property
    def carried_penalty(self) -> float:
        """0.1·(share of the hit points that is lost)."""
        return THREAT_WEIGHT * (1.0 - self.hp / self.full)


def weight_of_idling(problem: HouseProblem, roles: int, limits: Mapping[str, float]) -> float:
    """0.25, or so much that the others, with these limits each, score at most 60 without one of them.

    The floor is the one of an episode whose hit points are all lost, which asks for the greatest weight.
    """
    paid = sum(min(count, (roles - 1) * min(count, limits[block])) for block, count in problem.counts.items())
    return idle_weight(IDLE_WEIGHT, MAXIMUM * paid / len(problem.target), -THREAT_WEIGHT, MAXIMUM)


def evaluate(
    problem: HouseProblem, world: World, conduct: Conduct, threat: Threat, roles: int, weight: float = IDLE_WEIGHT
) -> dict[str, float]:
    """All components of a world; ``paper`` and ``hardened`` are the two rewards R (maximum 1 for both).

    ``idle`` counts the right cells of each of ``roles`` roles; while there are none, nobody idles. ``weight`` is what
    idling costs.
    """
    target = problem.target
    held = [0] * roles
    for cell, placed in world.items():
        if target.get(cell) == placed.block:
            held[placed.role] += 1
    right = sum(held)
    both = len(world.keys() & target.keys())
    union = len(world) + len(target) - both
    # Air cells match where neither the target nor the world has a block.
    match = (right + len(problem.cells) - union) / len(problem.cells)
    typed = right / union
    idle = idleness(held)
    paper = match - threat.released_penalty
    hardened = (
        typed
        - threat.carried_penalty
        - OVERLAP_WEIGHT * conduct.overlap
        - INVALID_WEIGHT * conduct.invalid
        - weight * idle
    )
    return {
        "paper": paper,
        "hardened": hardened,
        "match": match,
        "iou": both / union,
        "typed_iou": typed,
        "penalty": threat.released_penalty,
        "hp": float(threat.hp),
        "overlap": conduct.overlap,
        "valid": 1.0 - conduct.invalid,
        "idle": idle,
    }
