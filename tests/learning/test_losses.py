"""Policy losses and their regularisers: gradients in closed form, and what they do to a policy."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from collm.credit import Credit
from collm.errors import ConfigError
from collm.learning.learner import Learner
from collm.learning.losses import Responses, importance, surrogate
from collm.learning.policy_update import PolicyUpdate
from collm.learning.reference import reference_logprobs, with_kl_in_reward
from collm.learning.settings import CriticSettings, PolicyLoss, PolicySettings
from collm.models.policy import Policy
from collm.rollout.collector import Job, collect
from collm.rollout.forest import Forest
from tests.games import ONE_TOKEN, Coordination, game_chat, game_policy

# Two responses, of one and of three tokens.
OWNER = torch.tensor([0, 1, 1, 1])
SAMPLED = torch.tensor([-1.0, -0.5, -1.5, -2.0])
ADVANTAGES = torch.tensor([2.0, -1.0])
WEIGHTS = torch.tensor([1.0, 0.5])
SHARES = {"sum": torch.tensor([1.0, 1.0]), "mean": torch.tensor([1.0, 1 / 3]), "tokens": torch.tensor([0.6, 0.6])}


def gradient(loss: PolicyLoss, length: str, moved: float = 0.0, clip: float = 0.2) -> torch.Tensor:
    """d loss / d log π per token, with every log π moved by this much from the sampler's."""
    logprobs = (SAMPLED + moved).requires_grad_()
    batch = Responses(logprobs, SAMPLED, OWNER, ADVANTAGES, WEIGHTS, SHARES[length])
    surrogate(batch, loss, clip, geometric=length == "mean").loss.backward()
    assert logprobs.grad is not None
    return logprobs.grad


@pytest.mark.parametrize("loss", ["policy-gradient", "clip-token", "clip-sequence"])
@pytest.mark.parametrize("length", ["sum", "mean", "tokens"])
def test_on_policy_all_losses_have_the_gradient_of_the_papers(loss: PolicyLoss, length: str) -> None:
    """−w·A per token for the sum, divided by the length for the mean, alike for every token otherwise."""
    each = -(ADVANTAGES * WEIGHTS * SHARES[length])[OWNER]
    torch.testing.assert_close(gradient(loss, length), each)


def test_a_clipped_ratio_has_no_gradient_where_the_advantage_pushed_it() -> None:
    """ρ = e^0.3 > 1.2: the positive advantage is cut off, the negative one is not."""
    torch.testing.assert_close(
        gradient("clip-token", "sum", moved=0.3), torch.tensor([0.0, 1, 1, 1]) * 0.5 * np.exp(0.3)
    )


def test_a_sequence_ratio_is_the_product_and_a_geometric_one_the_mean_of_its_tokens() -> None:
    """Three tokens moved by 0.05: the product e^0.15 is within the clip of 0.2, and so is the mean e^0.05."""
    torch.testing.assert_close(gradient("clip-sequence", "sum", moved=0.05)[1:], torch.full((3,), 0.5 * np.exp(0.15)))
    torch.testing.assert_close(
        gradient("clip-sequence", "mean", moved=0.05)[1:], torch.full((3,), 0.5 * np.exp(0.05) / 3)
    )


@pytest.fixture(scope="module")
def team() -> list[Policy]:
    chat = game_chat()
    return [game_policy(chat, 0), game_policy(chat, 1)]


@pytest.fixture(scope="module")
def forest(team: list[Policy]) -> Forest:
    return play(team, 0)


def play(team: list[Policy], update: int, episodes: int = 64) -> Forest:
    game = Coordination()
    jobs = [Job(game.problems("train")[0], 0, sample) for sample in range(episodes)]
    return collect(game, team, jobs, ONE_TOKEN, ("losses", update)).forest


def test_kl_in_the_reward_by_hand(team: list[Policy], forest: Forest) -> None:
    """k1 = log π − log π_ref; the team pays for everybody, an agent with a reward of its own for itself."""
    reference = reference_logprobs([team[1], team[1]], forest, 1.0, 8192)
    cost = np.array([float(d.logprobs[0] - r[0]) for d, r in zip(forest.decisions, reference, strict=True)])
    cost = cost[forest.decision]
    shared = with_kl_in_reward(forest, reference, 0.5, team=True).rewards
    own = with_kl_in_reward(forest, reference, 0.5, team=False).rewards
    np.testing.assert_allclose(own, forest.rewards - 0.5 * cost, atol=1e-6)
    np.testing.assert_allclose(shared, forest.rewards - 0.5 * cost.sum(1, keepdims=True), atol=1e-6)
    assert abs(cost[:, 1]).max() < 1e-5, "agent 1 is the reference"


