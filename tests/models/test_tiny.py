"""The embedded models: small, stock, deterministic to build, and weak on purpose."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from collm import make_task
from collm.cli import run
from collm.evaluation.evaluate import evaluate
from collm.models import tiny
from collm.models.loading import load_policies
from collm.models.tiny.build import RECIPES, TinyRecipe, build, make_tokenizer
from collm.rollout.sampling import Sampling


@pytest.mark.parametrize(("name", "least", "most"), [("tiny", 1e6, 2e6), ("small", 2e6, 5e6)])
def test_it_is_a_stock_model_of_its_size(name: str, least: float, most: float) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny.folder(name))
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert least <= sum(parameter.numel() for parameter in model.parameters()) <= most


def test_all_that_ships_is_within_ten_megabytes() -> None:
    assert sum(file.stat().st_size for file in tiny.folder().parent.rglob("*") if file.is_file()) <= 10 * 2**20


@pytest.mark.parametrize("name", tiny.EMBEDDED)
def test_it_was_made_by_its_recipe(name: str) -> None:
    assert json.loads((tiny.folder(name) / "recipe.json").read_text()) == dataclasses.asdict(RECIPES[name])


@pytest.mark.slow
def test_its_tokenizer_is_what_the_recipes_make() -> None:
    made = make_tokenizer(TinyRecipe()).get_vocab()
    for name in tiny.EMBEDDED:
        assert AutoTokenizer.from_pretrained(tiny.folder(name)).get_vocab() == made


@pytest.mark.slow
def test_building_is_deterministic_and_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    recipe = TinyRecipe(steps=2, batch_tokens=1024, corpus=50, hidden=32, heads=2, feed_forward=32, layers=1)
    state = torch.random.get_rng_state()
    for name in ("a", "b"):
        build(recipe, tmp_path / name, lambda step, loss: None)
    assert torch.equal(state, torch.random.get_rng_state())
    for name in ("model.safetensors", "tokenizer.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_command_builds_a_folder_that_plays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "model")
    assert run(["build-tiny", out, "--steps", "1", "--batch-tokens", "1024", "--corpus", "50"]) == 0
    assert run(["play", "str-build", "--model", out, "--problem", "AB", "--json"]) == 0
    assert run(["build-tiny", out]) == 2
    assert "exists and is not empty" in capsys.readouterr().err


def test_the_raw_team_knows_the_format_and_not_the_cooperation() -> None:
    """At least 90 % of its lines are valid commands on held-out words, at less than half of the attainable score."""
    task = make_task("str-build", turns=2, max_length=2)
    found = evaluate(task, load_policies("tiny", 2), task.problems("test")[:64], Sampling(), ("test", 0))
    assert found.mean("valid") >= 0.9
    assert 5 < found.mean("score") < 50
