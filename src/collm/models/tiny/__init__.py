"""The embedded model `tiny`: a few-million-parameter Qwen3 that ships with the package and runs on a laptop."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def folder() -> Path:
    """Where the shipped weights, tokenizer and configuration lie."""
    return Path(str(files("collm.models.tiny").joinpath("weights")))
