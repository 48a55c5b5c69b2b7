"""Drawing tokens from logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from collm.randomness import generator, uniforms
from collm.rollout.distribution import draw, log_distribution, log_probability
from collm.rollout.sampling import Sampling

LOGITS = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))


def frequencies(sampling: Sampling, draws: int = 20_000) -> np.ndarray:
    tokens, _ = draw(LOGITS.expand(draws, 4), torch.from_numpy(uniforms(draws, "test")), sampling)
    return np.bincount(tokens.numpy(), minlength=4) / draws


def test_frequencies_are_the_probabilities() -> None:
    np.testing.assert_allclose(frequencies(Sampling()), [0.5, 0.3, 0.15, 0.05], atol=0.01)


def test_temperature_sharpens() -> None:
    squared = np.array([0.25, 0.09, 0.0225, 0.0025])
    np.testing.assert_allclose(frequencies(Sampling(temperature=0.5)), squared / squared.sum(), atol=0.01)


@pytest.mark.parametrize("sampling", [Sampling(top_p=0.6), Sampling(top_k=2)])
def test_truncation_renormalises_and_reports_its_own_logprobs(sampling: Sampling) -> None:
    np.testing.assert_allclose(frequencies(sampling), [0.625, 0.375, 0, 0], atol=0.01)
    _, logprobs = draw(LOGITS, torch.tensor([0.9]), sampling)
    assert logprobs.item() == pytest.approx(np.log(0.375), abs=1e-6)


def test_the_extremes_of_the_uniform_number_stay_inside() -> None:
    tokens, _ = draw(LOGITS.expand(2, 4), torch.tensor([0.0, 1.0 - 1e-16], dtype=torch.float64), Sampling())
    assert tokens.tolist() == [0, 3]


def test_draws_depend_on_their_key_alone() -> None:
    expected = uniforms(5, "run", 0, "AB", 1)
    generator("something else").random(1000)
    np.testing.assert_array_equal(uniforms(5, "run", 0, "AB", 1), expected)
    np.testing.assert_array_equal(uniforms(9, "run", 0, "AB", 1)[:5], expected)
    assert (uniforms(5, "run", 0, "AB", 2) != expected).all()
    assert (uniforms(5, "run", "0", "AB", 1) != expected).all()


def test_a_large_vocabulary_is_inverted_as_by_running_sums_over_all_of_it() -> None:
    """Also at quantiles that rounding could push onto a token that cannot be drawn."""
    logits = torch.from_numpy(generator("logits").normal(size=(200, 1000))).float()
    logits[:, 100:300] = -torch.inf
    logits[:, ::2] = -torch.inf
    logits[100:, 300:] = -torch.inf
    quantiles = torch.from_numpy(uniforms(200, "quantiles"))
    sums = logits.softmax(-1).double().cumsum(-1)
    edges = sums[torch.arange(200), torch.randint(0, 1000, (200,), generator=torch.Generator().manual_seed(0))]
    for points in (quantiles, edges / sums[:, -1], torch.zeros(200), torch.full((200,), 1 - 1e-16, dtype=torch.double)):
        tokens, logprobs = draw(logits, points, Sampling())
        assert bool(logprobs.isfinite().all())
        below = sums.gather(1, (tokens - 1).clamp_min(0)[:, None])[:, 0] * (tokens > 0)
        above = sums.gather(1, tokens[:, None])[:, 0]
        target = points.double() * sums[:, -1]
        assert bool((below - 1e-6 <= target).all() and (target <= above + 1e-6).all())


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_log_probabilities_of_chosen_tokens_and_their_gradient(temperature: float) -> None:
    logits = torch.randn(20, 50, generator=torch.Generator().manual_seed(0)).requires_grad_()
    tokens = torch.arange(20)
    found = log_probability(logits, tokens, temperature)
    wanted = log_distribution(logits, temperature).gather(-1, tokens[:, None])[:, 0]
    torch.testing.assert_close(found, wanted)
    weights = torch.linspace(-1, 1, 20)
    for own, other in zip(
        torch.autograd.grad(found, logits, weights), torch.autograd.grad(wanted, logits, weights), strict=True
    ):
        torch.testing.assert_close(own, other)
