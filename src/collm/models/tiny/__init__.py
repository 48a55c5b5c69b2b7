"""The embedded model: a few-million-parameter Qwen3 that ships with the package and runs on a laptop."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

EMBEDDED = ("tiny",)
"""Names of the models that ship with the package."""


def folder(name: str = "tiny") -> Path:
    """Where a shipped model's weights, tokenizer and configuration lie."""
    return Path(str(files("collm.models.tiny").joinpath("weights", name)))
