"""How well the crowd that `tiny` imitates builds houses, on held-out ones: ``python benchmarks/crowd.py``.

Prints scores (0–100) of the crowd as it is, and of teams whose members all have one set of habits.
"""

from __future__ import annotations

import itertools

import numpy as np

from collm.randomness import generator
from collm.tasks.minecraft.house_build import HouseBuild, HouseBuildOptions
from collm.tasks.minecraft.house_demonstrations import CHOICES, KILLS, Habits, demonstrate

EPISODES = 4
"""Episodes per house of the test split."""


def scores(task: HouseBuild, habits: list[Habits] | None) -> np.ndarray:
    """The score of every episode."""
    random = generator("crowd", repr(habits))
    return np.array(
        [
            task.score(problem, demonstrate(task, problem, random, habits)[1])
            for problem in task.problems("test")
            for _ in range(EPISODES)
        ]
    )


def report(name: str, found: np.ndarray) -> None:
    low, quarter, median, upper, high = np.percentile(found, [5, 25, 50, 75, 95])
    spread = f"{low:5.0f} {quarter:5.0f} {median:5.0f} {upper:5.0f} {high:5.0f}"
    print(f"{name:44} mean {found.mean():5.1f}   5, 25, 50, 75, 95 %: {spread}")


def main() -> None:
    for profile in ("paper", "hardened"):
        task = HouseBuild(HouseBuildOptions(size="small", turns=2, profile=profile))  # type: ignore[arg-type]
        report(f"{profile}: the crowd", scores(task, None))
        teams = {
            f"{profile}: {first} + {second}, kill {kill}": [
                Habits(choice, kill, miss=0.0, effort=1.0, forgets=False, follows=True) for choice in (first, second)
            ]
            for first, second in itertools.combinations_with_replacement(CHOICES, 2)
            for kill in KILLS
        }
        found = {name: scores(task, habits) for name, habits in teams.items()}
        for name in sorted(found, key=lambda name: -found[name].mean())[:3]:
            report(name, found[name])
        print()


if __name__ == "__main__":
    main()
