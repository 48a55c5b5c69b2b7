"""What teams take in memory, counted for published shapes and measured on one of them: python benchmarks/memory.py

A team is one frozen base in bf16, an adapter of rank 8 on all linear layers per agent, and one for the critic; what is
counted of it are weights, gradients and AdamW's two moments. Fills in the ``memory`` of docs/performance.md.
"""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

import torch
from marked import fill
from transformers import Qwen3Config, Qwen3ForCausalLM

from collm.models.base import Base
from collm.models.chat import ChatFormat
from collm.models.loading import load_base, with_adapter
from collm.models.policy import Policy
from collm.models.settings import WeightSettings

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
AGENTS, RANK = 8, 8
MEASURED = "Qwen3-1.7B"
# Width, layers, query heads, key/value heads, head size, feed-forward, vocabulary, tied: from published configurations.
SHAPES = {
    "Qwen3-0.6B": (1024, 28, 16, 8, 128, 3072, 151_936, True),
    "Qwen3-1.7B": (2048, 28, 16, 8, 128, 6144, 151_936, True),
    "Qwen3-4B": (2560, 36, 32, 8, 128, 9728, 151_936, True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured", default=MEASURED, choices=SHAPES)
    name = parser.parse_args().measured
    rows = [
        "| shape | base, bf16 | each further agent | of the base | 8 agents and critic | of the base |",
        "|---|---:|---:|---:|---:|---:|",
        *(_row(shape, *counted(shape, torch.device("meta"))) for shape in SHAPES),
    ]
    base, agent, team = measured(name)
    text = "\n".join(
        [
            "```\npython benchmarks/memory.py\n```\n",
            *rows,
            f"\nCounted from the tensors. Measured on {name} (all live tensors after each agent's step of learning): "
            f"base {base / 2**20:,.0f} MiB, each further agent {agent / 2**20:.1f} MiB ({agent / base:.1%}), 8 agents and "
            f"critic {team / base:.2f} times the base.",
        ]
    )
    print(text)
    PAGE.write_text(fill(PAGE.read_text(), "memory", text))


def _row(name: str, base: int, agent: int, team: int) -> str:
    return (
        f"| {name} | {base / 2**20:,.0f} MiB | {agent / 2**20:,.0f} MiB | {agent / base:.1%} | {team / 2**20:,.0f} MiB | "
        f"{team / base:.2f} |"
    )


def model(name: str, device: torch.device) -> Qwen3ForCausalLM:
    """A random model of this shape in bf16."""
    width, layers, heads, shared, size, wide, vocabulary, tied = SHAPES[name]
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=shared,
        head_dim=size,
        intermediate_size=wide,
        tie_word_embeddings=tied,
    )
    config.dtype = torch.bfloat16
    with torch.device(device), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Qwen3ForCausalLM._from_config(config).eval()


def team_base(name: str, device: torch.device) -> Base:
    return Base(model(name, device), tokens(), WeightSettings(train="lora", rank=RANK, precision="bf16"))


def tokens() -> ChatFormat:
    """Any tokenizer: nothing is said."""
    return load_base("tiny").chat


def counted(name: str, device: torch.device) -> tuple[int, int, int]:
    """Bytes of the base, of one agent, and of 8 agents and critic: 16 per trained number."""
    base = team_base(name, device)
    frozen = sum(one.numel() * one.element_size() for one in base.model.parameters())
    own = sum(one.numel() for one in with_adapter(base, "agent-0", 0).own.parameters()) * 16
    head = 16 * (base.config.hidden_size + 1)
    return frozen, own, frozen + (AGENTS + 1) * own + head


def measured(name: str) -> tuple[int, float, int]:
    """The same of the measured shape, from the bytes of all tensors that are alive after a step of each."""
    before = _alive()
    base = team_base(name, torch.device("cpu"))
    empty = _alive() - before
    kept = []
    sizes = []
    for place in range(AGENTS + 1):
        policy = with_adapter(base, f"agent-{place}", 0)
        kept.append(_learned(policy))
        sizes.append(_alive() - before)
    each = (sizes[-2] - sizes[0]) / (AGENTS - 1)
    head = 16 * (base.config.hidden_size + 1)
    return empty, each, sizes[-1] + head


def _learned(policy: Policy) -> torch.optim.Optimizer:
    """The optimiser of one agent after a step of learning; its gradients stay."""
    optimiser = torch.optim.AdamW(policy.own.parameters(), lr=1e-4)
    policy.hidden(torch.arange(16)[None]).float().square().mean().backward()
    optimiser.step()
    return optimiser


def _alive() -> int:
    """Bytes of all tensors that are alive, each storage once."""
    gc.collect()
    storages = {}
    for one in gc.get_objects():
        if issubclass(type(one), torch.Tensor) and one.device.type == "cpu":
            storages[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
            if one.grad is not None:
                storages[one.grad.untyped_storage().data_ptr()] = one.grad.untyped_storage().nbytes()
    return sum(storages.values())


if __name__ == "__main__":
    main()
