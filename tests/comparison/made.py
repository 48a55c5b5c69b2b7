"""Records of comparisons that nobody ran, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np

PROBLEMS = 8


def record(setting: str, arm: str, seed: int, level: float, trained: bool = True, **changes: Any) -> dict[str, Any]:
    """A cell whose team scores about ``level`` on every problem."""
    rng = np.random.default_rng([seed, len(setting), *arm.encode()])
    scores = (level + rng.normal(size=PROBLEMS)).tolist()
    found: dict[str, Any] = {
        "setting": setting,
        "arm": arm,
        "seed": seed,
        "conditions": {"task": setting, "options": {"turns": 3}, "env_steps": 400, "problems": PROBLEMS},
        "method": arm,
        "single": arm in ("grpo", "ac", "raw"),
        "model": "tiny",
        "model_hash": "0123456789abcdef",
        "after": team(scores),
    }
    if trained:
        steps = [100, 200, 300, 400]
        found |= {
            "config": {"policy": {"lr": 8e-4}},
            "env_steps": 400,
            "seconds": 40.0,
            "skipped_steps": 0,
            "caveats": [],
            "before": team([30.0] * PROBLEMS),
            "curve": {
                "env_steps": steps,
                "seconds": [10.0, 20.0, 30.0, 40.0],
                "score": [30 + (level - 30) * part for part in (0.2, 0.5, 0.8, 1.0)],
                "explained_variance": [None, 0.1, 0.4, 0.6],
                "gradient_signal": [0.1, 0.2, 0.2, 0.1],
            },
        }
    return {**found, **changes}


def team(scores: list[float]) -> dict[str, Any]:
    mean = float(np.mean(scores))
    decoded = {"score": mean, "score_paper": mean, "score_hardened": mean - 5, "paper_score": mean, "iou": mean / 100}
    decoded |= {"seconds_per_problem": 0.01, "tokens_written": [12.0, 13.0], "contribution": [0.5, 0.4]}  # type: ignore[dict-item]
    return {"sampled": decoded, "greedy": decoded, "per_problem": scores}
