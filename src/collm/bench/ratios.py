"""Equal work is checked, then compared round by round: the median of the pairs, the lowest and the highest."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from collm.bench.side.worker import Record
from collm.bench.workload import Workload
from collm.errors import BenchError


@dataclasses.dataclass(frozen=True)
class Ratio:
    """How many times better we are, pair by pair: above 1 in our favour."""

    pairs: tuple[float, ...]
    censored: bool = False
    """Whether the other side did not get there, so that every pair is a lower bound."""

    @property
    def median(self) -> float:
        return statistics.median(self.pairs)

    def record(self) -> dict[str, Any]:
        """For JSON."""
        found = {"median": self.median, "low": min(self.pairs), "high": max(self.pairs), "pairs": list(self.pairs)}
        return {**found, "censored": True} if self.censored else found


def require_equal(work: Workload, ours: Record, theirs: Record | None) -> None:
    """Raise BenchError unless both sides did the work: env steps, generated tokens, prompts, learned tokens.

    CoMLRL's group-relative loss leaves out each response's last token, so it learns from that many tokens fewer.
    """
    for name, reply in (("ours", ours), ("theirs", theirs)):
        if reply is None:
            continue
        dropped = work.env_steps * work.agents if work.tree and name == "theirs" else 0
        wanted = {
            "env_steps": work.env_steps,
            "generated_tokens": work.generated,
            "learned_tokens": work.generated - dropped,
        }
        for what, count in wanted.items():
            if reply[what] != count:
                raise BenchError(
                    f"the work is not equal: {name} has {reply[what]:,} {what}, and {count:,} were asked for."
                )
    if theirs is not None:
        for what in ("prompts", "openings"):
            if ours[what] != theirs[what]:
                raise BenchError(f"the work is not equal: {what} are {ours[what]} and {theirs[what]}.")


def rates(replies: Sequence[Record]) -> dict[str, float]:
    """Medians over rounds: env steps, generated and learned tokens per second, and seconds per round."""
    return {
        "seconds": statistics.median(reply["seconds"] for reply in replies),
        **{
            f"{name}_per_s": statistics.median(reply[name] / reply["seconds"] for reply in replies)
            for name in ("env_steps", "generated_tokens", "learned_tokens")
        },
    }


def speed_ratio(pairs: Sequence[Sequence[Record]]) -> Ratio:
    """Env steps per second, ours over theirs."""
    return Ratio(
        tuple(
            (ours["env_steps"] / ours["seconds"]) / (theirs["env_steps"] / theirs["seconds"]) for ours, theirs in pairs
        )
    )


def above_imports(ready: Record, reply: Record) -> int:
    """Bytes at most above what imports alone took; on a GPU the bytes of its allocator."""
    if reply["memory"]["cuda_peak"] is not None:
        return int(reply["memory"]["cuda_peak"])
    before: Mapping[str, Any] = ready["memory"]
    return int(reply["memory"]["peak"] - (before["resident"] or before["peak"]))


def shown(reply: Record) -> Record:
    """A round without its texts, for results."""
    return {name: value for name, value in reply.items() if name not in ("reply", "numbers", "openings")}
