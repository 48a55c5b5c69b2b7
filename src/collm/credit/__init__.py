"""Credit assignment: pure functions from the arrays of a forest to advantages and value targets, in float64."""

from collm.credit.actor_critic import actor_critic
from collm.credit.estimators import Credit, Evidence, per_decision, returns_to_go, temporal_difference
from collm.credit.monte_carlo import greedy_baseline, greedy_returns, group_max, group_mean, leave_one_out, reinforce
from collm.credit.normalisation import normalised
from collm.credit.running import RunningReturns

__all__ = [
    "Credit",
    "Evidence",
    "RunningReturns",
    "actor_critic",
    "greedy_baseline",
    "greedy_returns",
    "group_max",
    "group_mean",
    "leave_one_out",
    "normalised",
    "per_decision",
    "reinforce",
    "returns_to_go",
    "temporal_difference",
]
