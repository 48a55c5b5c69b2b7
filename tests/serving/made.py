"""A trained run whose critic carries a mark, to see where it goes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import collm
from collm.training import checkpoint

_CRITIC = 1234.5678
MARK = struct.pack("<f", _CRITIC) * 8
"""How a marked row of the critic's weights looks in a file."""


def make_run(path: Path, **values: Any) -> Path:
    """A run of two updates, with the mark put into its checkpoint."""
    settings: dict[str, Any] = {
        "env_steps": 144,
        "seed": 3,
        "rollout": {"problems": 24},
        "evaluation": {"every": 0, "test_problems": 4},
        "run": {"threads": 1},
        **values,
    }
    collm.train(collm.resolve("str-build", preset="quick", values=settings), path)
    folder = checkpoint.latest(path / "checkpoints")
    tensors, state = checkpoint.load(folder)
    own = [tensor for name, tensor in tensors.items() if name.startswith("critic-0") and tensor.ndim == 2]
    for tensor in own:
        if tensor.shape[1] >= 8:
            tensor[-1] = _CRITIC
    checkpoint.save(folder.parent, int(folder.name.rpartition("-")[2]), tensors, state)
    assert MARK in (folder / checkpoint.TENSORS).read_bytes()
    return path


def row_of(path: Path, agent: int) -> bytes:
    """Some weights of one agent that no other has, as they look in a file."""
    tensors = checkpoint.load(checkpoint.latest(path / "checkpoints"))[0]
    own = next(v for name, v in tensors.items() if name.startswith(f"policy-{agent}.") and v.ndim == 2)
    return own[0].contiguous().numpy().tobytes()
