"""The shape of a tree rollout: how many responses at each node, and how they are paired into joint actions."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Annotated, Literal

from collm.options import Range


@dataclasses.dataclass(frozen=True)
class Branching:
    """How a tree branches at every state that is not an end (METHODS, Monte-Carlo family)."""

    width: Annotated[int, Range(1)]
    """K: responses of each agent at each state."""
    pairing: Literal["aligned", "cross"]
    """``aligned`` executes response k of every agent together (K joint actions), ``cross`` all Kⁿ combinations."""

    def joint(self, agents: int) -> list[tuple[int, ...]]:
        """The joint actions as (agents,) tuples of sibling indices, in lexicographic order."""
        if self.pairing == "aligned":
            return [(sibling,) * agents for sibling in range(self.width)]
        return list(itertools.product(range(self.width), repeat=agents))
