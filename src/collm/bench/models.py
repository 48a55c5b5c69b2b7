"""Models of given shapes with random weights, and a tokenizer whose text and tokens are one to one.

Every token is a word, so text that was decoded is encoded into the same tokens: a library that renders the whole history
into a new prompt at every turn reads the very tokens that a growing history has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from collm.errors import unknown_name

MARKS = ("<pad>", "<end>", "<system>", "<user>", "<assistant>", "<unknown>")
TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}> {{ message.content }} <end> {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
_FIXED = {"max_position_embeddings": 8192, "tie_word_embeddings": True}
_PUBLISHED = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936, "max_position_embeddings": 40_960}
SHAPES: dict[str, dict[str, Any]] = {
    "0.8M": {
        **_FIXED,
        "vocab_size": 2048,
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "intermediate_size": 256,
    },
    "100M": {
        **_FIXED,
        "vocab_size": 32_768,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "intermediate_size": 2304,
    },
    "Qwen3-0.6B": {
        **_FIXED,
        **_PUBLISHED,
        "hidden_size": 1024,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "intermediate_size": 3072,
    },
    "Qwen3-1.7B": {
        **_FIXED,
        **_PUBLISHED,
        "hidden_size": 2048,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "intermediate_size": 6144,
    },
    "Qwen3-4B": {
        **_FIXED,
        **_PUBLISHED,
        "hidden_size": 2560,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "intermediate_size": 9728,
    },
}
"""Two made for this benchmark, and those of the published configurations."""


def word(number: int) -> str:
    """The number-th word that is no mark."""
    return f"w{number}"


def make_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """One token per word, in a plain chat template."""
    agents = ["[Agent", *(f"{number}]" for number in range(10))]
    words = [*MARKS, *agents]
    words += [word(number) for number in range(vocabulary - len(words))]
    tokenizer = Tokenizer(WordLevel({text: place for place, text in enumerate(words)}, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(mark) for mark in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<end>",
        pad_token="<pad>",
        unk_token="<unknown>",
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_model(shape: str, folder: Path, seed: int = 0) -> Path:
    """Write a model of this shape with random weights, and its tokenizer, unless the folder has it already.

    Published shapes are written in bf16, as they are published; the small ones in fp32.
    """
    if shape not in SHAPES:
        raise unknown_name("shape", shape, SHAPES)
    if (folder / "model.safetensors.index.json").exists() or (folder / "model.safetensors").exists():
        return folder
    tokenizer = make_tokenizer(SHAPES[shape]["vocab_size"])
    config = Qwen3Config(
        **SHAPES[shape], bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    kind = torch.bfloat16 if shape.startswith("Qwen3") else torch.float32
    with torch.random.fork_rng(devices=[]), _default(kind):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@contextlib.contextmanager
def _default(kind: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
