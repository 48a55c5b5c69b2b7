"""Playing protocols with models that are here.

Histories only grow, all live episodes answer in as few batched calls as the models allow, and a draw is
keyed as in ``collect``, with the number of the agent's answer within the turn in the place of the sibling. So the first
answers of all protocols to one observation are the same, and ``parallel`` is what ``collect`` plays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from collm.memory import needed_for
from collm.models.policy import Policy
from collm.randomness import Key, uniforms
from collm.rollout.engine import Response, Session
from collm.rollout.forest import Transcript
from collm.rollout.networks import tables
from collm.rollout.path import Job, context_limit, require_room
from collm.rollout.protocols import Protocol
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Play, Seat, Silence, Word, conduct
from collm.tasks.protocol import Observation, Task


@needed_for("playing")
def play(
    protocol: Protocol,
    task: Task,
    policies: Sequence[Policy],
    jobs: Sequence[Job],
    sampling: Sampling,
    key: tuple[Key, ...],
    max_history: int | None = None,
) -> list[Play]:
    """Play every job to its end under a protocol; ``policies`` (agents,) may name one policy several times.

    As in ``collect``, an episode whose next observation might leave no room for an answer within ``max_history`` tokens
    (default: the models' context) is cut. Where only what the others wrote does not fit, the agent stays silent at that
    stage: its last answer of the turn acts, or the empty action. Raises TaskError for an exception inside the task.
    """
    voices = _Models(policies, sampling, key, max_history)
    return conduct(task, protocol.stages(task.agents), voices, jobs, key)


class _Models:
    """Policies as voices: one session for all seats whose agents can answer in one batch."""

    def __init__(
        self, policies: Sequence[Policy], sampling: Sampling, key: tuple[Key, ...], max_history: int | None
    ) -> None:
        self.policies, self.sampling, self.key = policies, sampling, key
        self.limit = context_limit(policies, max_history)
        self.groups = tables(policies)
        self.transcripts: list[Transcript] = []
        """(seats,)."""
        self.rows: list[int] = []
        """(seats,): the row of each in the session of its group."""
        self.sessions: list[Session] = []

    def begin(self, seats: Sequence[Seat]) -> None:
        """Raises ConfigError if a first observation leaves no room for an answer."""
        self.transcripts = [Transcript(seat.agent) for seat in seats]
        for seat in seats:
            opening = len(self._tokens(seat, seat.unread))
            require_room(seat.job.problem, seat.agent, opening, self.sampling.max_new_tokens, self.limit)
        tables = [[seat for seat in seats if seat.agent in agents] for agents in self.groups]
        row_of = {seat.number: row for table in tables for row, seat in enumerate(table)}
        self.rows = [row_of[seat.number] for seat in seats]
        self.sessions = [
            Session([self.policies[seat.agent] for seat in table], self.sampling, self._uniforms(table))
            for table in tables
        ]

    def _uniforms(self, table: list[Seat]) -> Callable[[int, int], np.ndarray]:
        def draws(row: int, turn: int) -> np.ndarray:
            seat = table[row]
            key = (*self.key, seat.job.problem.id, seat.job.sample, turn, seat.agent, seat.given)
            return uniforms(self.sampling.max_new_tokens, *key)

        return draws

    def fits(self, seat: Seat) -> bool:
        return self._leaves_room(seat, self._tokens(seat, seat.unread))

    def speak(self, seats: Sequence[Seat], turn: int) -> list[Word | Silence]:
        """In as few batched calls as the models allow."""
        said: dict[int, Word | Silence] = {}
        speakers = []
        for seat in seats:
            tokens = self._tokens(seat, seat.observation())
            if self._leaves_room(seat, tokens):
                self.transcripts[seat.number].observe(tokens)
                speakers.append(seat)
            else:
                said[seat.number] = Silence("its history is full")
        for session, agents in zip(self.sessions, self.groups, strict=True):
            mine = [seat for seat in speakers if seat.agent in agents]
            if mine:
                rows = [self.rows[seat.number] for seat in mine]
                unread = [
                    self.transcripts[seat.number].tokens[session.known(row) :]
                    for seat, row in zip(mine, rows, strict=True)
                ]
                for seat, response in zip(mine, session.respond(rows, unread, turn), strict=True):
                    said[seat.number] = self._word(seat, response)
        return [said[seat.number] for seat in seats]

    def _tokens(self, seat: Seat, observation: Observation) -> tuple[int, ...]:
        chat, history = self.policies[seat.agent].chat, self.transcripts[seat.number].tokens
        return chat.following(observation, history[-1]) if history else chat.opening(observation)

    def _leaves_room(self, seat: Seat, tokens: Sequence[int]) -> bool:
        history = len(self.transcripts[seat.number].tokens)
        return history + len(tokens) + self.sampling.max_new_tokens <= self.limit

    def _word(self, seat: Seat, response: Response) -> Word:
        span = self.transcripts[seat.number].respond(response.tokens)
        text = self.policies[seat.agent].chat.text(response.tokens)
        return Word(text, span.said - span.seen, span.stop - span.said)
