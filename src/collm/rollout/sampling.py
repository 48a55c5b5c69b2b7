"""How responses are drawn, as settings."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from collm.options import Range


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How responses are drawn. Sampling is part of the policy: the same distribution is scored when learning."""

    temperature: Annotated[float, Range(0, 100)] = 1.0
    """Divides the logits; 0 takes the most likely token."""
    top_p: Annotated[float, Range(0, 1, open_low=True)] = 1.0
    """Keep the most likely tokens up to this probability mass; 1 keeps all. Below 1 the learner's log-probabilities
    are those of the whole distribution, a bias that is logged as the KL to the sampling policy."""
    top_k: Annotated[int, Range(0)] = 0
    """Keep only this many most likely tokens; 0 keeps all."""
    max_new_tokens: Annotated[int, Range(1, 32_768)] = 128
    """Token limit of one response; a response that reaches it has no end-of-turn mark and is an action like any other."""

    def greedy(self) -> Sampling:
        """The same limits, always taking the most likely token."""
        return dataclasses.replace(self, temperature=0.0, top_p=1.0, top_k=0)
