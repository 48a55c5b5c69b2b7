"""One agent's policy: a causal language model, its chat format, and nothing of training."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from collm.errors import ModelError
from collm.models import tiny
from collm.models.cache import RowCache
from collm.models.chat import ChatFormat


class Policy:
    """A causal LM that answers in a chat format.

    ``version`` counts the updates of the weights, so that a cache written by other weights is never continued.
    """

    def __init__(self, model: Any, chat: ChatFormat) -> None:
        self.model = model
        self.chat = chat
        self.version = 0
        tokenizer = chat.tokenizer
        self.stop_ids = chat.stop_ids
        self.pad_id: int = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.layers: int = model.config.get_text_config().num_hidden_layers

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def context(self) -> int:
        """Greatest number of tokens of a history."""
        return int(self.model.config.get_text_config().max_position_embeddings)

    def hidden(
        self,
        tokens: torch.Tensor,
        position_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        cache: RowCache | None = None,
    ) -> torch.Tensor:
        """Last-layer states (rows, tokens, width) of the backbone; no logits are built."""
        output = self.model.base_model(
            input_ids=tokens,
            position_ids=position_ids,
            attention_mask=attention_mask,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return output.last_hidden_state

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (…, vocabulary) at chosen states."""
        return self.model.get_output_embeddings()(hidden)


def model_path(name: str) -> str:
    """The folder or hub id behind a model name; ``tiny`` and ``small`` are the embedded models."""
    return str(tiny.folder(name)) if name in tiny.EMBEDDED else name


def load_model(name: str, device: torch.device | str = "cpu") -> tuple[Any, ChatFormat]:
    """A causal LM in fp32 and its chat format. Raises ModelError if it cannot be loaded."""
    if name.startswith(("/", "./", "../", "~")) and not Path(name).is_dir():
        raise ModelError(f"the model '{name}' cannot be loaded: there is no such folder.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_path(name))
        model = AutoModelForCausalLM.from_pretrained(model_path(name), dtype=torch.float32, attn_implementation="sdpa")
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"the model '{name}' cannot be loaded: {error}") from error
    _refuse_unsupported(name, model.config.get_text_config().to_dict())
    return model.to(device).eval(), ChatFormat(tokenizer)


def _refuse_unsupported(name: str, config: dict[str, Any]) -> None:
    """Raise ModelError for models that the row cache or the plain logits would treat wrongly without a word."""
    if set(config.get("layer_types") or ["full_attention"]) != {"full_attention"}:
        raise ModelError(f"the model '{name}' has layers without full attention, which is not supported yet.")
    if config.get("sliding_window") is not None and config.get("use_sliding_window", True):
        raise ModelError(f"the model '{name}' has sliding-window attention, which is not supported yet.")
    scaled = [key for key in ("final_logit_softcapping", "logit_scale", "logits_scaling") if config.get(key)]
    if scaled:
        raise ModelError(f"the model '{name}' scales its logits ({scaled[0]}), which is not supported yet.")


def load_policies(name: str, agents: int, device: torch.device | str = "cpu") -> list[Policy]:
    """One policy per agent, each with weights of its own, all starting from the same model."""
    policies = []
    for _ in range(agents):
        model, chat = load_model(name, device)
        policies.append(Policy(model, chat))
    return policies


def weights_hash(model: Any) -> str:
    """A short SHA-256 over the names, shapes and bytes of a model's weights: which model a result started from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
