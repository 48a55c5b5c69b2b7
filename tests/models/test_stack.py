"""Models that compute as one say what each of them says alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from collm.models.base import Base
from collm.models.chat import ChatFormat
from collm.models.loading import with_adapter
from collm.models.policy import Policy
from collm.models.settings import WeightSettings
from collm.models.stack import same_shape, stackable
from collm.rollout.engine import Response, Session
from collm.rollout.networks import Library, Stacked, network_of, tables
from collm.rollout.sampling import Sampling

SHAPE: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 10_000.0}
CONFIGS: dict[str, Any] = {
    "qwen3": lambda size: Qwen3Config(**SHAPE, vocab_size=size, num_key_value_heads=2, head_dim=16),
    "qwen2, biases, tied": lambda size: Qwen2Config(
        **SHAPE, vocab_size=size, num_key_value_heads=1, tie_word_embeddings=True
    ),
    "llama, as many keys as queries": lambda size: LlamaConfig(**SHAPE, vocab_size=size, num_key_value_heads=4),
    "llama, stretched positions": lambda size: LlamaConfig(
        **SHAPE, vocab_size=size, num_key_value_heads=2, rope_parameters=YARN
    ),
}


def team_of(chat: ChatFormat, name: str, agents: int = 3) -> list[Policy]:
    """Agents with different random weights, norms and biases included."""
    config = CONFIGS[name](len(chat.tokenizer))
    policies = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(agents):
            model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
            for parameter in model.parameters():
                parameter.data += 0.1 * torch.randn(parameter.shape)
            policies.append(Policy(Base(model, chat)))
    return policies


def played(policies: list[Policy], numbers: np.ndarray) -> list[list[Response]]:
    """Three turns in which rows wait, end early, and branch into copies of the first rows."""
    ends = policies[0].chat.stop_ids
    session = Session(policies, Sampling(max_new_tokens=20), lambda row, turn: numbers[turn, row % 6])
    session.stop_ids = (*ends, *range(0, 2000, 7))
    rows = list(range(len(policies)))
    found = []
    for turn, live in enumerate((rows, rows[::2], rows[1:])):
        found.append(session.respond(live, [[5 + row, 9, 11 + turn, *range(20, 20 + row)] for row in live], turn))
    session.branch([row for row in rows for _ in range(2)])
    found.append(session.respond(range(2 * len(rows)), [[30, 31]] * (2 * len(rows)), 3))
    return found


def test_models_whose_responses_end_otherwise_play_by_themselves(chat: ChatFormat) -> None:
    one, other, third = team_of(chat, "qwen3")
    other.stop_ids = (*other.stop_ids, 77)
    assert tables([one, other, third]) == [[0, 2], [1]]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_stack_says_what_each_model_says(chat: ChatFormat, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    team = team_of(chat, name)
    numbers = np.random.Generator(np.random.Philox(1)).random((4, 6, 20))
    rows = [team[row % 3] for row in range(6)]
    assert isinstance(network_of(rows)[0], Stacked)
    together = played(rows, numbers)
    monkeypatch.setattr("collm.rollout.networks.stackable", lambda base: False)
    assert isinstance(network_of(team[:1])[0], Library)
    compared = 0
    for row in range(6):
        own = [row if place == row else None for place in range(6)]
        alone = Alone(team[row % 3], row, numbers)
        for turn, one in alone.responses(together, own):
            assert one.tokens == turn.tokens
            np.testing.assert_allclose(one.logprobs, turn.logprobs, atol=2e-4)
            compared += len(one.tokens)
    assert compared > 100


class Alone:
    """One row of ``played`` by itself, with the library's model."""

    def __init__(self, policy: Policy, row: int, numbers: np.ndarray) -> None:
        self.row, self.numbers = row, numbers
        self.session = Session([policy], Sampling(max_new_tokens=20), lambda row, turn: numbers[turn, self.drawn])
        self.session.stop_ids = (*policy.chat.stop_ids, *range(0, 2000, 7))
        self.drawn = row % 6

    def responses(self, together: list[list[Response]], own: list[int | None]) -> list[tuple[Response, Response]]:
        """Pairs of what the row said in company and alone."""
        rows = list(range(len(own)))
        found = []
        for turn, live in enumerate((rows, rows[::2], rows[1:])):
            if self.row in live:
                seen = [5 + self.row, 9, 11 + turn, *range(20, 20 + self.row)]
                found.append((together[turn][live.index(self.row)], self.session.respond([0], [seen], turn)[0]))
        self.session.branch([0, 0])
        copies = [2 * self.row, 2 * self.row + 1]
        for copy in copies[:1]:
            self.drawn = copy % 6
            found.append((together[3][copy], self.session.respond([0], [[30, 31]], 3)[0]))
        return found


def test_what_is_left_in_the_cache_is_what_the_library_leaves(chat: ChatFormat) -> None:
    team = team_of(chat, "qwen3", 2)
    opening = list(range(10, 40))
    session = Session([team[0], team[1], team[1]], Sampling(max_new_tokens=4), lambda row, turn: np.full(4, 0.5))
    (_, said, _) = session.respond([0, 1, 2], [opening[:9], opening, opening[:3]], 0)
    from transformers.cache_utils import DynamicCache

    cache, tokens = DynamicCache(), [*opening, *said.tokens[:-1]]
    with torch.no_grad():
        team[1].base.hidden(None, input_ids=torch.tensor([tokens]), past_key_values=cache, use_cache=True)
    for own, expected in zip(session.memory(1), cache.layers, strict=True):
        torch.testing.assert_close(own[0], expected.keys[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(own[1], expected.values[0], atol=1e-4, rtol=1e-4)


def test_who_can_play_together(chat: ChatFormat) -> None:
    team, others = team_of(chat, "qwen3"), team_of(chat, "llama, stretched positions", 2)
    assert tables([team[0], others[0], team[1], others[0]]) == [[0, 2], [1, 3]]
    assert same_shape(team[0].base, team[1].base)
    assert not same_shape(team[0].base, others[0].base)
    with pytest.raises(ValueError, match="differ in more than their weights"):
        network_of([team[0], others[0]])
    base = team_of(chat, "qwen3", 1)[0].base
    base.settings = WeightSettings(train="lora")
    adapted = with_adapter(base, "a", 0)
    assert not stackable(adapted.base)
    assert tables([adapted, adapted, team[0]]) == [[0, 1], [2]]
