"""CoLLM: train teams of language models that work together without talking to each other while they run."""

from collm.tasks import make_task

__all__ = ["make_task"]
__version__ = "0.1.0"
