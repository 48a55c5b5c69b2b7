"""`collm build-tiny`: makes an embedded model from nothing but the tasks' own noisy demonstrations, in minutes."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from collm.models.chat import ChatFormat
from collm.models.tiny import tokenizer as tiny_tokenizer
from collm.models.tiny.corpus import conversations
from collm.options import Range
from collm.randomness import generator, integer
from collm.tasks.protocol import Conversation

_IGNORED = -100
_POOL = 2048

Encoded = tuple[list[int], list[int]]


@dataclasses.dataclass(frozen=True)
class TinyRecipe:
    """Everything that decides what an embedded model is."""

    seed: Annotated[int, Range(0)] = 0
    """Seed of the weights and of the demonstrations."""
    steps: Annotated[int, Range(1)] = 6000
    """Optimiser steps."""
    batch_tokens: Annotated[int, Range(1024)] = 4096
    """Tokens per step, padding included."""
    lr: Annotated[float, Range(0, 1, open_low=True)] = 3e-3
    """Peak learning rate of Muon and AdamW (linear warm-up, cosine to zero)."""
    vocabulary: Annotated[int, Range(400, 65_536)] = 2048
    """Greatest number of tokens."""
    corpus: Annotated[int, Range(1)] = 6000
    """Conversations the tokenizer is made from."""
    hidden: Annotated[int, Range(32)] = 128
    """Width of the model."""
    layers: Annotated[int, Range(1)] = 4
    """Depth of the model."""
    heads: Annotated[int, Range(1)] = 4
    """Query heads; they share one key/value head, which keeps the cache small."""
    feed_forward: Annotated[int, Range(32)] = 512
    """Width of the gated feed-forward layers."""


RECIPES = {
    "tiny": TinyRecipe(),
    "small": TinyRecipe(hidden=160, layers=5, feed_forward=640),
}
"""The embedded models: `tiny`, and `small` of about twice its size for the single-model baselines."""


def make_tokenizer(recipe: TinyRecipe) -> PreTrainedTokenizerFast:
    """The tokenizer, from a sample of the demonstrations."""
    sample = list(itertools.islice(conversations("corpus", recipe.seed), recipe.corpus))
    texts = [text for one in sample for seen, said in one for text in (*(m.content for m in seen), said)]
    return tiny_tokenizer.build([*texts, *(["system", "user", "assistant"] * len(sample))], recipe.vocabulary)


def make_model(recipe: TinyRecipe, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """An untrained Qwen3 of the recipe's shape."""
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=1,
        head_dim=recipe.hidden // recipe.heads,
        intermediate_size=recipe.feed_forward,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer("tiny", "weights", recipe.seed))
        return Qwen3ForCausalLM(config)


def encode(chat: ChatFormat, conversation: Conversation) -> Encoded:
    """A conversation as tokens and labels; only responses, each with its end-of-turn mark, are learned."""
    tokens: list[int] = []
    labels: list[int] = []
    for turn, (observation, action) in enumerate(conversation):
        seen = chat.following(observation, tokens[-1]) if turn else chat.opening(observation)
        said = [*chat.tokenizer.encode(action, add_special_tokens=False), chat.end_of_turn]
        tokens += [*seen, *said]
        labels += [*([_IGNORED] * len(seen)), *said]
    return tokens, labels


def batches(recipe: TinyRecipe, chat: ChatFormat) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless padded batches (conversations, tokens) of inputs and labels, of similar length within a batch."""
    stream = conversations("training", recipe.seed)
    shuffle = generator("tiny", "order", recipe.seed)
    while True:
        pool = sorted((encode(chat, one) for one in itertools.islice(stream, _POOL)), key=lambda pair: len(pair[0]))
        groups = list(_grouped(pool, recipe.batch_tokens))
        for index in shuffle.permutation(len(groups)):
            yield _padded(groups[index])


def _grouped(pool: list[Encoded], budget: int) -> Iterator[list[Encoded]]:
    """Runs of the sorted pool whose padded size is within the budget."""
    group: list[Encoded] = []
    for one in pool:
        if group and (len(group) + 1) * len(one[0]) > budget:
            yield group
            group = []
        group.append(one)
    yield group


def _padded(group: list[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(tokens) for tokens, _ in group)
    inputs = torch.zeros(len(group), longest, dtype=torch.long)
    labels = torch.full_like(inputs, _IGNORED)
    for row, (tokens, targets) in enumerate(group):
        inputs[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, : len(tokens)] = torch.tensor(targets)
    return inputs, labels


def train(
    recipe: TinyRecipe, model: Qwen3ForCausalLM, chat: ChatFormat, progress: Callable[[int, float], None]
) -> None:
    """Next-token training on responses; ``progress`` receives the step and its loss (nats per token)."""
    optimisers = _optimisers(model, recipe.lr)
    warm_up = max(1, recipe.steps // 20)
    model.train()
    for step, (inputs, labels) in enumerate(itertools.islice(batches(recipe, chat), recipe.steps)):
        done = step / recipe.steps
        scale = min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * done))
        for group in itertools.chain.from_iterable(optimiser.param_groups for optimiser in optimisers):
            group["lr"] = recipe.lr * scale
        hidden = model.model(input_ids=inputs).last_hidden_state[:, :-1]
        learned = labels[:, 1:] != _IGNORED
        loss = functional.cross_entropy(model.lm_head(hidden[learned]), labels[:, 1:][learned])
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
        progress(step + 1, loss.item())
    model.eval()


def _optimisers(model: Qwen3ForCausalLM, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, which learn faster with it; AdamW for everything else."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    held = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in held]
    return [
        torch.optim.Muon(matrices, lr=lr, momentum=0.95, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def build(recipe: TinyRecipe, out: Path, progress: Callable[[int, float], None]) -> None:
    """Build the model and write it as a Hugging Face folder (bf16 safetensors, tokenizer, recipe)."""
    tokenizer = make_tokenizer(recipe)
    model = make_model(recipe, tokenizer)
    train(recipe, model, ChatFormat(tokenizer), progress)
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")
