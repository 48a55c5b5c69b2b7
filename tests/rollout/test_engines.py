"""The choice of the engine: what is refused, and what is said where it is not installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

from collm.config import resolve
from collm.errors import ConfigError
from collm.models.policy import Policy
from collm.rollout.engines import HF, make_engine


def test_hf_needs_nothing(team: list[Policy]) -> None:
    assert make_engine("hf", team, "cpu", None, 1.0) is HF
    with pytest.raises(ConfigError, match="Did you mean 'vllm'"):
        make_engine("vlm", team, "cpu", None, 1.0)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_the_command_that_installs_it_is_named(team: list[Policy]) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'collm\[vllm\]'"):
        make_engine("vllm", team, "cpu", None, 1.0)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"critic": {"encoding": "caches"}}, r"critic\.encoding = caches"),
        ({"weights": {"train": "lora", "quantisation": "4bit"}}, r"weights\.quantisation"),
        ({"sampling": {"temperature": 0.001}}, "0.01 or above"),
    ],
)
def test_what_vllm_cannot_do_is_refused(values: dict[str, Any], said: str) -> None:
    resolve("str-build", values={"rollout": {"engine": "vllm"}})
    with pytest.raises(ConfigError, match=said):
        resolve("str-build", values={"rollout": {"engine": "vllm"}, **values})


@pytest.mark.parametrize("values", [{"policy": {"importance_cap": 2.0}}, {"rollout": {"kv_cache_gib": 2.0}}])
def test_its_options_mean_nothing_without_it(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"only with rollout\.engine = vllm"):
        resolve("str-build", values=values)
