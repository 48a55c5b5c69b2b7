"""Settings of runs that were measured before the presets had their present ones."""

from __future__ import annotations

from collm.methods import Method


def flags(method: Method) -> list[str]:
    """What gives the preset ``quick`` the settings it had when docs/methods/results.json was made."""
    if not method.critic:
        return ["--rollout.problems", "24"]
    return ["--rollout.problems", "96", "--credit.lam", "0.5", "--critic.warmup-updates", "2"]
