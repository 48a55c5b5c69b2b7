"""What the machine can do at most, and how near our phases come to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from collm.bench.models import SHAPES
from collm.bench.side.worker import Device, Record
from collm.bench.workload import Workload
from collm.machine import large_products

_SIZES = {"cpu": (2048, 1 << 28), "cuda": (8192, 1 << 30)}
"""Rows of the square matrices, bytes of the copy."""
FORMULA = (
    "rollout FLOPs = 2·P·(tokens of all histories) + 2·V·d·(generated tokens) + attention; "
    "learning FLOPs = 6·P·(tokens of all histories) + 6·V·d·(learned tokens) + 8·P·(tokens the critics read) "
    "+ 3 × attention of the policies + 4 × attention of the critics; "
    "attention = 2·layers·heads·head size·Σ n² over sequences of n tokens; a critic's query over m cached tokens: Σ + 2m. "
    "P: parameters without embeddings; V: vocabulary; d: width. "
    "Rollout bytes = 4·(P + V·d) per decoded token of a batch and agent, plus the keys and values each token attends to."
)


def measure(device: str, threads: int, quick: bool) -> Record:
    """GFLOP/s of large matrix products in fp32 and bf16, and GB/s of a large copy (read and write): the best of many.

    On a processor, fp32 products are those that our learning uses where they are the faster ones.
    """
    torch.set_num_threads(threads)
    where = Device(device)
    rows, size = _SIZES["cuda" if where.cuda else "cpu"]
    rows, size = (rows // 4, size // 8) if quick else (rows, size)
    seconds = 0.2 if quick else 2.0
    found: Record = {"rows": rows, "copy_bytes": size}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        left, right = (torch.randn(rows, rows, device=device).to(kind) for _ in range(2))
        product = torch.empty_like(left)
        with large_products():
            best = _best(where, lambda a=left, b=right, c=product: torch.matmul(a, b, out=c), seconds)  # type: ignore[misc]
        found[f"{name}_gflops_per_s"] = 2 * rows**3 / best / 1e9
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    found["copy_gb_per_s"] = 2 * size / _best(where, lambda: target.copy_(source), seconds) / 1e9
    return found


def _best(device: Device, work: Callable[[], Any], seconds: float) -> float:
    """The shortest time of a call, over so many seconds, after one to warm up."""
    work()
    device.wait()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while not times or time.perf_counter() < until:
        started = time.perf_counter()
        work()
        device.wait()
        times.append(time.perf_counter() - started)
    return min(times)


def nearness(limits: Mapping[str, float], work: Workload, shape: str, reply: Mapping[str, Any]) -> Record:
    """Shares of the limits that the rollout and the learning of one round of ours reach (linear episodes)."""
    size = SHAPES[shape]
    body, head = body_parameters(shape), size["vocab_size"] * size["hidden_size"]
    sequences = work.problems * work.agents
    own = reply["policy_tokens"] / sequences
    play, learn = (sequences * flops for flops in history_flops(shape, own, reply["learned_tokens"] / sequences))
    learn += 8 * body * reply["critic_tokens"] + 4 * _per_square(shape) * reply["critic_squares"]
    decoded = work.turns * work.tokens * work.agents
    cached = 8 * size["num_hidden_layers"] * size["num_key_value_heads"] * size["head_dim"]
    moved = 4 * (body + head) * decoded + cached * reply["generated_tokens"] * own / 2
    rollout, learning = reply["rollout_seconds"], reply["seconds"] - reply["rollout_seconds"]
    return {
        "rollout_seconds": rollout,
        "learning_seconds": learning,
        "rollout_gflops_per_s": play / rollout / 1e9,
        "rollout_of_fp32": play / rollout / 1e9 / limits["fp32_gflops_per_s"],
        "rollout_of_copy": moved / rollout / 1e9 / limits["copy_gb_per_s"],
        "learning_gflops_per_s": learn / learning / 1e9,
        "learning_of_fp32": learn / learning / 1e9 / limits["fp32_gflops_per_s"],
        "learning_of_bf16": learn / learning / 1e9 / limits["bf16_gflops_per_s"],
        "formula": FORMULA,
    }


def history_flops(shape: str, length: float, generated: float) -> tuple[float, float]:
    """What playing and learning from one history of an agent takes, of whose tokens so many are generated."""
    body, head = body_parameters(shape), SHAPES[shape]["vocab_size"] * SHAPES[shape]["hidden_size"]
    attention = _per_square(shape) * length**2
    return 2 * (body * length + head * generated) + attention, 6 * (body * length + head * generated) + 3 * attention


def _per_square(shape: str) -> float:
    """FLOPs of attention for each n² of a sequence of n tokens."""
    size = SHAPES[shape]
    return float(2 * size["num_hidden_layers"] * size["num_attention_heads"] * size["head_dim"])


def body_parameters(shape: str) -> int:
    """Parameters of the layers, without embeddings (norms left out)."""
    size = SHAPES[shape]
    queries = size["num_attention_heads"] * size["head_dim"]
    keys = size["num_key_value_heads"] * size["head_dim"]
    layer = size["hidden_size"] * (2 * queries + 2 * keys) + 3 * size["hidden_size"] * size["intermediate_size"]
    return int(size["num_hidden_layers"] * layer)
