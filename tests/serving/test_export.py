"""Exported agents: whole without us, and nothing of anybody else in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import collm
from collm import cli, options
from collm.errors import CheckpointError, ConfigError
from collm.models import tiny
from collm.serving.export import export_team, team_command
from collm.serving.exported import AGENT, TEAM, read_agent, read_team
from tests.serving.made import MARK, make_run, row_of

QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Build."}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "full")


@pytest.fixture(scope="module")
def team(run: Path) -> Path:
    return export_team(run, run.parent / "team").folder


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of adapters on a model in a folder."""
    folder = tmp_path_factory.mktemp("adapters")
    shutil.copytree(tiny.folder(), folder / "base")
    return make_run(folder / "run", model=str(folder / "base"), critic={"encoding": "time-order"})


def logits_of(policy: Any, tokens: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = policy.logits(policy.hidden(tokens))
    return found


def theirs(folder: Path) -> tuple[Any, torch.Tensor]:
    """The model and the question as anybody loads them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), tokens


def test_anybody_loads_the_agent_that_was_trained(run: Path, team: Path) -> None:
    _, _, policies = collm.load_team(run)
    for agent, policy in enumerate(policies):
        model, tokens = theirs(team / f"agent_{agent}")
        with torch.inference_mode():
            torch.testing.assert_close(model(tokens).logits, logits_of(policy, tokens), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("merge", [False, True])
def test_adapters_leave_as_adapters_or_merged(merge: bool, adapters: Path) -> None:
    found = export_team(adapters, adapters.parent / f"team-{merge}", merge=merge)
    _, _, policies = collm.load_team(adapters)
    for agent, policy in enumerate(policies):
        folder = found.folder / f"agent_{agent}"
        assert (folder / "adapter_config.json").is_file() is not merge
        assert (folder / "model.safetensors").is_file() is merge
        model, tokens = theirs(folder)
        ours = logits_of(policy, tokens)
        with torch.inference_mode():
            torch.testing.assert_close(model(tokens).logits, ours, atol=1e-4, rtol=1e-4)
            if not merge:
                base = AutoModelForCausalLM.from_pretrained(found.cards[0].base, dtype=torch.float32).eval()
                assert not torch.allclose(base(tokens).logits, ours, atol=1e-4)
                again = PeftModel.from_pretrained(base, folder)
                torch.testing.assert_close(again(tokens).logits, ours, atol=1e-4, rtol=1e-4)


def test_adapters_of_one_base_are_served_together(adapters: Path) -> None:
    found = export_team(adapters, adapters.parent / "together")
    base = adapters.parent / "base"
    command = team_command(found.folder, found.cards)
    assert command is not None
    assert command.startswith(f"vllm serve {base} ")
    assert f"--enable-lora --lora-modules agent_0={found.folder}/agent_0 agent_1={found.folder}/agent_1" in command


@pytest.mark.slow
def test_adapters_on_an_embedded_model_are_merged_with_a_word(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", weights={"train": "lora"}, critic={"encoding": "time-order"})
    found = export_team(run, tmp_path / "team")
    assert found.notes == ("tiny is no name elsewhere, so its adapters were merged into whole models.",)
    assert (tmp_path / "team" / "agent_1" / "model.safetensors").is_file()
    assert team_command(found.folder, found.cards) is None


def test_nothing_of_a_critic_or_a_partner_is_in_an_agents_folder(run: Path, team: Path) -> None:
    rows = [row_of(run, agent) for agent in range(2)]
    for agent in range(2):
        files = [path.read_bytes() for path in (team / f"agent_{agent}").rglob("*") if path.is_file()]
        assert any(rows[agent] in content for content in files)
        assert not any(rows[1 - agent] in content or MARK in content for content in files)
    names = {path.name for path in (team / "agent_0").iterdir()}
    assert names == {
        *("README.md", AGENT, "chat_template.jinja", "config.json", "generation_config.json"),
        *("model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    }


def test_the_papers_of_a_team_agree(run: Path, team: Path) -> None:
    cards = read_team(team)
    assert [(card.agent, card.role) for card in cards] == [(0, "agent 1 of 2"), (1, "agent 2 of 2")]
    values = json.loads((team / TEAM).read_text())
    config = collm.load_team(run)[0]
    assert values["options"] == cards[0].options == options.to_mapping(config.task)
    summary = json.loads((run / "summary.json").read_text())
    assert values["scores"]["trained"] == summary["trained"]["score"]
    page = (team / "agent_0" / "README.md").read_text()
    assert f"{summary['raw']['score']:.1f} → {summary['trained']['score']:.1f} of 100 on 4 problems" in page
    drawn = GenerationConfig.from_pretrained(team / "agent_0")
    sampled = config.sampling
    assert (drawn.do_sample, drawn.temperature, drawn.top_k) == (True, sampled.temperature, sampled.top_k)
    assert drawn.max_new_tokens == sampled.max_new_tokens == 32


def test_altered_and_missing_files_are_named(team: Path, tmp_path: Path) -> None:
    copy = tmp_path / "team"
    shutil.copytree(team, copy)
    weights = copy / "agent_1" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"agent_1/model.safetensors is not the file that was exported.*Copy the folder"
    ):
        read_agent(copy / "agent_1")
    weights.unlink()
    stranger = copy / "agent_1" / "adapter_config.json"
    stranger.touch()
    with pytest.raises(ConfigError, match=r"adapter_config.json is none of the agent's files. Move it away, or copy"):
        read_agent(copy / "agent_1")
    stranger.unlink()
    (copy / "agent_1" / ".DS_Store").touch()
    with pytest.raises(ConfigError, match=r"model.safetensors is missing"):
        read_agent(copy / "agent_1")
    shutil.rmtree(copy / "agent_1")
    shutil.copytree(copy / "agent_0", copy / "agent_1")
    with pytest.raises(ConfigError, match=r"agent_1 is not the agent that .*team.json lists"):
        read_team(copy)


def test_the_folder_one_is_in_is_as_good(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after an export that was stopped there."""
    (tmp_path / "here" / ".partial" / "agent_0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    export_team(run.absolute(), Path("."))
    assert [path.name for path in sorted(Path(".").iterdir())] == ["agent_0", "agent_1", TEAM]
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    read_team(Path("."))


def test_what_cannot_be_exported_says_so(
    run: Path, team: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=r"team exists and is not empty. Export to another folder: .*team-2"):
        export_team(run, team)
    with pytest.raises(ConfigError, match="there is no such run folder"):
        export_team(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"file is a file. Export to another folder: .*file-2"):
        export_team(run, tmp_path / "file")
    with pytest.raises(ConfigError, match=r"cannot be made: .*\. Export to another folder\."):
        export_team(run, tmp_path / "file" / "team")
    empty = tmp_path / "unfinished"
    (empty / "checkpoints").mkdir(parents=True)
    shutil.copy(run / "config.yaml", empty)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        export_team(empty, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    for folder, message in [
        (tmp_path / "none", "there is no such folder. Make one from a run: collm export RUN DIR"),
        (team, "is a whole team. Name one agent: "),
        (run, "is not an exported agent: it has no agent.json"),
    ]:
        assert cli.run(["serve", str(folder)]) == 2
        assert message in capsys.readouterr().err
