"""Train `tiny` on Pursuit, a game of PettingZoo that neither it nor CoLLM was built for.

Two pursuers hunt eight prey on a field of 6 × 6 for four moves, each of which catches at most one. A pursuer sees where prey
is beside it, and answers with a move; catches pay the team. `tiny` has never seen this game, and begins with what it knows:
commands for blocks, code and prose, of which a number is sometimes a move.

    pip install 'collm[pettingzoo]' pygame-ce
    python examples/pettingzoo_game.py --seed 0
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pettingzoo.sisl import pursuit_v5

import collm

MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, 1), "down": (0, -1), "stay": (0, 0)}
"""In the order of the game's actions."""
TURNS, PREY = 4, 8


def make_env() -> Any:
    return pursuit_v5.parallel_env(
        max_cycles=TURNS,
        x_size=6,
        y_size=6,
        n_pursuers=2,
        n_evaders=PREY,
        freeze_evaders=True,
        surround=False,
        n_catch=1,
        obs_range=3,
        catch_reward=1.0,
        tag_reward=0.0,
        urgency_reward=0.0,
    )


def observe(agent: str, grid: Any) -> str:
    """The game shows each pursuer 3 × 3 fields in three layers, of which the last one counts prey."""
    near = [name for name, (x, y) in MOVES.items() if grid[1 + x, 1 + y, 2]]
    return f"Prey: {', '.join(near) or 'none'}"


def make_task() -> collm.Task:
    # A catch pays the two pursuers half each, so their mean is half a point for each of the prey.
    return collm.from_parallel_env(
        make_env, "pursuit", turns=TURNS, ceiling=PREY / 2, actions=tuple(MOVES), default="stay", observe=observe
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--env-steps", type=int, default=3840)
    options.add_argument("--problems", type=int, default=48, help="episodes per update")
    options.add_argument("--test-problems", type=int, default=96)
    options.add_argument("--out", type=Path)
    chosen = options.parse_args()
    task = make_task()
    values = {
        "seed": chosen.seed,
        "env_steps": chosen.env_steps,
        "rollout": {"problems": chosen.problems},
        "sampling": {"max_new_tokens": 4},
        "evaluation": {"test_problems": chosen.test_problems, "every": 0},
    }
    out = chosen.out or Path(f"runs/pursuit-{chosen.seed}")
    summary = collm.train(collm.resolve(task, "collm-cc", values=values), out, task=task)
    for name in ("score", "valid"):
        print(f"{name}: {summary['raw'][name]:.2f} → {summary['trained'][name]:.2f}")


if __name__ == "__main__":
    main()
