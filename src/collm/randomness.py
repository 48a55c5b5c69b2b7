"""Counter-based randomness: every draw is a pure function of the keys that name it.

A key is the path to a draw, for instance ``(run seed, "rollout", update, problem, episode, node, agent, sibling)``.
Whatever else is drawn, in which order and in which batch, the draw of a key stays the same, so batch
composition, worker count and resumption cannot change a run (DESIGN, contract 5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

Key = int | str


def generator(*key: Key) -> np.random.Generator:
    """A fresh numpy generator for this key: Philox, keyed by the BLAKE2 hash of the key's parts."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def uniforms(count: int, *key: Key) -> np.ndarray:
    """``count`` uniform numbers in [0, 1), one per token of a decision; a longer draw starts with a shorter one."""
    return generator(*key).random(count)


def integer(*key: Key) -> int:
    """One 63-bit seed for this key, for code that wants a plain integer."""
    return int(generator(*key).integers(2**63 - 1))


def pick(random: np.random.Generator, weights: Mapping[str, float]) -> str:
    """One of the names, each as likely as its weight says; weights add up to 1."""
    return str(random.choice(list(weights), p=list(weights.values())))
