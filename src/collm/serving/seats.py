"""Who sits where: the agents behind URLs, checked against each other and the task before anything is played."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import AutoTokenizer

from collm.errors import ConfigError
from collm.models.chat import ChatFormat
from collm.randomness import Key
from collm.rollout.path import Job
from collm.rollout.protocols import Protocol
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Play, conduct
from collm.serving.exported import AgentCard, read_team
from collm.serving.remote import RemoteAgent, RemoteSettings
from collm.serving.voices import Asked, TextVoices, TokenVoices
from collm.tasks.protocol import Task

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal


@dataclasses.dataclass(frozen=True)
class Seats:
    """Agents in the order of the task's, with what they say of themselves."""

    agents: tuple[RemoteAgent, ...]
    cards: tuple[AgentCard | None, ...]
    """None for a model that is no exported agent: any may take a seat."""
    settings: RemoteSettings
    portal: BlockingPortal
    """The way into the event loop in which they are asked, in a thread of its own: a notebook's loop is no hindrance."""
    chats: tuple[ChatFormat, ...] | None = None
    """How each agent's messages become tokens; None where they are sent as they are."""

    @property
    def known(self) -> list[AgentCard]:
        """The cards of those that have one."""
        return [card for card in self.cards if card is not None]

    def require(self, task: Task) -> None:
        """Raise ConfigError unless there is one agent for every seat, and each sits where it was trained to."""
        if len(self.agents) != task.agents:
            wanted = f"has {task.agents} agents: give one URL for each, in their order"
            if task.agents == 1:
                wanted = "is played by one agent in all roles here: give one URL"
            raise ConfigError(f"--agents names {len(self.agents)}, and {task.name} {wanted}.")
        for place, (agent, card) in enumerate(zip(self.agents, self.cards, strict=True)):
            if card is None:
                continue
            if card.task != task.name:
                raise ConfigError(
                    f"the agent at {agent.url} was trained for {card.task}, and this is {task.name}. Give the URL of an "
                    f"agent of {task.name}, or of any model that has no card."
                )
            if (card.agent, card.agents) != (place, task.agents):
                raise ConfigError(
                    f"the agent at {agent.url} is {card.name} of a team of {card.agents}, and it is named for the seat of "
                    f"agent_{place} of {task.agents}. Mend the order of --agents."
                )

    def require_agreement(self) -> None:
        """Raise ConfigError with the difference if the agents were trained on different forms of the task."""
        for other in self.known[1:]:
            first = self.known[0]
            found = _difference(first.options, other.options)
            if found and first.task == other.task:
                raise ConfigError(
                    f"{first.name} and {other.name} were trained on different forms of {first.task}: {found}. Take agents "
                    "of one form, or say which to play: --task.…"
                )

    def play(
        self,
        protocol: Protocol,
        task: Task,
        jobs: Sequence[Job],
        sampling: Sampling,
        key: tuple[Key, ...],
        heard: Callable[[], None] = lambda: None,
    ) -> tuple[list[Play], list[Asked]]:
        """Play every job to its end, all side by side; and what was asked of whom, and when.

        ``heard`` is called in another thread after every request, answered or not.
        """
        voices = self._voices(sampling, key, heard)
        return conduct(task, protocol.stages(task.agents), voices, jobs, key), voices.asked

    def _voices(self, sampling: Sampling, key: tuple[Key, ...], heard: Callable[[], None]) -> TextVoices | TokenVoices:
        common = (self.agents, sampling, key, self.settings, self.portal, heard)
        return TextVoices(*common) if self.chats is None else TokenVoices(*common, chats=self.chats)


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    keys = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    return ", ".join(f"{key} {one.get(key)!r} and {other.get(key)!r}" for key in keys)


@contextlib.contextmanager
def seated(urls: Sequence[str], settings: RemoteSettings, key: str | None) -> Iterator[Seats]:
    """The agents at these URLs. With ``settings.tokens`` those that show no card are taken to be that team's.

    Raises AgentError for one that is not there or does not speak the protocol, ConfigError if ``settings.tokens`` is no
    exported team of as many.
    """
    team = None if settings.tokens is None else _team(settings.tokens, len(urls))
    agents = [RemoteAgent(url, settings, key) for url in urls]
    with _loop(agents) as portal:
        cards: list[AgentCard | None] = [portal.call(agent.meet) for agent in agents]
        if team is None or settings.tokens is None:
            yield Seats(tuple(agents), tuple(cards), settings, portal)
            return
        known = tuple(shown or card for shown, card in zip(cards, team, strict=True))
        folders = [settings.tokens / card.name for card in team]
        chats = tuple(ChatFormat(AutoTokenizer.from_pretrained(folder), str(folder)) for folder in folders)
        yield Seats(tuple(agents), known, settings, portal, chats)


@contextlib.contextmanager
def _loop(agents: Sequence[RemoteAgent]) -> Iterator[BlockingPortal]:
    """An event loop for the agents, whose connections are closed at the end."""
    from anyio.from_thread import start_blocking_portal  # comes with the client

    with start_blocking_portal() as portal:
        try:
            yield portal
        finally:
            for agent in agents:
                portal.call(agent.close)


def _team(folder: Path, agents: int) -> list[AgentCard]:
    cards = read_team(folder)
    if len(cards) != agents:
        raise ConfigError(f"{folder} is a team of {len(cards)}, and --agents names {agents}: give one URL for each.")
    return cards
