"""``collm analyze game``: everything about the game as rows, one per measured thing. No row depends on another."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np

from collm.analysis.convergence import LEARNERS, Budget, Learning, by_exact_gradient, failed, train
from collm.analysis.drift import ascent, drifts
from collm.analysis.folder import Row
from collm.analysis.game import AGENTS, Game, GameOptions, Team, Values, lifted
from collm.analysis.learned import Kind
from collm.analysis.moments import Estimate, Exact
from collm.analysis.sample import Sampled, sample
from collm.credit import returns_to_go
from collm.errors import ConfigError
from collm.options import Range, check
from collm.randomness import generator


@dataclasses.dataclass(frozen=True)
class ConvergenceSettings:
    """Training in the game."""

    horizons: tuple[Annotated[int, Range(1, 6)], ...] = (2, 4)
    """Turns H."""
    seeds: Annotated[int, Range(2)] = 48
    """Teams trained per method."""
    env_steps: Annotated[int, Range(1)] = 6000
    """Budget of each."""
    episodes: Annotated[int, Range(2)] = 16
    """Episodes per update, in groups of four where the method compares."""
    lrs: tuple[Annotated[float, Range(0, open_low=True)], ...] = (4.0, 12.0)
    """Step sizes; figures and tables show each method at its best."""
    critic_lr: Annotated[float, Range(0, 1, open_low=True)] = 0.3
    """Step of the critics to their targets."""
    lams: tuple[Annotated[float, Range(0, 1)], ...] = (0.0, 0.9)
    """λ of the methods with a critic, for advantages and targets."""
    critics: tuple[Literal["table", "linear"], ...] = ("table", "linear")
    """A number per history, or a weight for each of four facts about it."""
    hidden: Annotated[float, Range(0, 1)] = 0.5
    """How much of the partner is hidden."""


@dataclasses.dataclass(frozen=True)
class GameStudy:
    """What is varied, and how closely it is looked at."""

    parts: tuple[Literal["estimators", "drift", "convergence"], ...] = ("estimators", "drift", "convergence")
    """Bias and variance; how far the critics' targets move; which share of seeds fails."""
    horizons: tuple[Annotated[int, Range(1, 6)], ...] = (1, 2, 3, 4)
    """Turns H."""
    rewards: tuple[Literal["dense", "terminal"], ...] = ("dense", "terminal")
    """A reward at every turn, or their sum at the last one."""
    hidden: tuple[Annotated[float, Range(0, 1)], ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    """Probability that an agent does not see what the partner has just chosen."""
    past: tuple[Annotated[float, Range(-2, 2)], ...] = (0.5, -0.5)
    """What it is worth to choose as the partner did before. Drift and convergence use the first."""
    lams: tuple[Annotated[float, Range(0, 1)], ...] = (0.0, 0.5, 0.9, 1.0)
    """λ of the estimators with a critic."""
    groups: tuple[Annotated[int, Range(2)], ...] = (2, 4, 8)
    """Group sizes K. The second, or the only one, is the reference of all costs, by leave-one-out."""
    teams: Annotated[int, Range(1)] = 6
    """Random teams; numbers are means over them."""
    lr: Annotated[float, Range(0, open_low=True)] = 2.0
    """Step of the exact gradient ascent on which values become stale and targets drift."""
    lag: Annotated[int, Range(1)] = 3
    """By how many updates stale values are behind."""
    fit_episodes: Annotated[int, Range(1)] = 64
    """Episodes to which fitted values are fitted."""
    fits: Annotated[int, Range(1)] = 4
    """Fits per team, each to episodes of its own."""
    updates: Annotated[int, Range(1)] = 40
    """Updates over which drift is measured."""
    budget: Annotated[int, Range(1)] = 1024
    """Env steps at which mean squared errors are compared."""
    convergence: ConvergenceSettings = ConvergenceSettings()

    @property
    def reference(self) -> int:
        """K of the leave-one-out estimator that all costs are relative to."""
        return self.groups[min(1, len(self.groups) - 1)]


def check_study(study: GameStudy) -> None:
    """Raise ConfigError for values out of range, lists without anything in them and batches that do not come in groups."""
    check(study)
    require_values(study)
    require_values(study.convergence, "convergence.")
    if study.convergence.episodes % _GROUP:
        raise ConfigError(
            f"convergence.episodes = {study.convergence.episodes}: must be a multiple of the group size {_GROUP}."
        )


def require_values(options: Any, where: str = "") -> None:
    """Raise ConfigError for an empty list."""
    for field in dataclasses.fields(options):
        if getattr(options, field.name) == ():
            raise ConfigError(f"{where}{field.name}: at least one value is needed.")


def rows(study: GameStudy) -> Iterator[Row]:
    """All rows of a study, one by one as they are found."""
    check_study(study)
    for horizon, reward in itertools.product(study.horizons, study.rewards):
        if "estimators" in study.parts:
            for hidden, past in itertools.product(study.hidden, study.past):
                yield from _estimators(study, GameOptions(horizon, reward, hidden, past))
        if "drift" in study.parts:
            for hidden in study.hidden:
                yield from _drift(study, GameOptions(horizon, reward, hidden, study.past[0]))
    if "convergence" in study.parts:
        for horizon, reward in itertools.product(study.convergence.horizons, study.rewards):
            options = GameOptions(horizon, reward, study.convergence.hidden, study.past[0])
            yield from _convergence(study.convergence, options)


def _estimators(study: GameStudy, options: GameOptions) -> Iterator[Row]:
    game = Game(options)
    for seed in range(study.teams):
        path = ascent(game, game.team(seed), study.lag, study.lr)
        before, exact = Exact(game, path[0]), Exact(game, path[-1])
        reference = exact.leave_one_out(study.reference).variance
        common = {
            "kind": "estimator",
            **dataclasses.asdict(options),
            "team": seed,
            "performance": exact.performance,
            "gradient2": float(exact.gradient @ exact.gradient),
        }
        for label, estimate in _all_estimates(study, exact, before, path[-1], seed):
            yield {
                **common,
                **label,
                "bias2": estimate.bias,
                "variance": estimate.variance,
                "cost": estimate.variance / reference,
                "error": estimate.error(study.budget),
                "advantage_variance": estimate.advantages.tolist(),
            }


def _all_estimates(
    study: GameStudy, exact: Exact, before: Exact, team: Team, seed: int
) -> Iterator[tuple[Row, Estimate]]:
    yield _label("mareinforce"), exact.reinforce()
    yield _label("mean-baseline"), exact.mean_baseline()
    for group in study.groups:
        yield _label("marloo", group=group), exact.leave_one_out(group)
        yield _label("magrpo", group=group), exact.group_mean(group)
        yield _label("maremax-greedy", group=group), exact.greedy_baseline(team, group)
    tables = [("exact", exact.joint, exact.own), ("stale", before.joint, before.own)]
    for fit in range(study.fits):
        tables.append(("fitted", *_fitted(exact, team, study.fit_episodes, seed, fit)))
    for (values, joint, own), lam in itertools.product(tables, study.lams):
        yield _label("collm-cc", lam=lam, values=values), exact.critic(joint, lam)
        yield _label("collm-dc", lam=lam, values=values), exact.critic(own, lam)


def _label(estimator: str, group: int | None = None, lam: float | None = None, values: str | None = None) -> Row:
    return {"estimator": estimator, "group": group, "lam": lam, "values": values}


def _fitted(exact: Exact, team: Team, episodes: int, seed: int, fit: int) -> tuple[Values, Values]:
    """Mean returns-to-go per history over sampled episodes, joint and own; a history not met has its turn's mean."""
    game = exact.game
    of = np.zeros(episodes, dtype=np.int64)
    draw = generator("analyze game", "fit", seed, fit)
    played = sample(game, [logits[None] for logits in team], of, of, draw)
    returns = returns_to_go(played.forest, 1.0)
    joint = _means(played, returns[:, :1], of, [np.zeros((1, 1, layer.own.shape[1])) for layer in game.layers])
    own = _means(played, returns, of, [np.zeros((1, AGENTS, layer.tables)) for layer in game.layers])
    return joint, [lifted(exact.played, turn, table) for turn, table in enumerate(own)]


def _means(played: Sampled, returns: np.ndarray, of: np.ndarray, like: list[np.ndarray]) -> Values:
    found = []
    totals, counts = played.scatter(returns, of, like), played.scatter(np.ones_like(returns), of, like)
    for turn, (total, count) in enumerate(zip(totals, counts, strict=True)):
        usual = returns[played.forest.turn == turn].mean()
        found.append(np.where(count > 0, total / np.maximum(count, 1), usual)[0])
    return found


def _drift(study: GameStudy, options: GameOptions) -> Iterator[Row]:
    game = Game(options)
    for seed in range(study.teams):
        for update, found in enumerate(drifts(game, ascent(game, game.team(seed), study.updates, study.lr))):
            label = {"kind": "drift", **dataclasses.asdict(options), "team": seed, "update": update}
            yield {**label, **dataclasses.asdict(found)}


_GROUP = 4


def _convergence(settings: ConvergenceSettings, options: GameOptions) -> Iterator[Row]:
    game = Game(options)
    for lr in settings.lrs:
        budget = Budget(settings.seeds, settings.env_steps, settings.episodes, _GROUP, lr, settings.critic_lr)
        label = {"kind": "convergence", **dataclasses.asdict(options), "lr": lr}
        yield {**label, **_label("exact gradient"), **_outcome(game, by_exact_gradient(game, budget))}
        for learning, kind, lam in _learners(settings):
            reached = train(game, learning, kind or "table", lam or 0.0, budget)
            yield {**label, **_label(learning.name, lam=lam, values=kind), **_outcome(game, reached)}


def _learners(settings: ConvergenceSettings) -> Iterator[tuple[Learning, Kind | None, float | None]]:
    for learning in LEARNERS:
        if learning.view is None:
            yield learning, None, None
        else:
            for kind, lam in itertools.product(settings.critics, settings.lams):
                yield learning, kind, lam


def _outcome(game: Game, reached: np.ndarray) -> Row:
    return {
        "seeds": len(reached),
        "failed": float(failed(game, reached).mean()),
        "performance": float(reached.mean()),
        "optimum": game.optimum,
        "reached": reached.tolist(),
    }
