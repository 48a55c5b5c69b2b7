"""``collm analyze TASK``: a fixed team of language models, its critics fitted to it, and the rows that follow."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np

from collm.analysis.folder import Row
from collm.analysis.knowable import KnowableSettings
from collm.analysis.pool import Estimator, Gradients, Pool, bias, gradients, square, variance
from collm.analysis.sketch import sketched_scores
from collm.analysis.team_convergence import TeamConvergenceSettings
from collm.analysis.team_drift import TeamDriftSettings
from collm.config import TrainConfig
from collm.credit import Evidence, actor_critic, greedy_returns, leave_one_out, returns_to_go
from collm.errors import ConfigError
from collm.learning.learner import Learner
from collm.methods import METHODS
from collm.models.policy import Policy
from collm.options import Range
from collm.randomness import generator
from collm.rollout.collector import Job, collect
from collm.rollout.forest import Forest
from collm.rollout.standing import Standing
from collm.tasks.protocol import Problem, Task
from collm.training.setup import make_learner

Encoding = Literal["time-order", "state"]
CRITICS: dict[str, tuple[str, Encoding]] = {"joint": ("collm-cc", "time-order"), "own": ("collm-dc", "time-order")}
"""What a critic reads → whose it is, and its encoding."""
TOLD: dict[str, tuple[str, Encoding]] = {"state": ("collm-cc", "state")}
"""The critic of ``told``, in the same form."""


@dataclasses.dataclass(frozen=True)
class TeamStudy:
    """How much is played and compared."""

    parts: tuple[Literal["estimators", "knowable", "drift", "convergence"], ...] = ("estimators",)
    """Bias and variance; what of the return a critic could know; how far the critics' targets move while the team trains;
    which share of seeds fails. The last two train, which takes as long as training does."""
    problems: Annotated[int, Range(3)] = 24
    """Training problems in the pool; standard errors are over them."""
    episodes: Annotated[int, Range(2)] = 8
    """Episodes of each."""
    lams: tuple[Annotated[float, Range(0, 1)], ...] = (0.0, 0.5, 0.9, 1.0)
    """λ of the estimators with a critic."""
    groups: tuple[Annotated[int, Range(2)], ...] = (2, 4)
    """Group sizes K. The last is the reference of all costs, by leave-one-out."""
    partitions: Annotated[int, Range(1)] = 16
    """Random partitions of each problem's episodes into groups."""
    width: Annotated[int, Range(8)] = 512
    """Numbers to which the score vector of a response is squeezed."""
    fit_episodes: Annotated[int, Range(1)] = 128
    """Further episodes, to which the critics are fitted."""
    fit_passes: Annotated[int, Range(1)] = 4
    """Passes over them."""
    told: bool = False
    """Also a central critic that is told the task's state (critic.encoding: state) instead of reading histories."""
    budget: Annotated[int, Range(1)] = 384
    """Env steps at which mean squared errors are compared."""
    seed: Annotated[int, Range(0)] = 0
    """What is drawn."""
    knowable: KnowableSettings = KnowableSettings()
    drift: TeamDriftSettings = TeamDriftSettings()
    convergence: TeamConvergenceSettings = TeamConvergenceSettings()


def check_groups(study: TeamStudy) -> None:
    """Raise ConfigError if a group does not fit into a problem's episodes."""
    if max(study.groups) > study.episodes:
        raise ConfigError(f"groups = {max(study.groups)}: at most episodes = {study.episodes}.")


def estimators(study: TeamStudy) -> Iterator[Estimator]:
    """All methods for teams, and the mean return per turn as a baseline (leave-one-out in groups of one)."""
    yield Estimator("mean-baseline", leave_one_out)
    for method in METHODS.values():
        if method.single:
            continue
        if method.critic:
            views = (method.critic, "state") if study.told and method.critic == "joint" else (method.critic,)
            for view, lam in itertools.product(views, study.lams):
                name = f"{method.name}, state" if view == "state" else method.name
                yield Estimator(name, method.credit, critic=view, lam=lam)
        elif method.siblings > 1 or method.greedy:
            for group in study.groups:
                yield Estimator(method.name, method.credit, group=group, greedy=method.greedy)
        else:
            yield Estimator(method.name, method.credit)


