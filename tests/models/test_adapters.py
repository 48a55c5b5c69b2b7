"""Adapters of several agents on one base: nobody hears another's, mixed or alone, merged or not."""

from __future__ import annotations

import copy

import pytest
import torch

from collm.errors import ModelError
from collm.models.base import Base, weights_hash
from collm.models.chat import ChatFormat
from collm.models.loading import with_adapter
from collm.models.policy import Policy, copies
from collm.models.settings import WeightSettings
from collm.models.tiny.build import TinyRecipe, make_model
from collm.rollout.engine import Response, Session
from collm.rollout.sampling import Sampling

RECIPE = TinyRecipe(hidden=64, heads=2, layers=2, feed_forward=128)
LORA = WeightSettings(train="lora", rank=4, alpha=8.0)


def shared(chat: ChatFormat, agents: int = 3, settings: WeightSettings = LORA) -> list[Policy]:
    """Agents on one random base, each with an adapter that says something."""
    base = Base(make_model(RECIPE, chat.tokenizer).eval(), chat, settings)
    team = [with_adapter(base, f"agent-{agent}", 0) for agent in range(agents)]
    noise = torch.Generator().manual_seed(1)
    for policy in team:
        for parameter in policy.own.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=noise)
    return team


@pytest.fixture(scope="module")
def trio(chat: ChatFormat) -> list[Policy]:
    return shared(chat)


@pytest.fixture
def tokens(chat: ChatFormat) -> torch.Tensor:
    return torch.randint(len(chat.tokenizer), (6, 9), generator=torch.Generator().manual_seed(2))


