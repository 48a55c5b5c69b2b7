"""Teams of adapters on one frozen base, and of different models: they train, resume, and say what is wrong."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from collm.cli import run as command
from collm.config import TrainConfig, resolve
from collm.errors import ConfigError, ModelError, OutOfMemoryError
from collm.learning.critic import TextCritic
from collm.memory import needed_for
from collm.models.base import weights_hash
from collm.models.chat import ChatFormat
from collm.models.loading import load_base, load_policies
from collm.models.settings import WeightSettings
from collm.models.tiny.build import TinyRecipe, make_model, make_tokenizer
from collm.training import checkpoint
from collm.training.load import load_team
from collm.training.loop import Trainer
from collm.training.run import train
from collm.training.setup import assemble
from tests.training.test_resume import SMALL, assert_same_ending

WIDTH: dict[str, int] = {"hidden": 32, "heads": 2, "layers": 2, "feed_forward": 64}


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder as people have them: a random Qwen3 with a tokenizer."""
    out = tmp_path_factory.mktemp("models") / "qwen"
    recipe = TinyRecipe(corpus=200, **WIDTH)
    tokenizer = make_tokenizer(recipe)
    make_model(recipe, tokenizer).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return str(out)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another architecture with another vocabulary and no chat template."""
    out = tmp_path_factory.mktemp("models") / "llama"
    tokenizer = make_tokenizer(TinyRecipe(seed=1, corpus=60, vocabulary=500))
    tokenizer.chat_template = None
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return str(out)


LORA = {"train": "lora"}
"""For `tiny`: a random model earns nothing, and so learns nothing."""


def small(model: str | list[str], method: str = "collm-cc", **values: Any) -> TrainConfig[Any]:
    critic = {"critic": SMALL["critic"]} if method in ("collm-cc", "collm-dc") else {}
    common = {key: value for key, value in SMALL.items() if key != "critic"}
    return resolve("str-build", method, values={**common, **critic, "model": model, **values})


def test_a_run_trains_adapters_only_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    config = small(
        "tiny", weights=LORA, critic={**SMALL["critic"], "target": "polyak"}, policy={**SMALL["policy"], "kl": "loss"}
    )
    summary = train(config, tmp_path / "whole")
    assert summary["model_hash"] == weights_hash(load_base("tiny").model)
    tensors, _ = checkpoint.load(checkpoint.latest(tmp_path / "whole" / "checkpoints"))
    weights = {name for name in tensors if not name.startswith(("optimiser", "returns"))}
    assert {name.split(".")[0] for name in weights} == {"policy-0", "policy-1", "critic-0", "slow-0"}
    assert all("lora_" in name for name in weights if name.startswith("policy"))
    assert any(float(tensors[name].abs().max()) > 0 for name in weights if name.endswith("lora_B"))
    resumed(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of adapters that nothing interrupted."""
    run = tmp_path_factory.mktemp("adapters") / "whole"
    train(small("tiny", weights=LORA), run)
    return run


def test_the_trained_team_is_what_was_saved(whole: Path) -> None:
    _, _, policies = load_team(whole)
    assert policies[0].base is policies[1].base
    tensors, _ = checkpoint.load(checkpoint.latest(whole / "checkpoints"))
    for place, policy in enumerate(policies):
        for name, weight in policy.own.state_dict().items():
            assert torch.equal(weight, tensors[f"policy-{place}.{name}"])


def test_one_agents_step_moves_nobody_else() -> None:
    config = small("tiny", "collm-dc", weights=LORA)
    trainer = Trainer(config, assemble(config))
    team = trainer.parts.policies
    base = {name: tensor.clone() for name, tensor in team[0].model.state_dict().items() if ".lora_" not in name}
    trainer.step()
    before = [p.detach().clone() for p in team[1].own.parameters()]
    learner = trainer.parts.learner
    learner.seats = learner.seats[:1]
    trainer.step()
    assert any(
        float(p.detach().abs().max()) > 0 for name, p in team[0].own.named_parameters() if name.endswith("lora_B")
    )
    assert all(torch.equal(p, q) for p, q in zip(team[1].own.parameters(), before, strict=True))
    now = team[0].model.state_dict()
    assert all(torch.equal(now[name], tensor) for name, tensor in base.items())


