"""Loading causal LMs and tokenizers, and making a team of policies from them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from collm.errors import ConfigError, ModelError
from collm.hub import work_offline_without_network
from collm.memory import needed_for
from collm.models import attention, tiny
from collm.models.base import SLIDING, Base
from collm.models.chat import ChatFormat
from collm.models.norm import with_fast_norms
from collm.models.policy import Policy
from collm.models.settings import WeightSettings

_LOADING = (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError)


def model_path(name: str) -> str:
    """The folder or hub id behind a model name; ``tiny`` and ``small`` are the embedded models."""
    return str(tiny.folder(name)) if name in tiny.EMBEDDED else name


def one_for_each(names: Sequence[str], agents: int) -> list[str]:
    """The model of each agent. Raises ConfigError if these are not one for all, or one for each."""
    if len(names) not in (1, agents):
        raise ConfigError(f"model names {len(names)} models; give one, or one for each of {agents} agents.")
    return list(names) * (agents if len(names) == 1 else 1)


def trains_adapters(name: str, settings: WeightSettings) -> bool:
    """Whether agents that start from this model are adapters on it."""
    return settings.train == "lora" or (settings.train == "auto" and name not in tiny.EMBEDDED)


@needed_for("loading the models")
def load_policies(
    name: str | Sequence[str],
    agents: int,
    device: torch.device | str = "cpu",
    settings: WeightSettings = WeightSettings(),
    seed: int = 0,
) -> list[Policy]:
    """One policy per agent, each with weights of its own. ``name`` is a model for all of them, or one for each.

    Agents that train adapters share one base per model; ``seed`` is that of the adapters. Raises ModelError if a model
    cannot be loaded.
    """
    names = [name] * agents if isinstance(name, str) else list(name)
    bases: dict[str, Base] = {}
    policies = []
    for agent, own in enumerate(names):
        if not trains_adapters(own, settings):
            policies.append(Policy(load_base(own, device, settings)))
            continue
        if own not in bases:
            bases[own] = load_base(own, device, settings)
        policies.append(with_adapter(bases[own], f"agent-{agent}", seed))
    return policies


def load_raw(name: str, device: torch.device | str = "cpu") -> Policy:
    """A model that nobody will train: one policy for any number of agents."""
    return Policy(load_base(name, device, WeightSettings(train="lora")))


def with_adapter(base: Base, name: str, seed: int) -> Policy:
    """A new policy that is an adapter on this base."""
    base.add_adapter(name, ("adapter", seed, name))
    return Policy(base, name)


def load_base(name: str, device: torch.device | str = "cpu", settings: WeightSettings = WeightSettings()) -> Base:
    """A causal LM and its chat format. Raises ModelError if it cannot be loaded."""
    if name.startswith(("/", "./", "../", "~")) and not Path(name).is_dir():
        raise ModelError(f"the model '{name}' cannot be loaded: there is no such folder.")
    _require_files(name)
    device = torch.device(device)
    frozen, low = trains_adapters(name, settings), _computes_in_bf16(settings, device)
    options: dict[str, Any] = {"dtype": torch.bfloat16 if low and frozen else torch.float32}
    if settings.quantisation != "none":
        options["quantization_config"] = _quantisation(settings, frozen, options["dtype"])
        options["device_map"] = {"": device}
    remote = settings.trust_remote_code
    work_offline_without_network(model_path(name))
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_path(name), trust_remote_code=remote)
        model, found = AutoModelForCausalLM.from_pretrained(
            model_path(name),
            attn_implementation=attention.NAME,
            trust_remote_code=remote,
            output_loading_info=True,
            **options,
        )
    except _LOADING as error:
        advice = (
            ""
            if Path(name).is_dir()
            else " Use tiny, small, a local folder, or a name on the hub while it can be reached."
        )
        raise ModelError(f"the model '{name}' cannot be loaded: {_first_line(error)}{advice}") from error
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        raise ModelError(
            f"the model '{name}' is incomplete: {len(missing)} of its weights are missing, among them {missing[0]}. "
            "Download or copy it again."
        )
    _refuse_unsupported(name, model.config.get_text_config().to_dict())
    chat = ChatFormat(tokenizer, name)
    model = with_fast_norms(model)
    base = Base(model.to(device).eval() if settings.quantisation == "none" else model.eval(), chat, settings)
    base.autocast = low
    return base


_NEEDED = {
    "config.json": ("config.json",),
    "weights (such as model.safetensors)": ("*.safetensors", "*.bin", "*.index.json"),
    "tokenizer (such as tokenizer.json)": ("tokenizer.json", "*.model", "vocab.*", "tekken.json"),
}
"""What a model's folder has to hold, and the names of files that it may be."""


def _require_files(name: str) -> None:
    """Raise ModelError with the first thing that a local folder has not."""
    folder = Path(name)
    if not folder.is_dir():
        return
    for what, patterns in _NEEDED.items():
        if not any(found.stat().st_size for pattern in patterns for found in folder.glob(pattern)):
            raise ModelError(f"the model '{name}' is incomplete: it has no {what}. Download or copy it again.")


def _computes_in_bf16(settings: WeightSettings, device: torch.device) -> bool:
    return settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")


def _quantisation(settings: WeightSettings, frozen: bool, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    if not frozen:
        raise ModelError("weights.quantisation needs a frozen base: set weights.train = lora.")
    try:
        importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise ModelError(
            "weights.quantisation needs bitsandbytes: pip install 'collm[quantised]', or set it to none."
        ) from error
    if settings.quantisation == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def _first_line(error: Exception) -> str:
    """What an error of the library says, without its advice about everything that might be meant."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def _refuse_unsupported(name: str, config: dict[str, Any]) -> None:
    """Raise ModelError for models that the row cache or our attention would treat wrongly without a word."""
    kinds = set(config.get("layer_types") or []) - {"full_attention", SLIDING}
    if kinds:
        raise ModelError(
            f"the model '{name}' has layers of {min(kinds)}, and here a layer keeps keys and values. Use a model "
            "whose layers have full or sliding-window attention."
        )
    if config.get("attn_logit_softcapping"):
        raise ModelError(f"the model '{name}' bounds its attention scores, which is not supported. Use another model.")
