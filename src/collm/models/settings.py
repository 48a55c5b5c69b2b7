"""How models are loaded, and which of their weights are trained."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

from collm.options import Range


@dataclasses.dataclass(frozen=True)
class WeightSettings:
    """What of a model is trained, and in which numbers it computes."""

    train: Literal["auto", "lora", "full"] = "auto"
    """LoRA adapters, one per agent and critic, on one frozen base that they share; or all weights, each agent and critic
    with a model of its own. auto: full for the embedded models, lora for all others."""
    rank: Annotated[int, Range(1, 1024)] = 8
    """Rank of the adapters."""
    alpha: Annotated[float, Range(0, open_low=True)] = 16.0
    """An adapter's part is multiplied by alpha/rank."""
    targets: tuple[str, ...] = ("all-linear",)
    """The linear layers that get adapters, by the end of their names (q_proj v_proj …); all-linear: every one but the
    output layer."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Numbers of the passes through the model: trained weights stay fp32, a frozen base is kept in these. auto: bf16 on a
    GPU, fp32 on a processor."""
    quantisation: Literal["none", "8bit", "4bit"] = "none"
    """Keep the frozen base in fewer bits (bitsandbytes); lora only."""
    checkpointing: bool = False
    """Compute the layers' states again when learning instead of keeping them: less memory, a third more time."""
    trust_remote_code: bool = False
    """Run code that comes with a model."""
