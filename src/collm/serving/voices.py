"""Agents behind URLs as voices of a play: each is told its own history and nothing else, all of a stage at the same time."""

from __future__ import annotations

import abc
import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from collm.models.chat import ChatFormat
from collm.randomness import Key, integer
from collm.rollout.forest import Transcript
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Seat, Silence, Word
from collm.serving.remote import ChatMessages, RemoteAgent, RemoteSettings

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request, for what it took."""

    turn: int
    agent: int
    started: float
    """Seconds on the monotonic clock."""
    ended: float


@dataclasses.dataclass
class RemoteVoices(abc.ABC):
    """Agents behind URLs. A silent one has read nothing: what it was to read comes with its next observation."""

    agents: Sequence[RemoteAgent]
    sampling: Sampling
    key: tuple[Key, ...]
    settings: RemoteSettings
    portal: BlockingPortal
    """The way into the event loop of the agents."""
    heard: Callable[[], None]
    """Called there after every request."""
    asked: list[Asked] = dataclasses.field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._free = [asyncio.Semaphore(self.settings.together) for _ in self.agents]

    @abc.abstractmethod
    def begin(self, seats: Sequence[Seat]) -> None:
        """Everybody's history is empty."""

    @abc.abstractmethod
    async def ask(self, seat: Seat, seed: int) -> Any:
        """Ask an agent for its answer to what it reads next, or say why there is none; nothing is changed."""

    @abc.abstractmethod
    def note(self, seat: Seat, answer: Any) -> Word:
        """Put what it has read and answered into its history."""

    def fits(self, seat: Seat) -> bool:
        """Its server knows."""
        return True

    def speak(self, seats: Sequence[Seat], turn: int) -> list[Word | Silence]:
        found = self.portal.call(self._all, seats, turn)
        return [
            answer if isinstance(answer, Silence) else self.note(seat, answer)
            for seat, answer in zip(seats, found, strict=True)
        ]

    async def _all(self, seats: Sequence[Seat], turn: int) -> list[Any]:
        return await asyncio.gather(*(self._timed(seat, turn) for seat in seats))

    async def _timed(self, seat: Seat, turn: int) -> Any:
        seed = integer(*self.key, seat.job.problem.id, seat.job.sample, turn, seat.agent, seat.given) % 2**31
        async with self._free[seat.agent]:
            started = time.monotonic()
            found = await self.ask(seat, seed)
            self.asked.append(Asked(turn, seat.agent, started, time.monotonic()))
        self.heard()
        return found


@dataclasses.dataclass
class TextVoices(RemoteVoices):
    """Histories of messages, which every OpenAI-compatible server reads; it encodes them again at every turn."""

    histories: list[ChatMessages] = dataclasses.field(default_factory=list, init=False)
    """(seats,)."""

    def begin(self, seats: Sequence[Seat]) -> None:
        self.histories = [[] for _ in seats]

    async def ask(self, seat: Seat, seed: int) -> Word | Silence:
        return await self.agents[seat.agent].ask(self._told(seat), self.sampling, seed)

    def note(self, seat: Seat, answer: Word) -> Word:
        self.histories[seat.number] = [*self._told(seat), {"role": "assistant", "content": answer.text}]
        return answer

    def _told(self, seat: Seat) -> ChatMessages:
        shown = [{"role": message.role, "content": message.content} for message in seat.observation()]
        return self.histories[seat.number] + shown


@dataclasses.dataclass(kw_only=True)
class TokenVoices(RemoteVoices):
    """Histories of token ids, for servers that take them: what was sampled is never encoded again, as in training."""

    chats: Sequence[ChatFormat]
    """(agents,): how each agent's messages become tokens."""
    transcripts: list[Transcript] = dataclasses.field(default_factory=list, init=False)
    """(seats,)."""

    def begin(self, seats: Sequence[Seat]) -> None:
        self.transcripts = [Transcript(seat.agent) for seat in seats]

    async def ask(self, seat: Seat, seed: int) -> list[int] | Silence:
        history = [*self.transcripts[seat.number].tokens, *self._unread(seat)]
        return await self.agents[seat.agent].go_on(history, self.chats[seat.agent].stop_ids, self.sampling, seed)

    def note(self, seat: Seat, answer: list[int]) -> Word:
        transcript = self.transcripts[seat.number]
        transcript.observe(self._unread(seat))
        span = transcript.respond(answer)
        return Word(self.chats[seat.agent].text(answer), span.said - span.seen, span.stop - span.said)

    def _unread(self, seat: Seat) -> tuple[int, ...]:
        chat, history = self.chats[seat.agent], self.transcripts[seat.number].tokens
        return chat.following(seat.observation(), history[-1]) if history else chat.opening(seat.observation())
