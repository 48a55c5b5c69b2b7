"""Train `tiny` on Simple Formation, a PettingZoo environment that neither it nor CoLLM was built for.

Two agents have to stand on a circle around a landmark, opposite each other, and are paid for how near they are to that.
Each is told in which direction the landmark lies, and its move holds for eight steps of the game. `tiny` has never seen
this game and writes what it knows: commands for blocks, code and prose. So any text is read as a move, by the first of
the letters l, r, d and u in it, or as l: which move the agents make where is what they learn. Were silence to mean
standing still, they would learn that first, because a wrong move costs more.

    pip install 'collm[pettingzoo]' mpe2
    python examples/pettingzoo_game.py --seed 0

It printed, with seeds 0 and 1:

    score: 0.76 → 14.48        score: 0.53 → 10.89
    valid: 0.61 → 1.00         valid: 0.63 → 1.00
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mpe2 import simple_formation_v1

import collm

MOVES = {"l": 1, "r": 2, "d": 3, "u": 4}
"""Left, right, down, up; the game's action 0 is to stay."""
RULES = "You move on a plane. Write l, r, d or u to go left, right, down or up."
STEPS = 8


def make_env() -> Any:
    return simple_formation_v1.parallel_env(N=2, max_cycles=STEPS)


def observe(agent: str, numbers: Any) -> str:
    """Where the landmark lies, from the last two of the six numbers that the game shows."""
    x, y = numbers[4:6]
    direction = ("left" if x < 0 else "right") if abs(x) > abs(y) else ("down" if y < 0 else "up")
    return f"The landmark is {direction}"


def act(agent: str, text: str, numbers: Any) -> int | None:
    """The first letter that is a move."""
    return next((MOVES[letter] for letter in text.lower() if letter in MOVES), None)


def make_task() -> collm.Task:
    # The game pays minus the distance. To earn the ceiling, both would have to stand right from the beginning.
    return collm.from_parallel_env(
        make_env,
        "formation",
        turns=1,
        repeat=STEPS,
        ceiling=0.0,
        rules=RULES,
        default=MOVES["l"],
        observe=observe,
        act=act,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--env-steps", type=int, default=4800)
    options.add_argument("--problems", type=int, default=12, help="starts per update, each played eight times")
    options.add_argument("--test-problems", type=int, default=128)
    options.add_argument("--out", type=Path)
    chosen = options.parse_args()
    task = make_task()
    values = {
        "seed": chosen.seed,
        "env_steps": chosen.env_steps,
        "run": {"threads": 1},
        "rollout": {"problems": chosen.problems, "samples": 8},
        "sampling": {"max_new_tokens": 6},
        "evaluation": {"test_problems": chosen.test_problems, "every": 0},
    }
    out = chosen.out or Path(f"runs/formation-{chosen.seed}")
    # What a start is worth hides what a move adds, and only the same start played again tells them apart.
    summary = collm.train(collm.resolve(task, "marloo", values=values), out, task=task)
    for name in ("score", "valid"):
        print(f"{name}: {summary['raw'][name]:.2f} → {summary['trained'][name]:.2f}")


if __name__ == "__main__":
    main()
