"""Every command and every Python example of the documents runs, the long ones with a small budget."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import tyro

from collm.cli import COMMANDS, run
from collm.methods import METHODS
from tests.serving.stations import Served

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "docs/tasks/arxiv.md",
    "docs/tasks/coop-he.md",
    "docs/tasks/str-build.md",
    "docs/tasks/tldr.md",
    "docs/tasks/house-build.md",
    "docs/minecraft.md",
    "docs/architecture.md",
    "docs/baselines.md",
    "docs/metrics.md",
    "docs/performance.md",
    "docs/pettingzoo.md",
    "docs/theory.md",
    "docs/sandbox.md",
    "docs/deploy.md",
    "docs/trackers.md",
    *(f"docs/methods/{name}.md" for name in METHODS),
)
LONG = ("analyze", "baseline", "bench", "build-tiny", "compare", "doctor", "train")
SMALL_TRAIN = "--env-steps 4 --rollout.problems 2 --sampling.max-new-tokens 8 --evaluation.test-problems 2 --quiet"
SMALL = {
    "train": SMALL_TRAIN,
    "build-tiny": "--steps 1 --batch-tokens 1024 --corpus 50",
    "analyze": "--quick",
    "baseline": "--problems 2 --task.train-size 4 --task.test-size 4 --sampling.max-new-tokens 8",
    "compare": "--preset quick --methods raw --only tldr/raw/0",
    "bench": "--quick --rounds 1 --threads 1 --parts limits",
}
MENTIONED = (
    "collm train",
    "collm eval",
    "collm play",
    "collm build-tiny",
    "collm compare",
    "collm export",
    "collm serve",
)
"""Names of commands in the text, which are not to be run so."""
TRAINED = "--train env_steps=4 rollout.problems=2 evaluation.test_problems=2"
FITTED = "--fit-episodes 4 --fit-passes 1"
SMALL_PARTS = {
    "knowable": FITTED,
    "drift": f"{TRAINED} --drift.updates 1 {FITTED}",
    "convergence": f"{TRAINED} --convergence.methods mareinforce --convergence.seeds 0 {FITTED}",
}
"""For the parts of analyses that train or fit long."""
SMALL_VALUES = (
    'values={"seed": 0, "env_steps": 4, "rollout": {"problems": 2}, "evaluation": {"test_problems": 2}, '
    '"sampling": {"max_new_tokens": 8}}'
)


def commands() -> list[str]:
    """The `collm …` commands of all pages, in order, without what stands for something else or needs another machine.

    Those that install CoMLRL are run by tests/bench/test_command.py, in an environment that has it.
    """
    found: dict[str, None] = {}
    for page in PAGES:
        for command in re.findall(r"(?:^|`)(collm [^`\n]+)", (ROOT / page).read_text(), flags=re.MULTILINE):
            text = command.split("  #")[0].strip()
            mentioned = text in MENTIONED
            elsewhere = any(part in text for part in ("--vs comlrl", "device cuda", "Qwen/", "trackers trackio"))
            if (
                text.split()[1] in COMMANDS
                and not mentioned
                and not elsewhere
                and not re.search(r"[A-Z]{4,}|…|file\.yaml", text)
            ):
                found[text] = None
    return list(found)


def small(block: str) -> str:
    """An example with a small budget."""
    budget = '"env_steps": 4, "rollout": {"problems": 2}'
    return re.sub(r'"env_steps": \d+', budget, block).replace('values={"seed": 0}', SMALL_VALUES)


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of one's own to type commands in, and nothing sent away."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_every_command_of_the_documents(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(commands()) >= 8
    with contextlib.ExitStack() as servers:
        run_all(servers, capsys)


class Understood(Exception):
    """A command line was read to its end."""


@pytest.mark.usefixtures("elsewhere")
def test_every_long_command_of_the_documents_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their flags exist and take these values; ``make test-all`` runs them."""
    read = tyro.cli

    def only_read(*arguments: Any, **keywords: Any) -> None:
        raise Understood(read(*arguments, **keywords))

    monkeypatch.setattr(tyro, "cli", only_read)
    for text in commands():
        _, name, *rest = shlex.split(text)
        if name in LONG and "--resume" not in rest and "--help" not in rest:
            with pytest.raises(Understood):
                run([name, *rest])


def run_all(servers: contextlib.ExitStack, capsys: pytest.CaptureFixture[str]) -> None:
    """All commands in order; agents that are served stay so until the end."""
    for text in commands():
        _, name, *rest = shlex.split(text)
        if name == "serve":
            servers.enter_context(contextlib.closing(Served(Path(rest[0]), int(rest[2])))).ready()
            continue
        small = [] if "--resume" in rest or "--help" in rest else shlex.split(SMALL.get(name, ""))
        if rest[:1] == ["str-build"] and "--parts" in rest:
            small += shlex.split(SMALL_PARTS[rest[rest.index("--parts") + 1]])
        try:
            status = run([name, *rest, *small])
        except SystemExit as stop:
            status = int(stop.code or 0)
        assert status == 0, f"{text}: {capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES)
def test_every_python_example(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(page):
        exec(small(block), names)


def test_every_file_that_the_readme_names_exists() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target
