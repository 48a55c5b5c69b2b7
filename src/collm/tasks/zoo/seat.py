"""One agent's seat at an environment: what it is shown as text, and how its texts become actions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from collm.errors import ConfigError
from collm.tasks.zoo import words
from collm.tasks.zoo.words import Slot

Observe = Callable[[str, Any], str]
"""From agent and observation to what the agent is shown."""
Act = Callable[[str, str, Any], Any]
"""From agent, its text and its observation to an action, or None if the text is none."""
NO_MOVE = "You have no move at this turn: whatever you write is ignored."


@dataclasses.dataclass(frozen=True)
class Seat:
    """How one agent sees and acts."""

    agent: str
    sees: spaces.Space[Any]
    acts: spaces.Space[Any]
    names: tuple[str, ...]
    """The names of a Discrete space's actions, or none."""
    default: Any
    """The action of a text that cannot be read."""
    slots: tuple[Slot, ...]
    """The numbers of an action; empty where it is a text, or read by ``act``."""
    observe: Observe | None
    act: Act | None

    def shown(self, observation: Any, info: Mapping[str, Any], moves: bool) -> str:
        """What the agent is shown: its observation, and which actions are legal where not all are."""
        text = words.wording(self.sees, observation) if self.observe is None else self.observe(self.agent, observation)
        if not isinstance(text, str):
            raise ValueError(f"observe gives {text!r:.80} for {self.agent}; expected a text")
        if not moves:
            return f"{text}\n{NO_MOVE}".strip()
        mask = words.mask_of(observation, info)
        if mask is not None and self.act is None and isinstance(self.acts, spaces.Discrete) and not mask.all():
            text = f"{text}\nAllowed now: {', '.join(self._called(int(index)) for index in np.flatnonzero(mask))}."
        return text.strip() or "(nothing to see)"

    def asks(self) -> str:
        """How to answer, for the first message."""
        if self.act is not None or not self.slots:
            return ""
        if self.names:
            return f"Answer with one of: {', '.join(self.names)}."
        if len(self.slots) == 1:
            return f"Answer with a number {self.slots[0]}."
        if len(set(self.slots)) == 1:
            return f"Answer with {len(self.slots)} numbers, each {self.slots[0]}."
        return f"Answer with {len(self.slots)} numbers: {', '.join(map(str, self.slots))}."

    def can_move(self, observation: Any, info: Mapping[str, Any]) -> bool:
        """Whether any action is legal."""
        mask = words.mask_of(observation, info)
        return mask is None or bool(mask.any())

    def read(self, text: str, observation: Any, info: Mapping[str, Any]) -> tuple[Any, bool]:
        """The action that a text stands for, and whether it is a legal one; if not, a legal default."""
        found = self._read(text, observation)
        mask = words.mask_of(observation, info)
        if found is not None and self._is_legal(found, mask):
            return found, True
        return self.idle(observation, info), False

    def idle(self, observation: Any, info: Mapping[str, Any]) -> Any:
        """The default action, or the first legal one where it is not legal now."""
        mask = words.mask_of(observation, info)
        if mask is None or self._is_legal(self.default, mask) or not mask.any():
            return self.default
        return int(self.slots[0].low) + int(np.flatnonzero(mask)[0])

    def _read(self, text: str, observation: Any) -> Any:
        if self.act is not None:
            return self.act(self.agent, text, observation)
        if isinstance(self.acts, spaces.Text):
            return text
        if isinstance(self.acts, spaces.Discrete):
            return words.read_choice(text, self.slots[0], self.names)
        numbers = words.read_numbers(text, self.slots)
        return None if numbers is None else words.action_of(self.acts, iter(numbers))

    def _is_legal(self, action: Any, mask: np.ndarray | None) -> bool:
        if not self.acts.contains(action):
            return False
        # Other spaces have masks of other shapes, which gymnasium leaves to the environment.
        return mask is None or not isinstance(self.acts, spaces.Discrete) or bool(mask[int(action - self.acts.start)])

    def _called(self, index: int) -> str:
        return self.names[index] if self.names else str(int(self.slots[0].low) + index)


def seat(
    agent: str,
    sees: spaces.Space[Any],
    acts: spaces.Space[Any],
    names: Sequence[str],
    default: Any,
    observe: Observe | None,
    act: Act | None,
) -> Seat:
    """The seat of one agent. Raises ConfigError for spaces without a plain wording and for names that do not fit."""
    if observe is None:
        words.require_wording(sees, f"the observation of {agent}")
    if names and not (isinstance(acts, spaces.Discrete) and len(names) == acts.n):
        raise ConfigError(
            f"actions names {len(names)} actions of {agent}, which has {acts}; name each one of a Discrete."
        )
    if len({name.lower() for name in names}) < len(names):
        raise ConfigError(f"actions has a name twice: {', '.join(names)}.")
    numbered: tuple[Slot, ...] = ()
    # Discrete actions keep their numbers for masks, also where act= reads the texts.
    if not isinstance(acts, spaces.Text) and (act is None or isinstance(acts, spaces.Discrete)):
        numbered = tuple(words.slots(acts, f"the action of {agent}"))
    return Seat(
        agent, sees, acts, tuple(names), _default(agent, acts, names, default, numbered), numbered, observe, act
    )


def _default(agent: str, acts: spaces.Space[Any], names: Sequence[str], default: Any, slots: Sequence[Slot]) -> Any:
    """The given default action, which may be a name; without one noop, 0, or the nearest to it."""
    if default is None and "noop" in names:
        default = "noop"
    if isinstance(default, str) and default in names:
        assert isinstance(acts, spaces.Discrete)
        return int(acts.start) + list(names).index(default)
    if default is None and isinstance(acts, spaces.Text):
        default = ""
    if default is None and slots:
        default = words.action_of(acts, (slot.nothing() for slot in slots))
    if not acts.contains(default):
        raise ConfigError(
            f"default = {default!r:.80} is no action of {agent}, which has {acts}; give one, or its name."
        )
    return default
