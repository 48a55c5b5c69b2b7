"""Exact mean and variance of gradient estimators in a game, by recursion over joint histories.

The gradient is one number per agent and own history, and an episode visits each turn's histories once, so the trace of
an estimator's covariance is E Σ A²·s² − |E Σ A·s|². Groups need no enumeration: leave-one-out is the unbiased sample
covariance of return and score, whose variance is known in closed form.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from collm.analysis.game import AGENTS, Game, Play, Team, Values, joint_values, own_values, play


@dataclasses.dataclass(frozen=True)
class Moments:
    """One estimator, from one episode."""

    gradient: np.ndarray
    """(parameters,): its expectation."""
    second: float
    """E |ĝ|²."""
    advantages: np.ndarray
    """(turns, agents): variance of the advantage."""
    scores: np.ndarray
    """(turns, agents): E s²."""

    @property
    def variance(self) -> float:
        """Trace of the covariance."""
        return self.second - float(self.gradient @ self.gradient)


def moments(played: Play, values: Values, lam: float) -> Moments:
    """TD(λ) advantages against ``values``, which need not be those of the team.

    With λ = 1 the advantage is G_t − values, whatever the values: every Monte-Carlo baseline is a special case.
    """
    game, columns = played.game, len(values[0])
    mean, square = np.zeros((columns, 1)), np.zeros((columns, 1))
    gradients, second = [], 0.0
    variances, scores = np.zeros((game.horizon, AGENTS)), np.zeros((game.horizon, AGENTS))
    for turn in reversed(range(game.horizon)):
        first, squared = _step(played, values, turn, lam, mean, square)
        policy = played.policy[turn]
        mean, square = (policy * first).sum(2), (policy * squared).sum(2)
        weight = played.occupancy[turn][:, None] * policy
        for agent in reversed(range(AGENTS)):
            column = agent if columns > 1 else 0
            score = played.scores[turn][agent]
            pull = (weight * score * first[column]).sum(1)
            gradients.append(np.bincount(game.layers[turn].own[agent], pull, game.layers[turn].tables))
            second += float((weight * score**2 * squared[column]).sum())
            variances[turn, agent] = (weight * squared[column]).sum() - (weight * first[column]).sum() ** 2
            scores[turn, agent] = (weight * score**2).sum()
    return Moments(np.concatenate(gradients[::-1]), second, variances, scores)


def _step(
    played: Play, values: Values, turn: int, lam: float, mean: np.ndarray, square: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E[A | h, a] and E[A² | h, a], (columns, histories, joint actions), from those of the next turn."""
    game = played.game
    delta = game.layers[turn].rewards[None] - values[turn][:, :, None]
    if turn == game.horizon - 1:
        return delta, delta**2
    change = delta[..., None] + game.children(values[turn + 1])
    after, after_square = game.children(mean), game.children(square)
    first = (change + lam * after) @ game.chances
    return first, (change**2 + 2 * lam * change * after + lam**2 * after_square) @ game.chances


def constant(game: Game, levels: np.ndarray) -> Values:
    """Values that depend on nothing but the turn; ``levels`` is (turns,)."""
    return [np.full((1, layer.own.shape[1]), level) for layer, level in zip(game.layers, levels, strict=True)]


def turn_means(played: Play, values: Values) -> np.ndarray:
    """(turns,): E V(h_t), which is the mean return-to-go."""
    return np.array([float(weight @ value[0]) for weight, value in zip(played.occupancy, values, strict=True)])


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a gradient estimator costs and delivers."""

    bias: float
    """|E ĝ − ∇J|²."""
    variance: float
    """Trace of the covariance, times env steps per estimate: divided by a budget of env steps it is what remains."""
    advantages: np.ndarray
    """(turns,): variance of the advantage, mean over agents."""

    def error(self, env_steps: float) -> float:
        """Mean squared error of the mean of as many estimates as fit into this many env steps."""
        return self.bias + self.variance / env_steps


class Exact:
    """All estimators of one team."""

    def __init__(self, game: Game, team: Team) -> None:
        self.game = game
        self.played = play(game, team)
        self.joint = joint_values(self.played)
        self.own = own_values(self.played, self.joint)
        self.means = turn_means(self.played, self.joint)
        self.centred = moments(self.played, constant(game, self.means), 1.0)
        self.gradient = self.centred.gradient
        """(parameters,): ∇J. A baseline that depends on the turn alone does not bend it."""

    @property
    def performance(self) -> float:
        """J."""
        return float(self.means[0])

    def _single(self, found: Moments) -> Estimate:
        gap = found.gradient - self.gradient
        return Estimate(float(gap @ gap), found.variance * self.game.horizon, found.advantages.mean(1))

    def critic(self, values: Values, lam: float) -> Estimate:
        """TD(λ) against these values: one column is CoLLM-CC, one per agent CoLLM-DC."""
        return self._single(moments(self.played, values, lam))

    def reinforce(self) -> Estimate:
        """A = G."""
        return self._single(moments(self.played, constant(self.game, np.zeros(self.game.horizon)), 1.0))

    def mean_baseline(self) -> Estimate:
        """A = G − E G_t: the best that a baseline per turn without any history can know."""
        return self._single(self.centred)

    def leave_one_out(self, group: int) -> Estimate:
        """A = G − mean of the others: Var of the unbiased sample covariance of ``group`` pairs (G, s).

        Per parameter E[(G−μ)²s²]/K + (Var G·Var s − (K−2)·g²)/(K(K−1)); an estimate takes K·H env steps.
        """
        found, count = self.centred, float(group)
        product = float((found.advantages * found.scores).sum())
        squares = float(self.gradient @ self.gradient)
        variance = found.second / count + (product - (count - 2) * squares) / (count * (count - 1))
        return Estimate(0.0, variance * count * self.game.horizon, found.advantages.mean(1) * count / (count - 1))

    def group_mean(self, group: int) -> Estimate:
        """A = G − mean of the group: (K−1)/K of leave-one-out."""
        alone, share = self.leave_one_out(group), (group - 1) / group
        squares = float(self.gradient @ self.gradient)
        return Estimate(squares / group**2, alone.variance * share**2, alone.advantages * share**2)

    def greedy_baseline(self, team: Team, group: int) -> Estimate:
        """A = G − return-to-go of a greedy episode, shared by the ``group``: (K + 1)·H env steps per estimate."""
        certain = [np.where(logits > 0, 500.0, -500.0) for logits in team]
        greedy = play(self.game, certain)
        levels = turn_means(greedy, joint_values(greedy))
        chance = moments(greedy, constant(self.game, levels), 1.0).advantages
        found = moments(self.played, constant(self.game, levels), 1.0)
        gap = found.gradient - self.gradient
        extra = float((chance * found.scores).sum())
        spread = (found.advantages + chance).mean(1)
        return Estimate(float(gap @ gap), (found.variance + extra) * self.game.horizon * (group + 1) / group, spread)