def team_rows(
    study: TeamStudy, config: TrainConfig[Any], task: Task, policies: Sequence[Policy], label: Mapping[str, Any]
) -> Iterator[Row]:
    """All rows of one task with one team. ``label`` says which variation it is."""
    pool, quality = make_pool(study, config, task, policies)
    yield {"kind": "team", **label, **quality}
    for row in pool_rows(study, pool):
        yield {"kind": "estimator", **label, **row}


def pool_rows(study: TeamStudy, pool: Pool) -> list[Row]:
    """One row per estimator, from a pool of episodes."""
    draw = generator("analyze", "partitions", study.seed)
    whole = gradients(pool, Estimator("reference", leave_one_out, group=pool.episodes), 1, draw)
    rows = [_row(study, pool, whole, estimator, draw) for estimator in estimators(study)]
    (base,) = [row for row in rows if row["estimator"] == "marloo" and row["group"] == study.groups[-1]]
    slope = square(whole)
    common = {"gradient2": slope.value, "gradient2_error": slope.error}
    return [{**row, **common, "cost": row["variance"] / base["variance"]} for row in rows]


def _row(study: TeamStudy, pool: Pool, whole: Gradients, estimator: Estimator, draw: np.random.Generator) -> Row:
    found = gradients(pool, estimator, study.partitions, draw)
    spread, (bent, chance) = variance(found), bias(found, whole, draw)
    return {
        "estimator": estimator.name,
        "group": estimator.group,
        "lam": estimator.lam,
        "values": "fitted" if estimator.critic else None,
        "variance": spread.value,
        "variance_error": spread.error,
        "bias2": bent.value,
        "bias2_error": bent.error,
        "bias_chance": chance,
        "error": max(bent.value, 0.0) + spread.value / study.budget,
        "advantage_variance": found.advantages.tolist(),
    }


def make_pool(
    study: TeamStudy, config: TrainConfig[Any], task: Task, policies: Sequence[Policy]
) -> tuple[Pool, dict[str, Any]]:
    """Play, fit critics on other episodes, score every response. Also says how good the critics are."""
    gamma = task.gamma if config.credit.gamma is None else config.credit.gamma
    forest, greedy = _play(study, config, task, policies)
    _require_spread(forest, gamma)
    values = critics_values(study, config, task, policies, forest, gamma)
    key = ("analyze", "sketch", study.seed)
    scores = sketched_scores(policies, forest, config.sampling.temperature, study.width, key)
    found = greedy_returns(forest, greedy, gamma)
    pool = Pool(forest, scores, study.episodes, gamma, values, found, len(greedy) / study.problems)
    returns = forest.returns().mean()
    explained = {view: _explained(pool, view) for view in values}
    return pool, {
        "return": float(returns),
        "turns": pool.steps,
        "explained": explained,
        "cut": int(forest.truncated.sum()),
    }


def _require_spread(forest: Forest, gamma: float) -> None:
    """Raise ConfigError if all episodes of each problem have the same returns: then every estimate is 0."""
    returns, group = returns_to_go(forest, gamma), forest.group
    low, high = (np.full((int(group.max()) + 1, forest.agents), end) for end in (np.inf, -np.inf))
    np.minimum.at(low, group, returns)
    np.maximum.at(high, group, returns)
    if (high <= low).all():
        raise ConfigError(
            "all episodes of a problem have the same return: this team no longer explores, and there is nothing to "
            "estimate. Use an earlier checkpoint, a higher sampling.temperature, or another task."
        )


