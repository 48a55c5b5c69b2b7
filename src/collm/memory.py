"""What happens when memory runs out: one line that says what was being done, and which settings need less."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch

from collm.errors import OutOfMemoryError

_SPARING: Mapping[str, tuple[str, str, str]] = {
    "playing": (
        "a smaller rollout.problems (episodes at once)",
        "a smaller sampling.max_new_tokens or rollout.max_history",
        "weights.train = lora (one base for all agents) with weights.precision = bf16",
    ),
    "learning": (
        "a smaller run.token_budget (tokens of one pass)",
        "weights.checkpointing = true",
        "weights.train = lora (one base for all agents) with weights.precision = bf16",
    ),
    "loading the models": (
        "weights.train = lora (one base for all agents)",
        "weights.precision = bf16",
        "weights.quantisation = 8bit or 4bit",
    ),
}
_MESSAGES = ("not enough memory", "out of memory", "can't allocate memory")


@contextlib.contextmanager
def needed_for(doing: str) -> Iterator[None]:
    """Turn what torch and Python say when memory runs out into an OutOfMemoryError; ``doing`` is one of the above."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _explained(doing, error) from error
    except RuntimeError as error:
        if any(message in str(error).lower() for message in _MESSAGES):
            raise _explained(doing, error) from error
        raise


def _explained(doing: str, error: BaseException) -> OutOfMemoryError:
    first = str(error).strip().split("\n")[0][:160]
    needs = "; or ".join(_SPARING[doing])
    return OutOfMemoryError(f"memory ran out while {doing}{f' ({first})' if first else ''}. What needs less: {needs}.")
