"""The share of signal in a gradient: by hand, undone clipping, and against noise whose size is known."""

from __future__ import annotations

import pytest
import torch

from collm.learning.gradient_signal import GradientSignal


def model(gradient: torch.Tensor) -> torch.nn.Module:
    network = torch.nn.Linear(len(gradient), 1, bias=False)
    network.weight.grad = gradient[None].clone()
    return network


def seen(gradients: list[torch.Tensor], max_norm: float | None = None) -> float | None:
    """The share after these gradients, each clipped as a step would clip it."""
    signal = GradientSignal()
    for gradient in gradients:
        network = model(gradient)
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), float("inf") if max_norm is None else max_norm)
        signal.see(network, float(norm), max_norm)
    return signal.share


def test_equal_gradients_are_all_signal_and_orthogonal_ones_none() -> None:
    one, other = torch.tensor([3.0, 4.0]), torch.tensor([4.0, -3.0])
    assert seen([one, one, one]) == pytest.approx(1)
    assert seen([one, other]) == pytest.approx(0)
    assert seen([one, other, one, one]) == pytest.approx((0 + 0 + 25) / 3 / 25)


def test_clipping_changes_nothing() -> None:
    gradients = [torch.tensor([30.0, 1.0]), torch.tensor([20.0, -4.0]), torch.tensor([0.1, 0.2])]
    assert seen(gradients, max_norm=1.0) == pytest.approx(seen(gradients), rel=1e-4)


def test_what_a_minibatch_does_not_reach_counts_as_zero() -> None:
    signal = GradientSignal()
    for reached in ((0, 1), (0,)):
        network = torch.nn.Linear(2, 1)
        for place in reached:
            parameter = list(network.parameters())[place]
            parameter.grad = torch.ones_like(parameter)
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), float("inf"))
        signal.see(network, float(norm), None)
    assert signal.share == pytest.approx(2 / ((3 + 2) / 2))


def test_noise_of_known_size() -> None:
    """Mean of norm 1, noise of squared norm 3: a quarter is signal."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.full((300,), 300**-0.5)
    gradients = [mean + torch.randn(300, generator=generator) * (3 / 300) ** 0.5 for _ in range(400)]
    assert seen(gradients) == pytest.approx(0.25, abs=0.02)


def test_one_minibatch_says_nothing() -> None:
    assert seen([torch.ones(2)]) is None
    assert seen([torch.zeros(2), torch.zeros(2)]) is None
