"""How well the crowd that `tiny` imitates builds houses, on held-out ones: ``python benchmarks/crowd.py``.

Prints scores (0–100) of the crowd as it is, and of teams whose members all have one set of habits.
"""

from __future__ import annotations

import itertools

import numpy as np

from collm.randomness import generator
from collm.tasks.minecraft.house_build import HouseBuild, HouseBuildOptions
from collm.tasks.minecraft.house_demonstrations import CHOICES, KILLS, Habits, demonstrate

EPISODES = 2
"""Episodes per house of the test split."""


def scores(habits: list[Habits] | None) -> dict[str, np.ndarray]:
    """The score of every episode of the quick form under each profile; builders do not look at rewards."""
    task = HouseBuild(HouseBuildOptions(size="small", turns=2))
    random = generator("crowd", repr(habits))
    states = [
        (problem, demonstrate(task, problem, random, habits)[1])
        for problem in task.problems("test")
        for _ in range(EPISODES)
    ]
    return {name: np.array([task.under(name).score(*state) for state in states]) for name in task.profiles}


def report(name: str, found: np.ndarray) -> None:
    low, quarter, median, upper, high = np.percentile(found, [5, 25, 50, 75, 95])
    spread = f"{low:5.0f} {quarter:5.0f} {median:5.0f} {upper:5.0f} {high:5.0f}"
    print(f"{name:44} mean {found.mean():5.1f}   5, 25, 50, 75, 95 %: {spread}")


def main() -> None:
    teams: dict[str, list[Habits] | None] = {"the crowd": None}
    for first, second in itertools.combinations_with_replacement(CHOICES, 2):
        for kill in KILLS:
            teams[f"{first} + {second}, kill {kill}"] = [
                Habits(choice, kill, miss=0.0, effort=1.0, forgets=False, follows=True) for choice in (first, second)
            ]
    found = {name: scores(habits) for name, habits in teams.items()}
    for profile in HouseBuild.profiles:
        best = sorted(found, key=lambda name: -found[name][profile].mean())[:3]
        for name in ["the crowd", *best]:
            report(f"{profile}: {name}", found[name][profile])


if __name__ == "__main__":
    main()