def test_a_new_adapter_changes_nothing_and_freezes_the_base(chat: ChatFormat, tokens: torch.Tensor) -> None:
    base = Base(make_model(RECIPE, chat.tokenizer).eval(), chat, LORA)
    before, started_from = base.hidden(None, input_ids=tokens), weights_hash(base.model)
    state = torch.random.get_rng_state()
    first, second = (with_adapter(base, name, 0) for name in ("a", "b"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first.hidden(tokens), before)
    assert weights_hash(base.model) == started_from
    own = [*first.own.parameters(), *second.own.parameters()]
    assert {id(p) for p in base.model.parameters() if p.requires_grad} == {id(p) for p in own}
    assert not torch.equal(own[0], next(iter(second.own.parameters()))), "every adapter has a start of its own"
    again = with_adapter(Base(make_model(RECIPE, chat.tokenizer).eval(), chat, LORA), "a", 0)
    assert all(
        torch.equal(one, other) for one, other in zip(first.own.parameters(), again.own.parameters(), strict=True)
    )


def test_a_mixed_batch_is_the_separate_ones(trio: list[Policy], tokens: torch.Tensor) -> None:
    names = ["agent-0", "agent-2", None, "agent-1", "agent-0", "agent-1"]
    base, policies = trio[0].base, {policy.adapter: policy for policy in [*trio, Policy(trio[0].base)]}
    with torch.no_grad():
        mixed = base.hidden(list(names), object(), input_ids=tokens)
        alone = torch.cat([policies[name].hidden(tokens[row : row + 1]) for row, name in enumerate(names)])
        others = policies["agent-1"].hidden(tokens)
    torch.testing.assert_close(mixed, alone, atol=2e-5, rtol=1e-4)
    assert (mixed - others).abs().max() > 0.1, "the adapters say something"


def test_gradients_of_a_mixed_batch_are_the_separate_ones(trio: list[Policy], tokens: torch.Tensor) -> None:
    names = ["agent-0", "agent-1", "agent-0", "agent-1", "agent-0", "agent-1"]
    gradients = []
    for mixed in (True, False):
        trio[0].model.zero_grad(set_to_none=True)
        if mixed:
            trio[0].base.hidden(list(names), object(), input_ids=tokens).square().sum().backward()
        else:
            for agent in range(2):
                trio[agent].hidden(tokens[agent::2]).square().sum().backward()
        gradients.append([p.grad.clone() for policy in trio[:2] for p in policy.own.parameters() if p.grad is not None])
        assert all(p.grad is None for p in trio[2].own.parameters())
    assert len(gradients[0]) == len(gradients[1]) > 0
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_merged_is_unmerged(trio: list[Policy], tokens: torch.Tensor) -> None:
    with torch.no_grad():
        for policy in trio:
            merged = policy.base.merged(policy.adapter)
            assert not any("lora" in name for name, _ in merged.model.named_parameters())
            torch.testing.assert_close(
                merged.hidden(None, input_ids=tokens), policy.hidden(tokens), atol=1e-4, rtol=1e-4
            )


def answers(policies: list[Policy], rows: list[int]) -> list[Response]:
    """What these rows say to the same openings, drawn by row, in one session."""
    opening = [5, 6, 7, 8]
    numbers = torch.rand(len(policies), 12, generator=torch.Generator().manual_seed(3)).numpy()
    session = Session(
        [policies[row] for row in rows], Sampling(max_new_tokens=12), lambda row, turn: numbers[rows[row]]
    )
    return session.respond(range(len(rows)), [[*opening, row] for row in rows], 0)


def test_one_session_of_all_agents_says_what_sessions_of_one_agent_say(trio: list[Policy]) -> None:
    policies = [trio[row % 3] for row in range(9)]
    together = answers(policies, list(range(9)))
    for agent in range(3):
        mine = list(range(agent, 9, 3))
        for row, response in zip(mine, answers(policies, mine), strict=True):
            assert response.tokens == together[row].tokens
            assert abs(response.logprobs - together[row].logprobs).max() < 1e-4
    assert len({tuple(response.tokens) for response in together}) > 3


def test_new_weights_are_heard_by_the_next_session(trio: list[Policy]) -> None:
    team = copies(trio)
    assert team[0].base is team[1].base
    assert team[0].base is not trio[0].base
    policies = [team[row % 2] for row in range(4)]
    before = answers(policies, list(range(4)))
    for parameter in team[1].own.parameters():
        parameter.data *= -2
    after = answers(policies, list(range(4)))
    assert [r.tokens for r in before[::2]] == [r.tokens for r in after[::2]]
    assert [r.tokens for r in before[1::2]] != [r.tokens for r in after[1::2]]


@pytest.mark.parametrize(("targets", "found"), [(("q_proj", "nothing"), "nothing"), ((), "the empty list")])
def test_targets_that_match_nothing_are_named(chat: ChatFormat, targets: tuple[str, ...], found: str) -> None:
    base = Base(make_model(RECIPE, chat.tokenizer), chat, WeightSettings(train="lora", targets=targets))
    with pytest.raises(ModelError, match=rf"{found} matches no linear layer .* gate_proj.*; or all-linear"):
        base.add_adapter("a", ("k",))


def test_chosen_targets_and_no_others(chat: ChatFormat) -> None:
    base = Base(make_model(RECIPE, chat.tokenizer), chat, WeightSettings(train="lora", targets=("q_proj", "v_proj")))
    base.add_adapter("a", ("k",))
    assert {name.split(".")[-2] for name in base.adapters["a"]} == {"q_proj", "v_proj"}
    assert len(base.adapters["a"]) == 2 * 2 * RECIPE.layers


def test_recomputing_gives_the_same_gradients_and_spares_play(chat: ChatFormat, tokens: torch.Tensor) -> None:
    plain, sparing = (
        shared(chat, 1, WeightSettings(train="lora", rank=4, alpha=8.0, checkpointing=on))[0] for on in (False, True)
    )
    for policy in (plain, sparing):
        policy.hidden(tokens).square().sum().backward()
        assert not any(module.training for module in policy.model.modules())
    for one, other in zip(plain.own.parameters(), sparing.own.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert answers([plain] * 2, [0, 1])[1].tokens == answers([sparing] * 2, [0, 1])[1].tokens


def test_copies_share_nothing_with_their_originals(trio: list[Policy], tokens: torch.Tensor) -> None:
    twin = copies(trio[:2])
    with torch.no_grad():
        expected = copy.deepcopy(trio[0].hidden(tokens))
        for parameter in twin[0].own.parameters():
            parameter.zero_()
        assert torch.equal(trio[0].hidden(tokens), expected)
