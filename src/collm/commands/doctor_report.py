"""What ``collm doctor`` says: the machine and its libraries, and how fast it plays and learns."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version
from typing import Any

import torch

from collm import __version__, machine
from collm.config import resolve
from collm.errors import ConfigError
from collm.models.base import weights_hash
from collm.sandbox import Sandbox
from collm.training.loop import Trainer
from collm.training.setup import assemble

_EPISODES = 32
_LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


def this_machine() -> dict[str, Any]:
    """Versions, processors, memory, GPUs, and how well written code can be confined."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "collm": __version__,
        "python": platform.python_version(),
        **{library: version(library) for library in _LIBRARIES},
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "memory_gib": round(memory / 2**30, 1),
        "gpus": ", ".join(gpus) or "none (not needed)",
        "sandbox": _sandbox(),
    }


def _sandbox() -> str:
    """How well model-written code can be confined here, found by trying it."""
    try:
        with Sandbox(workers=1) as sandbox:
            return str(sandbox.level)
    except ConfigError as error:
        return f"none: {error}"


def speed() -> dict[str, Any]:
    """One real update of the quick preset on a quarter of its batch, after one to warm up."""
    print("measuring …", file=sys.stderr)
    machine.prepare()
    config = resolve(
        "str-build", preset="quick", values={"rollout": {"problems": _EPISODES}, "evaluation": {"every": 0}}
    )
    parts = assemble(config)
    trainer = Trainer(config, parts)
    trainer.step()
    started = time.perf_counter()
    record = trainer.step()
    seconds = time.perf_counter() - started
    size = sum(parameter.numel() for parameter in parts.policies[0].model.parameters())
    return {
        "tiny": f"{size / 1e6:.2f} M parameters, {weights_hash(parts.policies[0].model)}",
        "sampled_tokens_per_s": round(record["time"]["tokens_per_second"]),
        "env_steps_per_s": round(record["time"]["env_steps_per_second"], 1),
        "quick_preset_minutes": round(config.env_steps / record["env_steps"] * 2 * seconds / 60, 1),
    }
