"""Our decode loop against the library's ``generate`` on equal work, interleaved: python benchmarks/decode.py

Both sample the same number of tokens (no response ends early) from the same prompts with the embedded model.
"""

from __future__ import annotations

import json
import statistics
import time

import numpy as np
import torch

from collm import machine, make_task
from collm.models.loading import load_policies
from collm.rollout.engine import Session
from collm.rollout.sampling import Sampling

ROWS, NEW_TOKENS, PAIRS = 128, 64, 7


def main() -> None:
    machine.prepare()
    policy = load_policies("tiny", 1)[0]
    policy.stop_ids = ()
    task = make_task("str-build")
    prompts = [list(policy.chat.opening(task.reset(p).observations[0])) for p in task.problems("train")[:ROWS]]
    ratios, ours, theirs = [], [], []
    for pair in range(PAIRS + 1):
        a, b = timed(lambda: loop(policy, prompts)), timed(lambda: generate(policy, prompts))
        if pair:
            ours.append(ROWS * NEW_TOKENS / a)
            theirs.append(ROWS * NEW_TOKENS / b)
            ratios.append(b / a)
    print(
        json.dumps(
            {
                "ours_tokens_per_s": round(statistics.median(ours)),
                "generate_tokens_per_s": round(statistics.median(theirs)),
                "ratio_median": round(statistics.median(ratios), 2),
                "ratio_low": round(min(ratios), 2),
                "ratio_high": round(max(ratios), 2),
            }
        )
    )


def timed(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


def loop(policy: object, prompts: list[list[int]]) -> None:
    numbers = np.random.default_rng(0).random((len(prompts), NEW_TOKENS))
    session = Session([policy] * len(prompts), Sampling(max_new_tokens=NEW_TOKENS), lambda row, turn: numbers[row])  # type: ignore[arg-type]
    session.respond(range(len(prompts)), prompts, 0)


def generate(policy: object, prompts: list[list[int]]) -> None:
    longest = max(map(len, prompts))
    rows = torch.tensor([[policy.pad_id] * (longest - len(row)) + row for row in prompts])  # type: ignore[attr-defined]
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in prompts])
    with torch.inference_mode():
        policy.model.generate(  # type: ignore[attr-defined]
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
