"""Our attention and norms against the library's: values and gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from collm.machine import large_products
from collm.models import attention
from collm.models.loading import load_policies
from collm.models.norm import RMSNorm
from collm.models.settings import WeightSettings


def drawn(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.double).requires_grad_()


@pytest.mark.parametrize("length", [2, 63, 64, 65, 230, 600])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kept", [0, 1 << 30])
def test_it_is_the_librarys_attention(length: int, masked: bool, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the attention weights are made again for the gradient instead of being kept."""
    monkeypatch.setattr(attention, "_KEPT", kept)
    keys_before = 5 if masked else 0
    queries, keys, values = (
        drawn(2, 4, length, 8),
        drawn(2, 2, length + keys_before, 8),
        drawn(2, 2, length + keys_before, 8),
    )
    mask = None
    if masked:
        mask = torch.rand(2, 1, length, length + keys_before, generator=torch.Generator().manual_seed(1)) < 0.3
        mask[..., 0] = True
    found = attention.attend(queries, keys, values, mask)
    wanted = functional.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=mask is None, scale=1.0, enable_gqa=True
    )
    torch.testing.assert_close(found, wanted)
    direction = drawn(*found.shape).detach()
    for own, other in zip(
        torch.autograd.grad(found, (queries, keys, values), direction),
        torch.autograd.grad(wanted, (queries, keys, values), direction),
        strict=True,
    ):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize("shape", [(7, 16), (3, 5, 2, 16)])
def test_the_norm_is_the_librarys(shape: tuple[int, ...]) -> None:
    states = drawn(*shape).detach().float().requires_grad_()
    weight = torch.nn.Parameter(drawn(16).detach().float())
    found = RMSNorm(weight, 1e-6)(states)
    wanted = torch.rms_norm(states, (16,), weight, 1e-6)
    torch.testing.assert_close(found, wanted)
    direction = drawn(*shape).detach().float()
    for own, other in zip(
        torch.autograd.grad(found, (states, weight), direction),
        torch.autograd.grad(wanted, (states, weight), direction),
        strict=True,
    ):
        torch.testing.assert_close(own, other)
    low = states.detach().bfloat16()
    assert RMSNorm(weight, 1e-6)(low).dtype == torch.float32  # a weight in fp32 makes the product fp32
    assert RMSNorm(torch.nn.Parameter(weight.detach().bfloat16()), 1e-6)(low).dtype == torch.bfloat16


def test_a_model_reads_as_the_library_reads_it() -> None:
    """The embedded model with our attention and norms, and the library's own with its attention."""
    from transformers import AutoModelForCausalLM

    from collm.models.loading import model_path

    policy = load_policies("tiny", 1)[0]
    theirs = AutoModelForCausalLM.from_pretrained(model_path("tiny"), attn_implementation="eager", dtype=torch.float32)
    theirs = theirs.eval()
    tokens = torch.randint(0, 500, (3, 90), generator=torch.Generator().manual_seed(0))
    states = policy.hidden(tokens)
    torch.testing.assert_close(states, theirs.base_model(tokens).last_hidden_state, atol=2e-5, rtol=1e-4)
    assert any(isinstance(module, RMSNorm) for module in policy.model.modules())
    assert set(policy.model.state_dict()) == set(theirs.state_dict())
    again = copy.deepcopy(policy.base).hidden(None, input_ids=tokens, use_cache=False)
    torch.testing.assert_close(again, states)


def test_a_query_that_may_see_nothing_stays_a_number() -> None:
    """The library pads prompts on the left when it generates."""
    queries, keys, values = drawn(1, 2, 4, 8), drawn(1, 2, 4, 8), drawn(1, 2, 4, 8)
    mask = torch.ones(4, 4, dtype=torch.bool).tril()
    mask[0] = False
    assert bool(attention.attend(queries, keys, values, mask[None, None]).isfinite().all())


def test_numbers_of_low_precision_learn_too() -> None:
    settings = WeightSettings(train="full", precision="bf16")
    policy, exact = load_policies("tiny", 1, settings=settings)[0], load_policies("tiny", 1)[0]
    tokens = torch.randint(0, 500, (3, 90), generator=torch.Generator().manual_seed(0))
    gradients = []
    for one in (policy, exact):
        states = one.hidden(tokens)
        one.logits(states).float().log_softmax(-1)[..., 7].mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in one.own.parameters()]))
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.99


@pytest.mark.parametrize("large", [True, False])
def test_large_products_are_asked_for_and_given_back(large: bool) -> None:
    one, other = torch.randn(128, 64), torch.randn(64, 128)
    wanted = one @ other
    before = torch.get_float32_matmul_precision()
    with large_products(large):
        found = one @ other
    assert torch.get_float32_matmul_precision() == before
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)
