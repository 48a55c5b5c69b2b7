"""Drawing tokens from logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from collm.randomness import generator, uniforms
from collm.rollout.sampling import Sampling, draw

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
