"""What learning is made of, in our form and in the library's, interleaved: python benchmarks/operations.py

Forward and backward of parts of a layer at the size of `tiny`; fp32 products with torch's choice and with oneDNN. Fills
in the ``operations`` of docs/performance.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from marked import fill
from torch.nn import functional
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from collm import machine
from collm.models.attention import attend
from collm.models.norm import RMSNorm

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
ROWS, LENGTH, HEADS, SIZE, WIDTH = 18, 230, 4, 32, 128
"""A micro-batch of some 4,000 tokens, four query heads that share one key head."""
REPEATS = 10
Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=15, help="interleaved rounds")
    pairs = parser.parse_args().pairs
    machine.prepare(threads=1)
    rows = [compared(name, ours, theirs, pairs) for name, ours, theirs in (attention(), norm(), *products())]
    head = "| forward and backward, one thread | library or torch, ms | ours, ms | ratio, median | lowest, highest |"
    text = "\n".join(["```", "python benchmarks/operations.py", "```", "", head, "|---|---:|---:|---:|---:|", *rows])
    print(text)
    PAGE.write_text(fill(PAGE.read_text(), "operations", text))


def attention() -> tuple[str, Work, Work]:
    queries, direction = drawn(ROWS, HEADS, LENGTH, SIZE), drawn(ROWS, HEADS, LENGTH, SIZE).detach()
    keys, values = drawn(ROWS, 1, LENGTH, SIZE), drawn(ROWS, 1, LENGTH, SIZE)

    def ours() -> None:
        with machine.large_products():
            torch.autograd.grad(attend(queries, keys, values, None), (queries, keys, values), direction)

    def library() -> None:
        found = functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, scale=1.0, enable_gqa=True
        )
        torch.autograd.grad(found, (queries, keys, values), direction)

    return f"causal attention, {ROWS} rows of {LENGTH} tokens, {HEADS} heads of {SIZE}", ours, library


def norm() -> tuple[str, Work, Work]:
    states, direction = drawn(ROWS, LENGTH, WIDTH), drawn(ROWS, LENGTH, WIDTH).detach()
    own, other = RMSNorm(torch.nn.Parameter(torch.ones(WIDTH)), 1e-6), Qwen3RMSNorm(WIDTH)
    return (
        f"norm of {ROWS * LENGTH} states of {WIDTH}",
        lambda: torch.autograd.grad(own(states), (states, own.weight), direction),
        lambda: torch.autograd.grad(other(states), (states, other.weight), direction),
    )


def products() -> list[tuple[str, Work, Work]]:
    """Two of learning, and one of decoding, which is small and so left to torch's choice."""
    found = []
    for outputs in (WIDTH, 4 * WIDTH):
        states, weight = torch.randn(1, ROWS * LENGTH, WIDTH), torch.randn(1, outputs, WIDTH).transpose(1, 2)
        found.append(product(f"fp32 product {ROWS * LENGTH} × {WIDTH} × {outputs}", states, weight))
    cache = torch.randn(192, 2 * LENGTH, SIZE)[:, :LENGTH].transpose(1, 2)
    title = f"192 fp32 products {HEADS} × {SIZE} × {LENGTH} with a cache, as in decoding"
    return [*found, product(title, torch.randn(192, HEADS, SIZE), cache)]


def product(title: str, left: torch.Tensor, right: torch.Tensor) -> tuple[str, Work, Work]:
    def large() -> None:
        with machine.large_products():
            torch.bmm(left, right)

    return f"{title} (forward)", large, lambda: torch.bmm(left, right)


def compared(name: str, ours: Work, theirs: Work, pairs: int) -> str:
    """One line of the table."""
    times = [(timed(theirs), timed(ours)) for _ in range(pairs + 1)][1:]
    ratios = sorted(other / own for other, own in times)
    other, own = (1e3 * statistics.median(each) for each in zip(*times, strict=True))
    return f"| {name} | {other:.2f} | {own:.2f} | {statistics.median(ratios):.2f} | {ratios[0]:.2f}, {ratios[-1]:.2f} |"


def timed(work: Work) -> float:
    """Seconds of one call, over some."""
    started = time.perf_counter()
    for _ in range(REPEATS):
        work()
    return (time.perf_counter() - started) / REPEATS


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape).requires_grad_()


if __name__ == "__main__":
    main()
