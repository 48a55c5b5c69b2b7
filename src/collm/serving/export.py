"""A run's trained agents as folders that anything can load: one each, with nothing of the others or of the training."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from peft import LoraConfig
from safetensors.torch import save_file
from transformers import GenerationConfig
from transformers.pytorch_utils import Conv1D

from collm import options
from collm.config import TrainConfig
from collm.errors import ConfigError
from collm.methods import METHODS
from collm.models.loading import trains_adapters
from collm.models.policy import Policy
from collm.models.tiny import EMBEDDED
from collm.rollout.sampling import Sampling
from collm.serving.exported import AgentCard, write_agent, write_team
from collm.tasks.protocol import Task
from collm.training.load import load_team
from collm.training.run_folder import RunFolder, make_folder, next_free, read_json
from collm.training.team import models

_PARTIAL = ".partial"
"""Where agents are written first, within the folder that is asked for."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export made."""

    folder: Path
    cards: tuple[AgentCard, ...]
    notes: tuple[str, ...]
    """What its user should know."""


def export_team(
    run: Path, out: Path, merge: bool = False, checkpoint: str | None = None, task: Task | None = None
) -> Exported:
    """Write the team of a run to ``out``: a folder per agent, and ``team.json``.

    An agent that is an adapter stays one, on the base model that its card names, unless ``merge``; adapters on an embedded
    model, which has no name elsewhere, are always merged. A run of a task that is an object needs the same ``task``. Raises
    ConfigError if ``out`` is in use or weights cannot be merged, CheckpointError if the run has no good checkpoint.
    """
    _check_free(out)
    config, task, policies = load_team(run, checkpoint, task)
    if merge and config.weights.quantisation != "none":
        raise ConfigError("adapters on a quantised base cannot be merged: leave --merge out.")
    seats = zip(models(config, task.agents), policies, strict=True)
    cards = [_card(config, task, agent, name, policy, merge) for agent, (name, policy) in enumerate(seats)]
    partial = make_folder(out, "Export to another folder.") / _PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    scores = _scores(run, checkpoint)
    for card, policy in zip(cards, policies, strict=True):
        _write_agent(partial / card.name, card, policy, config, scores)
    write_team(partial, cards, _training(config) | {"scores": scores})
    for path in sorted(partial.iterdir()):  # the team's page comes last: without it there is no team
        path.rename(out / path.name)
    partial.rmdir()
    return Exported(out, tuple(cards), tuple(_notes(config, cards, merge)))


def _check_free(out: Path) -> None:
    """Raise ConfigError unless nothing is there, or only what an export left that was stopped."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file. Export to another folder: {next_free(out)}")
    if out.is_dir() and any(path.name != _PARTIAL for path in out.iterdir()):
        raise ConfigError(f"{out} exists and is not empty. Export to another folder: {next_free(out)}")


def team_command(folder: Path, cards: Sequence[AgentCard]) -> str | None:
    """How vLLM serves a whole team from one base; None if its agents are not adapters on one."""
    if not all(card.adapter for card in cards) or len({card.base for card in cards}) > 1:
        return None
    modules = " ".join(f"{card.name}={folder / card.name}" for card in cards)
    return f"vllm serve {cards[0].base} --host 127.0.0.1 --port 8000 --enable-lora --lora-modules {modules}"


def _card(config: TrainConfig[Any], task: Task, agent: int, base: str, policy: Policy, merge: bool) -> AgentCard:
    return AgentCard(
        task=config.task_name,
        options=options.to_mapping(config.task),
        agent=agent,
        agents=task.agents,
        role=task.role(agent),
        method=config.method,
        seed=config.seed,
        sampling=options.to_mapping(config.sampling),
        base=base,
        adapter=trains_adapters(base, config.weights) and not merge and base not in EMBEDDED,
        precision="bf16" if policy.base.autocast else "fp32",
    )


def _notes(config: TrainConfig[Any], cards: Sequence[AgentCard], merge: bool) -> list[str]:
    embedded = [card for card in cards if card.base in EMBEDDED and trains_adapters(card.base, config.weights)]
    if not embedded or merge:
        return []
    return [f"{embedded[0].base} is no name elsewhere, so its adapters were merged into whole models."]


def _write_agent(
    folder: Path, card: AgentCard, policy: Policy, config: TrainConfig[Any], scores: Mapping[str, Any] | None
) -> None:
    folder.mkdir(parents=True)
    if card.adapter:
        _save_adapter(folder, card, policy, config)
    else:
        model = policy.model if policy.adapter is None else policy.base.merged(policy.adapter).model
        model.save_pretrained(folder)
    policy.chat.tokenizer.save_pretrained(folder)
    _generation(config.sampling, policy).save_pretrained(folder)
    page = _template().render(card=card, scores=scores, config=config, caveat=METHODS[config.method].caveat)
    (folder / "README.md").write_text(page, encoding="utf-8")
    for path in folder.iterdir():  # safetensors' are for their owner alone, and a server may be somebody else
        path.chmod(0o644)
    write_agent(folder, card)


def _save_adapter(folder: Path, card: AgentCard, policy: Policy, config: TrainConfig[Any]) -> None:
    """In the form that peft, transformers and vLLM read."""
    assert policy.adapter is not None
    own = policy.base.adapters[policy.adapter]
    tensors = {f"base_model.model.{name}.weight": weights.detach().cpu().contiguous() for name, weights in own.items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    layers = sorted({name.rpartition(".lora_")[0] for name in own})
    LoraConfig(
        r=config.weights.rank,
        lora_alpha=config.weights.alpha,
        target_modules=layers,
        fan_in_fan_out=all(isinstance(policy.model.get_submodule(one).get_base_layer(), Conv1D) for one in layers),
        base_model_name_or_path=card.base,
        task_type="CAUSAL_LM",
        inference_mode=True,
    ).save_pretrained(folder)


def _generation(sampling: Sampling, policy: Policy) -> GenerationConfig:
    """How the agent was trained to draw its responses, for servers that ask."""
    drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    return GenerationConfig(
        do_sample=sampling.temperature > 0,
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=list(policy.stop_ids),
        pad_token_id=policy.pad_id,
        **(drawn if sampling.temperature > 0 else {}),
    )


def _training(config: TrainConfig[Any]) -> dict[str, Any]:
    return {
        "method": config.method,
        "preset": config.preset,
        "seed": config.seed,
        "model": config.model,
        "env_steps": config.env_steps,
        "sampling": options.to_mapping(config.sampling),
    }


def _scores(run: Path, checkpoint: str | None) -> dict[str, Any] | None:
    """What the finished run measured of its team on held-out problems; None if it is not finished, or was another team."""
    folder = RunFolder.open(run)
    if checkpoint is not None or not folder.summary_path.is_file():
        return None
    summary = read_json(folder.summary_path, f"Write it again: collm train --resume {run}")
    return {
        "problems": summary["problems"],
        "raw": summary["raw"]["score"],
        "trained": summary["trained"]["score"],
        "improvement": summary["improvement"],
        "env_steps": summary["env_steps"],
    }


@functools.cache
def _template() -> Any:
    return Environment(
        loader=PackageLoader("collm.serving", "."), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("card.md.jinja")