def _play(study: TeamStudy, config: TrainConfig[Any], task: Task, policies: Sequence[Policy]) -> tuple[Forest, Forest]:
    """The pool's episodes, and a greedy one on each of its problems."""
    problems = first_problems(task, study.problems, "problems")
    jobs = [Job(p, group, sample) for group, p in enumerate(problems) for sample in range(study.episodes)]
    key, longest = ("analyze", study.seed), config.rollout.max_history
    once = [Job(problem, group) for group, problem in enumerate(problems)]
    sampled = collect(task, policies, jobs, config.sampling, key, longest, standing=standing(study, task)).forest
    return sampled, collect(task, policies, once, config.sampling.greedy(), key, longest).forest


def first_problems(task: Task, number: int, option: str) -> list[Problem]:
    """The first training problems, as many as ``option`` wants. Raises ConfigError if there are fewer."""
    problems = list(task.problems("train"))
    if len(problems) < number:
        raise ConfigError(f"{option} = {number}: the task has {len(problems)} training problems.")
    return problems[:number]


def fit_forest(study: TeamStudy, config: TrainConfig[Any], task: Task, policies: Sequence[Policy]) -> Forest:
    """The episodes to which critics are fitted, on all training problems in an order of their own."""
    problems = task.problems("train")
    order = generator("analyze", "fit problems", study.seed).permutation(len(problems))
    chosen = [problems[order[i % len(order)]] for i in range(study.fit_episodes)]
    jobs = [Job(problem, i, i // len(order)) for i, problem in enumerate(chosen)]
    key, longest = ("analyze", "fit", study.seed), config.rollout.max_history
    return collect(task, policies, jobs, config.sampling, key, longest, standing=standing(study, task)).forest


def standing(study: TeamStudy, task: Task) -> Standing | None:
    """What tells a critic the task's state, if there is to be one."""
    return Standing(task) if study.told else None


def critics_values(
    study: TeamStudy, config: TrainConfig[Any], task: Task, policies: Sequence[Policy], forest: Forest, gamma: float
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Values and bootstraps at the nodes of ``forest``, (nodes, columns) each, by what the critics read. They are fitted
    to other episodes, all to the same."""
    fit = fit_forest(study, config, task, policies)
    return {
        view: fitted_values(config, *whose, task, policies, fit, forest, gamma, study.fit_passes)
        for view, whose in (CRITICS | TOLD if study.told else CRITICS).items()
    }


def fitted_values(
    config: TrainConfig[Any],
    name: str,
    encoding: Encoding,
    task: Task,
    policies: Sequence[Policy],
    fit: Forest,
    forest: Forest,
    gamma: float,
    passes: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Values and bootstraps at the nodes of ``forest`` of this method's critics, fitted to the returns of ``fit``."""
    settings = dataclasses.replace(config.critic, kind="v", encoding=encoding, backbone="separate", target="none")
    own = dataclasses.replace(config, method=name, critic=settings)
    learner = make_learner(own, task, list(policies))
    columns = sum(critic.outputs for critic in learner.critics)
    nothing = np.zeros((len(fit), columns))
    for update in range(passes):
        # With λ = 1 targets are returns, whatever the values; only episodes that were cut need a value at their end.
        ends = _said(learner, fit)[1] if fit.truncated.any() else nothing
        credit = actor_critic(Evidence(fit, gamma, 1.0, 1.0, nothing, ends))
        learner.update(fit, credit, 1.0, ("analyze", "fit", update), False, update, None)
    return _said(learner, forest)


def _said(learner: Learner, forest: Forest) -> tuple[np.ndarray, np.ndarray]:
    found = learner.values(forest)
    assert found is not None
    return found.values, found.bootstraps


def _explained(pool: Pool, view: str) -> float:
    """The share of the variance of returns-to-go that the critics explain."""
    returns = returns_to_go(pool.forest, pool.gamma)
    return 1.0 - float(np.var(returns - pool.values[view][0]) / np.var(returns))


def variations(vary: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of values, as dotted keys."""
    return [dict(zip(vary, combination, strict=True)) for combination in itertools.product(*vary.values())]