def test_the_reference_is_the_base_without_adapters() -> None:
    config = small("tiny", weights=LORA, policy={**SMALL["policy"], "kl": "loss", "epochs": 1, "minibatches": 1})
    trainer = Trainer(config, assemble(config))
    records = [trainer.step() for _ in range(3)]
    assert records[1]["policy"]["kl_reference"] == pytest.approx(0.0, abs=1e-6)
    assert records[2]["policy"]["kl_reference"] > 1e-7


@pytest.mark.parametrize("encoding", ["auto", "time-order", "prompts"])
def test_different_models_with_different_vocabularies_train_together(llama: str, encoding: str) -> None:
    config = small(["tiny", llama], weights=LORA, critic={**SMALL["critic"], "encoding": encoding})
    trainer = Trainer(config, assemble(config))
    one, two = trainer.parts.policies
    assert (one.model.config.model_type, two.model.config.model_type) == ("qwen3", "llama")
    records = [trainer.step() for _ in range(3)]
    assert np.isfinite(records[-1]["policy"]["grad_norm"])
    assert all(float(p.detach().abs().max()) > 0 for policy in (one, two) for p in policy.own.parameters())
    assert trainer.parts.model_hash == f"{weights_hash(one.model)}+{weights_hash(two.model)}"
    (critic,) = trainer.parts.learner.critics
    assert isinstance(critic, TextCritic)
    own, foreign = one.chat.tokenizer, two.chat.tokenizer
    text = "/fill 0 0 0 1 1 0 stone"
    part = critic.script.part(1, foreign.encode(text, add_special_tokens=False))
    assert own.decode(part) == f"\n[Agent 2]\n{text}"


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["full", "lora"])
def test_a_critic_may_start_from_another_model(llama: str, weights: str, tmp_path: Path) -> None:
    """Its own network and vocabulary; the team is that of one model, and the run goes on bit for bit."""
    config = small("tiny", weights={"train": weights}, critic={**SMALL["critic"], "model": llama})
    (critic,) = assemble(config).learner.critics
    assert isinstance(critic, TextCritic)
    assert critic.model.reader.base.config.model_type == "llama"
    assert (critic.model.reader.adapter is None) == (weights == "full")
    train(config, tmp_path / "whole")
    resumed(tmp_path)


def resumed(folder: Path) -> None:
    """The run in ``whole``, gone on with from its first checkpoint, ends as it did."""
    shutil.copytree(folder / "whole", folder / "again")
    first = min(path.name for path in (folder / "again" / "checkpoints").iterdir())
    assert command(["train", "--resume", str(folder / "again"), "--checkpoint", first, "--quiet"]) == 0
    assert_same_ending(folder / "whole", folder / "again")


@pytest.mark.parametrize("own", [{"encoding": "caches"}, {"backbone": "policy"}])
def test_a_critic_of_another_model_has_no_states_of_a_policy(own: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"critic\.model is a network beside the policies"):
        small("tiny", "collm-dc", critic={**SMALL["critic"], "model": "small", **own})


def test_what_different_models_cannot_do_is_said(qwen: str, llama: str) -> None:
    config = small([qwen, llama], critic={**SMALL["critic"], "encoding": "caches"})
    with pytest.raises(ConfigError, match="caches needs one model for all agents"):
        assemble(config)
    with pytest.raises(ConfigError, match="names 3 models; give one, or one for each of 2 agents"):
        assemble(small([qwen, llama, qwen]))


def test_auto_is_full_for_embedded_models_and_adapters_for_others(qwen: str) -> None:
    assert all(policy.adapter is None for policy in load_policies("tiny", 2))
    assert [policy.adapter for policy in load_policies(qwen, 2)] == ["agent-0", "agent-1"]


