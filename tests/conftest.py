"""Shared parts of the tests: small teams and tasks that take no time to make."""

from __future__ import annotations

import os

# Several tests run side by side: threads that wait must not spin. Read when torch is loaded, so it comes before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

from collm.models.base import Base
from collm.models.chat import ChatFormat
from collm.models.policy import Policy
from collm.models.tiny.build import TinyRecipe, make_model, make_tokenizer
from collm.tasks import Task, make_task

torch.set_num_threads(1)


LONG = ("test_compare", "test_resume", "test_served", "test_adapters", "test_critics", "test_export", "test_trackers")
"""Files of minutes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first, so that workers that take one file after the other end together."""
    items.sort(key=lambda item: not any(name in str(item.path) for name in LONG))


@pytest.fixture(scope="session")
def chat() -> ChatFormat:
    """The chat format of a tokenizer made from a few demonstrations."""
    return ChatFormat(make_tokenizer(TinyRecipe(corpus=200)))


def untrained_policy(chat: ChatFormat, seed: int) -> Policy:
    """A small random Qwen3: its responses are long and arbitrary, which is what parity tests want."""
    recipe = TinyRecipe(seed=seed, hidden=64, heads=2, layers=2, feed_forward=128)
    return Policy(Base(make_model(recipe, chat.tokenizer).eval(), chat))


@pytest.fixture(scope="session")
def team(chat: ChatFormat) -> list[Policy]:
    """Two agents with different random weights."""
    return [untrained_policy(chat, 0), untrained_policy(chat, 1)]


@pytest.fixture(scope="session")
def four_turns() -> Task:
    """A two-agent task in which random text leads through all four turns."""
    return make_task("str-build", turns=4, train_size=32, validation_size=4, test_size=8)
