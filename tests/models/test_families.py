"""Models of other families: windows, scaled logits, plain attention; what they say here is what the library's model says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from collm.errors import ModelError
from collm.models import attention
from collm.models.chat import ChatFormat
from collm.models.loading import load_policies
from collm.models.settings import WeightSettings
from collm.rollout.engine import Session
from collm.rollout.sampling import Sampling

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
FULL, WINDOW = "full_attention", "sliding_attention"
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "windows everywhere": ("mistral", {**SMALL, "sliding_window": 6}),
    "windows in some layers": ("gemma3_text", {**SMALL, "sliding_window": 6, "layer_types": [WINDOW, FULL]}),
    "windows by layer in Qwen2": (
        "qwen2",
        {**SMALL, "sliding_window": 6, "use_sliding_window": True, "layer_types": [FULL, WINDOW]},
    ),
    "bounded logits": ("gemma3_text", {**SMALL, "layer_types": [FULL, FULL], "final_logit_softcapping": 0.5}),
    "divided logits": ("granite", {**SMALL, "logits_scaling": 4.0}),
    "multiplied logits and windows": ("cohere2", {**SMALL, "logit_scale": 3.0, "sliding_window": 6}),
    "learned positions": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "windows, another shape of a block": ("phi3", {**SMALL, "pad_token_id": 0, "sliding_window": 6}),
}


def made(kind: str, settings: dict[str, Any], chat: ChatFormat, folder: Path) -> Any:
    """A random model of this kind in a folder."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, vocab_size=len(chat.tokenizer), **settings)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    chat.tokenizer.save_pretrained(folder)
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_two_turns_are_scored_as_the_library_scores_them(family: str, chat: ChatFormat, tmp_path: Path) -> None:
    """Played with the cache from turn to turn, and read by the learner in one pass."""
    model = made(*FAMILIES[family], chat, tmp_path)
    policies = load_policies(str(tmp_path), 2, settings=WeightSettings(train="lora", targets=("all-linear",)))
    assert policies[0].base.packs == ("windows" not in family)
    rows = [policies[0], policies[1], policies[0]]
    numbers = np.random.default_rng(0).random((2, 3, 7))
    session = Session(rows, Sampling(max_new_tokens=7), lambda row, turn: numbers[turn, row])
    histories: list[list[int]] = [[], [], []]
    said: list[dict[int, float]] = [{}, {}, {}]
    for turn in range(2):
        observations = [[5 + row, *range(10, 14 + 3 * row)] for row in range(3)]
        for row, response in enumerate(session.respond(range(3), observations, turn)):
            histories[row] += observations[row]
            said[row].update(enumerate(response.logprobs.tolist(), len(histories[row])))
            histories[row] += response.tokens
    for row, history in enumerate(histories):
        tokens, places = torch.tensor([history]), list(said[row])
        with torch.no_grad():
            published = model(tokens).logits[0].log_softmax(-1)
            learned = rows[row].logits(rows[row].hidden(tokens))[0].log_softmax(-1)
        for scores in (published, learned):
            found = [float(scores[place - 1, history[place]]) for place in places]
            np.testing.assert_allclose(found, list(said[row].values()), atol=2e-4)


@pytest.mark.parametrize(
    ("kind", "settings", "found"),
    [
        ("gemma2", {**SMALL, "attn_logit_softcapping": 20.0}, "bounds its attention scores"),
        ("qwen3_next", {**SMALL, "layer_types": ["linear_attention", FULL], "num_experts": 0}, "linear_attention"),
    ],
)
def test_what_would_be_wrong_is_refused(
    kind: str, settings: dict[str, Any], found: str, chat: ChatFormat, tmp_path: Path
) -> None:
    made(kind, settings, chat, tmp_path)
    with pytest.raises(ModelError, match=found):
        load_policies(str(tmp_path), 2)


def test_sinks_are_refused() -> None:
    states = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ModelError, match="sinks"):
        attention.attention(torch.nn.Module(), states, states, states, None, s_aux=torch.zeros(2))
