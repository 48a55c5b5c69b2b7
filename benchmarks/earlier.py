"""Settings of runs that were measured before the presets had their present ones."""

from __future__ import annotations

from collm.methods import Method

_STEPS = ("--policy.lr", "8e-4", "--sampling.temperature", "1")
TASKS = ("--rollout.problems", "48", *_STEPS)
"""What gives the preset ``quick`` the settings it had when docs/tasks/results.json was made."""


def flags(method: Method) -> list[str]:
    """The same for docs/methods/results.json."""
    if not method.critic:
        return ["--rollout.problems", "24", *_STEPS]
    return ["--rollout.problems", "96", "--credit.lam", "0.5", "--critic.warmup-updates", "2", *_STEPS]
