"""Ways to decode a team on equal work, interleaved: python benchmarks/decode.py

The same prompts, sampled, no response ends early; the first way of each table is what the others are compared with. Fills in
the ``decoding`` of docs/performance.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from marked import fill
from transformers import Qwen3Config, Qwen3ForCausalLM

from collm import machine, make_task
from collm.models.base import Base
from collm.models.chat import ChatFormat
from collm.models.loading import load_policies, with_adapter
from collm.models.policy import Policy
from collm.models.settings import WeightSettings
from collm.rollout import networks
from collm.rollout.engine import Session
from collm.rollout.sampling import Sampling

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
NEW_TOKENS = 64
Way = Callable[[list[Policy], list[list[int]]], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="interleaved rounds")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    machine.prepare(arguments.device)
    prompts = openings()
    parts = []
    for title, team, ways in teams(arguments.device):
        for policy in team:
            policy.stop_ids = ()
        for rows in (8, 128):
            parts.append(table(f"{title}, {rows} rows per agent", team, ways, prompts[:rows], arguments.pairs))
    text = "\n\n".join(parts)
    print(text)
    if arguments.device == "cpu":
        command = f"python benchmarks/decode.py --pairs {arguments.pairs}"
        PAGE.write_text(fill(PAGE.read_text(), "decoding", f"```\n{command}\n```\n\n{text}"))


def openings() -> list[list[int]]:
    """First observations of StrBuild as `tiny` reads them."""
    task, chat = make_task("str-build"), load_policies("tiny", 1)[0].chat
    return [list(chat.opening(task.reset(problem).observations[0])) for problem in task.problems("train")[:128]]


def teams(device: str) -> list[tuple[str, list[Policy], dict[str, Way]]]:
    """Two agents with models of their own, and two with adapters on one base; and the ways each can play."""
    own = load_policies("tiny", 2, device)
    apart: dict[str, Way] = {"a stack": together, "a session each": separately, "the library's `generate`": generate}
    adapted: dict[str, Way] = {"a mixed batch": together, "a session each": separately, "merged copies": merged}
    return [
        ("`tiny`, all weights", own, apart),
        ("`tiny` with adapters", load_policies("tiny", 2, device, WeightSettings(train="lora")), adapted),
        ("30 M parameters with adapters", larger(own[0].chat, device), adapted),
    ]


def larger(chat: ChatFormat, device: str) -> list[Policy]:
    config = Qwen3Config(
        vocab_size=len(chat.tokenizer),
        hidden_size=512,
        num_hidden_layers=9,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        intermediate_size=1536,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = Base(Qwen3ForCausalLM(config).to(device).eval(), chat, WeightSettings(train="lora"))
    return [with_adapter(base, f"agent-{agent}", 0) for agent in range(2)]


def table(title: str, team: list[Policy], ways: dict[str, Way], prompts: list[list[int]], pairs: int) -> str:
    """Tokens per second of every way, and how long it takes compared with the first one, round by round."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(pairs + 1):
        for name, way in ways.items():
            taken = timed(way, team, prompts)
            if round_:
                seconds[name].append(taken)
    first = seconds[next(iter(ways))]
    rows = [f"| {title} | tokens/s | time, as a multiple of the first |", "|---|---:|---:|"]
    for name, own in seconds.items():
        ratios = [one / other for one, other in zip(own, first, strict=True)]
        speed = 2 * len(prompts) * NEW_TOKENS / statistics.median(own)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        rows.append(f"| {name} | {speed:,.0f} | {spread} |")
    return "\n".join(rows)


def timed(way: Way, team: list[Policy], prompts: list[list[int]]) -> float:
    _wait()
    started = time.perf_counter()
    way(team, prompts)
    _wait()
    return time.perf_counter() - started


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def play(policies: Sequence[Policy], prompts: list[list[int]]) -> None:
    """One turn of these rows in one session."""
    numbers = np.random.default_rng(0).random((len(policies), NEW_TOKENS))
    session = Session(policies, Sampling(max_new_tokens=NEW_TOKENS), lambda row, turn: numbers[row])
    session.respond(range(len(policies)), prompts, 0)


def together(team: list[Policy], prompts: list[list[int]]) -> None:
    play([policy for policy in team for _ in prompts], prompts * len(team))


def separately(team: list[Policy], prompts: list[list[int]]) -> None:
    """With the library's model, as larger teams play."""
    with mock.patch.object(networks, "stackable", return_value=False):
        for policy in team:
            play([policy] * len(prompts), prompts)


def merged(team: list[Policy], prompts: list[list[int]]) -> None:
    """Weights with the adapters in them, made anew as after every update."""
    copies = [Policy(policy.base.merged(str(policy.adapter))) for policy in team]
    for policy in copies:
        policy.stop_ids = ()
    separately(copies, prompts)


def generate(team: list[Policy], prompts: list[list[int]]) -> None:
    longest = max(map(len, prompts))
    for policy in team:
        rows = torch.tensor([[policy.pad_id] * (longest - len(row)) + row for row in prompts], device=policy.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts], device=policy.device)
        with torch.inference_mode():
            policy.model.generate(
                rows,
                attention_mask=mask,
                do_sample=True,
                top_k=0,
                min_new_tokens=NEW_TOKENS,
                max_new_tokens=NEW_TOKENS,
                output_logits=True,
                return_dict_in_generate=True,
            )


if __name__ == "__main__":
    main()
