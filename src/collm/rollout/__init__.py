"""Rollouts: a team plays a task, all live episodes in lock-step, and what happened becomes a forest of nodes."""
