"""The embedded models: Qwen3s of one and two million parameters that ship with the package and run on a laptop."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

EMBEDDED = ("tiny", "small")
"""Their names; `small` has about twice the parameters of `tiny`."""


def folder(name: str = "tiny") -> Path:
    """Where a shipped model's weights, tokenizer and configuration lie."""
    return Path(str(files("collm.models.tiny").joinpath("weights", name)))
