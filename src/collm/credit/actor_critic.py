"""The credit of the actor-critic methods."""

from __future__ import annotations

from collm.credit.estimators import Credit, Evidence, per_decision, reach, temporal_difference


def actor_critic(evidence: Evidence) -> Credit:
    """TD(λ) advantages against a critic: CoLLM-CC with V(h_t), CoLLM-DC with one column V(h_i,t) per agent.

    With one value column for the team the advantage δ_t is shared by all agents (paper: CoLLM-CC). A critic that also
    has Q(h_t, a_t) gives A = Q − V instead: the SARSA residual of Q itself has expectation 0 when Q is exact.
    """
    forest, values, bootstraps = evidence.forest, evidence.values, evidence.bootstraps
    assert values is not None
    assert bootstraps is not None
    advantages, _ = temporal_difference(forest, values, bootstraps, evidence.gamma, evidence.lam)
    slow = evidence.slow or (values, bootstraps)
    _, targets = temporal_difference(forest, *slow, evidence.gamma, evidence.target_lam)
    if evidence.action_values is not None:
        advantages = evidence.action_values - values
    return Credit(per_decision(forest, advantages), per_decision(forest, reach(forest)[:, None]), targets)