def test_a_model_without_a_chat_template_gets_a_plain_one_and_says_so(
    llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--problems", "2", "--protocol", "parallel", "--sampling.max-new-tokens", "4"]
    assert command(["baseline", "str-build", "--model", llama, *short]) == 0
    assert f"the model '{llama}' has no chat template: messages are written as 'User: …'" in capsys.readouterr().err


def test_a_tokenizer_that_ends_nothing_is_refused(llama: str) -> None:
    tokenizer = load_base(llama).chat.tokenizer
    tokenizer.chat_template = None
    tokenizer.eos_token = tokenizer.pad_token = None
    with pytest.raises(ModelError, match="nothing says where a response ends"):
        ChatFormat(tokenizer)


def test_a_tokenizer_without_pad_or_end_uses_its_templates_mark(qwen: str) -> None:
    tokenizer = load_base(qwen).chat.tokenizer
    tokenizer.eos_token = tokenizer.pad_token = None
    chat = ChatFormat(tokenizer)
    assert chat.stop_ids == (chat.end_of_turn,) == (chat.pad_id,)
    assert tokenizer.decode([chat.end_of_turn]) == "<|im_end|>"


def test_an_incomplete_folder_is_refused(qwen: str, tmp_path: Path) -> None:
    folder = tmp_path / "part"
    shutil.copytree(qwen, folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"incomplete: 1 of its weights .* model\.layers\.1\.mlp\.up_proj\.weight"):
        load_base(str(folder))
    (folder / "model.safetensors").unlink()
    for missing in ("model.safetensors", "tokenizer.json", "config.json"):
        shutil.rmtree(folder)
        shutil.copytree(qwen, folder, ignore=shutil.ignore_patterns(missing))
        with pytest.raises(ModelError, match=rf"part' is incomplete: it has no .*{missing}.*Download or copy it again"):
            load_base(str(folder))


def test_a_prompt_longer_than_the_context_names_problem_length_and_setting(qwen: str, tmp_path: Path) -> None:
    folder = tmp_path / "short"
    shutil.copytree(qwen, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 16}))
    with pytest.raises(
        ConfigError, match=r"the first observation of problem .* has \d+ tokens.*at least \d+ are needed"
    ):
        assemble(small(str(folder)))


@pytest.mark.parametrize("doing", ["playing", "learning", "loading the models"])
def test_exhausted_memory_names_three_settings(doing: str) -> None:
    with (
        pytest.raises(OutOfMemoryError, match=f"memory ran out while {doing}.*; or .*; or ") as found,
        needed_for(doing),
    ):
        torch.empty(1 << 50, dtype=torch.float64)
    assert "\n" not in str(found.value)


def test_a_run_without_memory_can_go_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps its checkpoints, says how to go on, and then does."""
    steps = Trainer.step

    def step(trainer: Trainer) -> dict[str, Any]:
        if trainer.progress.update == 4:
            with needed_for("learning"):
                torch.empty(1 << 50, dtype=torch.float64)
        return steps(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        with pytest.raises(OutOfMemoryError, match=r"collm train --resume .*run"):
            train(small("tiny", weights=LORA), tmp_path / "run")
    assert command(["train", "--resume", str(tmp_path / "run"), "--quiet"]) == 0
    assert_same_ending(whole, tmp_path / "run")


def test_a_quantised_base_trains_adapters_too() -> None:
    pytest.importorskip("bitsandbytes", reason="pip install 'collm[quantised]'")
    for bits in ("8bit", "4bit"):
        config = small("tiny", weights={"train": "lora", "quantisation": bits})
        trainer = Trainer(config, assemble(config))
        records = [trainer.step() for _ in range(2)]
        assert records[-1]["policy"]["grad_norm"] > 0


def test_what_a_quantised_base_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"needs a frozen base: set weights\.train = lora"):
        load_policies("tiny", 1, settings=WeightSettings(train="full", quantisation="8bit"))
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError, match=r"pip install 'collm\[quantised\]'"):
        load_policies("tiny", 1, settings=WeightSettings(train="lora", quantisation="4bit"))
