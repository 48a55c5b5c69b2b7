"""Without a network nobody waits for the hub."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from collm import hub
from collm.errors import ConfigError, ModelError
from collm.models.loading import load_base
from collm.tasks.sources import DataSet, load


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub at a port of this machine where nobody listens."""
    import datasets

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hub._reachable.cache_clear()
    yield
    hub._reachable.cache_clear()


@pytest.mark.usefixtures("no_network")
def test_data_and_models_of_the_hub_are_refused_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    posts = DataSet("somebody/no-such-posts", dict.fromkeys(("train", "validation", "test"), "train"), text="prompt")
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"cannot be read: .*task\.source = mini, or task\.data = a local folder"):
        load(posts)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base("somebody/no-such-model")
    assert time.monotonic() - began < 30
    assert "Retry" not in capfd.readouterr().err


@pytest.mark.usefixtures("no_network")
def test_a_local_folder_needs_no_hub(tmp_path: Path) -> None:
    hub.work_offline_without_network(str(tmp_path))
    assert not constants.HF_HUB_OFFLINE
    hub.work_offline_without_network("somebody/something")
    assert constants.HF_HUB_OFFLINE
