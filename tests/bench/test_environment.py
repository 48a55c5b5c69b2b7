"""The environment for CoMLRL: what is wrong with one is said in a line, with what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from collm.bench.environment import _run, find_or_make
from collm.errors import BenchError


def quiet(text: str) -> None:
    raise AssertionError(text)


def test_a_folder_that_is_no_environment(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"--env .*: there is no .*python"):
        find_or_make(tmp_path, quiet)


def test_an_environment_without_comlrl() -> None:
    with pytest.raises(BenchError, match=r"lacks something: .*comlrl.* Needed: comlrl 1\.4\.3"):
        find_or_make(Path(sys.prefix), quiet)


def test_a_failed_installation_is_one_line_that_says_how_to_go_on() -> None:
    with pytest.raises(BenchError) as raised:
        _run([sys.executable, "-c", "import sys; sys.exit('trying\\nERROR: no matching distribution\\nnotice')"])
    assert "ERROR: no matching distribution" in str(raised.value)
    assert "--env PATH" in str(raised.value)
    assert "\n" not in str(raised.value)
