"""Credit assignment: pure functions from the arrays of a forest to advantages and value targets, in float64."""

from collm.credit.actor_critic import actor_critic
from collm.credit.estimators import Credit, normalised, per_decision, temporal_difference

__all__ = ["Credit", "actor_critic", "normalised", "per_decision", "temporal_difference"]
