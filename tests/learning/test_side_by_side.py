"""Networks that are updated side by side end where they end one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from collm.config import resolve
from collm.errors import ConfigError
from collm.learning.side_by_side import side_by_side
from collm.presets import merged
from collm.training.loop import Trainer
from collm.training.setup import assemble
from tests.test_methods import SMALL


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(method: str, threads: int, values: dict[str, Any]) -> tuple[Trainer, list[dict[str, Any]]]:
    """Two updates in which every network has one processor thread: as many threads as networks, or one for all."""
    config = resolve("str-build", method, values=merged(SMALL, values))
    trainer = Trainer(config, assemble(config))
    trainer.parts.learner.threads = threads
    records = []
    for _ in range(2):
        records.append(trainer.step())
        torch.set_num_threads(1)
    return trainer, records


@pytest.mark.parametrize(
    ("method", "networks", "values"), [("collm-dc", 4, {"critic": {"warmup_updates": 1}}), ("magrpo", 2, {})]
)
def test_side_by_side_is_one_after_the_other(method: str, networks: int, values: dict[str, Any]) -> None:
    (one, first), (other, second) = (trained(method, threads, values) for threads in (1, networks))
    for kind in ("policy", "critic"):
        assert first[-1].get(kind) == second[-1].get(kind)
    for mine, yours in zip(one.parts.policies, other.parts.policies, strict=True):
        for p, q in zip(mine.own.parameters(), yours.own.parameters(), strict=True):
            assert torch.equal(p, q)
    for mine, yours in zip(one.parts.learner.critics, other.parts.learner.critics, strict=True):
        for p, q in zip(mine.model.parameters(), yours.model.parameters(), strict=True):
            assert torch.equal(p, q)


def test_threads_are_divided_and_given_back() -> None:
    torch.set_num_threads(4)
    assert side_by_side([torch.get_num_threads] * 3, 4) == [1, 1, 1]
    assert side_by_side([torch.get_num_threads] * 2, 4) == [2, 2]
    assert torch.get_num_threads() == 4
    assert side_by_side([torch.get_num_threads] * 2, 1) == [4, 4]


def test_an_error_in_one_is_an_error(tmp_path: object) -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        side_by_side([lambda: None, fail], 2)
    assert torch.get_num_threads() == 2


def test_who_learns_side_by_side() -> None:
    torch.set_num_threads(2)

    def threads(method: str = "collm-cc", **values: Any) -> int:
        config = resolve("str-build", method, values=merged(SMALL, values))
        return assemble(config).learner.threads

    assert threads() == 2
    assert threads(run={"overlap": False}) == 1
    assert threads(weights={"train": "lora"}) == 1
    assert threads("ac", critic={"backbone": "policy"}) == 1
    with pytest.raises(ConfigError, match=r"overlap = true: .* set weights\.train = full"):
        threads(weights={"train": "lora"}, run={"overlap": True})
