"""The sampled estimators, on a game in which the answers are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from collm.analysis.game import AGENTS, Game, GameOptions
from collm.analysis.moments import Estimate, Exact
from collm.analysis.pool import Estimator, Pool, bias, gradients, square, variance
from collm.analysis.sample import sample
from collm.analysis.sketch import Sketch, sketched_scores
from collm.analysis.team import TeamStudy, pool_rows
from collm.credit import actor_critic, group_mean, leave_one_out, reinforce
from collm.randomness import generator
from collm.rollout.collector import Job, collect
from tests.games import ONE_TOKEN, Memory, game_chat, game_policy

PROBLEMS, EPISODES = 60, 16


@pytest.fixture(scope="module")
def known() -> tuple[Exact, Pool]:
    """A game with a terminal reward, and a pool of its episodes; every problem is the same game."""
    game = Game(GameOptions(2, "terminal", 0.5))
    exact = Exact(game, game.team(1))
    count = PROBLEMS * EPISODES
    of = np.zeros(count, dtype=np.int64)
    problem = np.arange(count) // EPISODES
    played = sample(game, [one[None] for one in game.team(1)], of, problem, generator("test", "pool"))
    sizes = [layer.tables for layer in game.layers]
    scores = np.zeros((len(played.forest.decisions), sum(sizes)))
    for turn, start in enumerate(np.cumsum([0, *sizes[:-1]])):
        for agent in range(AGENTS):
            rows = played.forest.decision[played.forest.turn == turn, agent]
            scores[rows, start + played.own[turn, agent]] = played.scores[turn, agent]
    joint = np.concatenate([values[0][played.joint[turn]][:, None] for turn, values in enumerate(exact.joint)])
    own = np.concatenate([values[:, played.joint[turn]].T for turn, values in enumerate(exact.own)])
    values = {"joint": (joint, np.zeros_like(joint)), "own": (own, np.zeros_like(own))}
    return exact, Pool(played.forest, scores, EPISODES, 1.0, values, np.zeros((len(played.forest), AGENTS)), 2.0)


def cases(exact: Exact) -> list[tuple[Estimator, Estimate]]:
    return [
        (Estimator("mareinforce", reinforce), exact.reinforce()),
        (Estimator("marloo", leave_one_out, group=4), exact.leave_one_out(4)),
        (Estimator("magrpo", group_mean, group=2), exact.group_mean(2)),
        (Estimator("collm-cc", actor_critic, "joint", 0.0), exact.critic(exact.joint, 0.0)),
        (Estimator("collm-dc", actor_critic, "own", 0.5), exact.critic(exact.own, 0.5)),
    ]


def test_variances_biases_and_slopes_are_the_exact_ones(known: tuple[Exact, Pool]) -> None:
    exact, pool = known
    draw = generator("test", "draw")
    whole = gradients(pool, Estimator("reference", leave_one_out, group=EPISODES), 1, draw)
    slope = square(whole)
    size = float(exact.gradient @ exact.gradient)
    assert abs(slope.value - size) < 4 * slope.error
    for estimator, expected in cases(exact):
        found = gradients(pool, estimator, 8, draw)
        measured = variance(found)
        assert abs(measured.value - expected.variance) < 4 * measured.error
        assert measured.error < 0.2 * expected.variance
        bent, chance = bias(found, whole, draw)
        assert abs(bent.value - expected.bias) < 4 * bent.error + 0.02 * size
        assert (chance > 0.05) == (expected.bias < 1e-20), estimator.name
        if estimator.group is None:
            np.testing.assert_allclose(found.advantages, expected.advantages, rtol=0.15)


def test_rows_name_every_team_method_and_cost_is_relative_to_leave_one_out(known: tuple[Exact, Pool]) -> None:
    study = TeamStudy(problems=PROBLEMS, episodes=EPISODES, lams=(0.0,), groups=(4,), partitions=2)
    rows = {row["estimator"]: row for row in pool_rows(study, known[1])}
    assert {"collm-cc", "collm-dc", "marloo", "magrpo", "mareinforce", "mean-baseline"} <= set(rows)
    assert "grpo" not in rows
    assert rows["marloo"]["cost"] == 1.0
    assert rows["collm-cc"]["cost"] < rows["mean-baseline"]["cost"] < 1.0


def test_sketches_are_of_the_gradient_of_each_response_and_keep_inner_products() -> None:
    chat = game_chat()
    policies = [game_policy(chat, seed) for seed in range(2)]
    task = Memory()
    jobs = [Job(task.problem("only"), 0, sample) for sample in range(12)]
    forest = collect(task, policies, jobs, ONE_TOKEN, ("sketch",)).forest
    width = 4096
    found = sketched_scores(policies, forest, 1.0, width, ("test",))
    assert found.shape == (len(forest.decisions), width)
    chosen = [index for index, decision in enumerate(forest.decisions) if decision.agent == 1][:8]
    whole = _full_gradients(policies[1], forest, chosen)
    exact, sketched = whole @ whole.T, found[chosen] @ found[chosen].T
    np.testing.assert_allclose(sketched, exact, atol=0.15 * float(np.trace(exact)) / len(chosen))


def _full_gradients(policy: object, forest: object, chosen: list[int]) -> np.ndarray:
    """(responses, parameters) by plain backward passes, one forward pass for each."""
    import torch

    from collm.learning.logprobs import score

    rows = []
    for index in chosen:
        (scored,) = score(policy, forest, [index], 1.0, 4096)  # type: ignore[arg-type]
        policy.model.zero_grad(set_to_none=True)  # type: ignore[attr-defined]
        scored.logprobs.sum().backward()
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in policy.model.parameters()]  # type: ignore[attr-defined]
        rows.append(torch.cat([part.reshape(-1) for part in parts]).double().numpy())
    policy.model.zero_grad(set_to_none=True)  # type: ignore[attr-defined]
    return np.stack(rows)


def test_a_sketch_of_one_parameter_each_is_exact() -> None:
    policy = game_policy(game_chat(), 0)
    sketch = Sketch(policy, 64, ("one",))
    one = [np.zeros(tuple(parameter.shape), dtype=np.float32) for parameter in sketch.parameters]
    one[0].reshape(-1)[70] = 3.0
    import torch

    found = sketch.of([torch.from_numpy(part) for part in one]).numpy()
    assert abs(found[70 % 64]) == 3.0
    assert np.count_nonzero(found) == 1


def test_groups_never_mix_problems(known: tuple[Exact, Pool]) -> None:
    pool = dataclasses.replace(known[1], episodes=5 * EPISODES // 4)
    found = gradients(pool, Estimator("marloo", leave_one_out, group=3), 2, generator("test"))
    assert found.estimates.shape == (pool.problems, 2 * (pool.episodes // 3), pool.scores.shape[1] * AGENTS)
    assert found.env_steps == 6.0