def trained(settings: PolicySettings, sign: float, updates: int = 25) -> tuple[Learner, dict[str, float]]:
    """A team on the coordination game with every advantage set by the reward, and its last metrics."""
    chat = game_chat()
    own = [game_policy(chat, 0), game_policy(chat, 1)]
    learner = Learner(own, [], settings, CriticSettings(), 1.0, 8192, [game_policy(chat, 0)] * 2)
    metrics: dict[str, float] = {}
    for update in range(updates):
        experience = play(own, update)
        reward = experience.rewards.mean(1)
        credit = Credit(np.repeat(sign * (reward - reward.mean()), 2), np.ones(len(experience.decisions)))
        reference = learner.reference_logprobs(experience)
        key = ("learn", update)
        metrics = learner.update(experience, credit, 1.0, key, True, update, reference)["policy"]
    return learner, metrics


BASE = PolicySettings(lr=5e-3, loss="policy-gradient", minibatches=1)


def test_the_kl_loss_holds_the_policy_and_the_entropy_bonus_keeps_it_open() -> None:
    free = trained(BASE, 1.0)[1]
    held = trained(dataclasses.replace(BASE, kl="loss", kl_coefficient=1.0), 1.0)[1]
    opened = trained(dataclasses.replace(BASE, entropy=1.0), 1.0)[1]
    assert held["kl_reference"] < 0.25 * free["kl_reference"]
    assert opened["entropy"] > 2.0 > 1.5 > free["entropy"], "uniform over ten tokens is 2.3"


def test_the_entropy_gradient_is_exact(team: list[Policy], forest: Forest) -> None:
    """With no advantage only the bonus moves the policy: its gradient is that of the enumerated entropy."""
    nothing = Credit(np.zeros(len(forest.decisions)), np.ones(len(forest.decisions)))
    settings = PolicySettings(loss="policy-gradient", entropy=0.5)
    weight = team[0].model.lm_head.weight
    team[0].model.zero_grad()
    losses = PolicyUpdate(settings, 1.0, 8192, forest, nothing, None)
    losses.backward(team[0], forest.decision[:, 0].tolist(), losses.episodes([0]), {})
    found = weight.grad.clone()
    team[0].model.zero_grad()
    tokens = torch.tensor([forest.transcripts[0].tokens[: forest.transcripts[0].spans[0].said]])
    logprobs = torch.log_softmax(team[0].logits(team[0].hidden(tokens))[0, -1], -1)
    (0.5 * (logprobs.exp() * logprobs).sum()).backward()
    torch.testing.assert_close(found, weight.grad, atol=1e-6, rtol=1e-4)
    team[0].model.zero_grad()


def test_responses_without_the_samplers_logprobs_are_refused(team: list[Policy], forest: Forest) -> None:
    unrecorded = tuple(dataclasses.replace(d, logprobs=np.zeros(0, dtype=np.float32)) for d in forest.decisions)
    bare = dataclasses.replace(forest, decisions=unrecorded)
    nothing = Credit(np.zeros(len(bare.decisions)), np.ones(len(bare.decisions)))
    with pytest.raises(ConfigError, match=r"log-probabilities.*policy\.epochs = 2 needs them"):
        PolicyUpdate(PolicySettings(epochs=2), 1.0, 8192, bare, nothing, None)


ENGINE = SAMPLED - torch.tensor([0.1, 0.5, 1.5, -0.5])
"""Log-probabilities of an engine that found most tokens less likely than the policy did."""


@pytest.mark.parametrize("loss", ["policy-gradient", "clip-token"])
def test_importance_weights_are_truncated_per_token(loss: PolicyLoss) -> None:
    logprobs = SAMPLED.clone().requires_grad_()
    batch = Responses(logprobs, SAMPLED, OWNER, ADVANTAGES, WEIGHTS, SHARES["sum"])
    weights = importance(batch, ENGINE, loss, 2.0, geometric=False)
    torch.testing.assert_close(weights, torch.tensor([0.1, 0.5, 1.5, -0.5]).exp().clamp(max=2.0))
    assert weights[2] == 2.0
    surrogate(dataclasses.replace(batch, importance=weights), loss, 0.2, geometric=False).loss.backward()
    torch.testing.assert_close(logprobs.grad, weights * -(ADVANTAGES * WEIGHTS)[OWNER])


@pytest.mark.parametrize(("length", "moved"), [("sum", [0.1, 1.5]), ("mean", [0.1, 0.5])])
def test_importance_weights_of_a_response_are_those_of_its_ratio(length: str, moved: list[float]) -> None:
    """The product over its tokens, e^(0.5 + 1.5 − 0.5), or their geometric mean."""
    batch = Responses(SAMPLED, SAMPLED, OWNER, ADVANTAGES, WEIGHTS, SHARES[length])
    weights = importance(batch, ENGINE, "clip-sequence", 4.0, geometric=length == "mean")
    torch.testing.assert_close(weights, torch.tensor(moved).exp().clamp(max=4.0))


def test_the_policys_own_samples_have_weights_of_exactly_one() -> None:
    batch = Responses(SAMPLED, SAMPLED, OWNER, ADVANTAGES, WEIGHTS, SHARES["sum"])
    assert torch.equal(importance(batch, SAMPLED, "clip-token", 2.0, geometric=False), torch.ones(4))
