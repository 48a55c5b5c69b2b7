"""A table: one session, the agents that share it, and whose history each of its rows holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from collm.models.policy import Policy
from collm.randomness import Key, uniforms
from collm.rollout.engine import Response
from collm.rollout.engines import Engine
from collm.rollout.forest import Transcript
from collm.rollout.path import Path
from collm.rollout.sampling import Sampling


@dataclasses.dataclass(frozen=True)
class Seat:
    """Where one response is made: a sibling of an agent, behind a path."""

    path: Path
    agent: int
    sibling: int


class Table:
    """The responses of all agents that can play in one batch, one call per turn.

    Rows are in the order of (path, agent, sibling), so the siblings of an agent are neighbours.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        agents: Sequence[int],
        paths: Sequence[Path],
        width: int,
        sampling: Sampling,
        key: tuple[Key, ...],
        engine: Engine,
    ) -> None:
        """``policies`` are those of the whole team, and ``agents`` the ones that sit here. ``width`` responses per agent and
        path; draws are keyed by ``key`` + (problem id, sample, *route, turn, agent,
        sibling)."""
        self.agents, self.width, self.key = tuple(agents), width, key
        self.draws = sampling.max_new_tokens
        self._seat(paths)
        self.session = engine.session([policies[seat.agent] for seat in self.seats], sampling, self._uniforms)

    def _seat(self, paths: Sequence[Path]) -> None:
        self.seats = [
            Seat(path, agent, sibling) for path in paths for agent in self.agents for sibling in range(self.width)
        ]
        for row, seat in enumerate(self.seats):
            if seat.sibling == 0:
                seat.path.rows[seat.agent] = row

    def _uniforms(self, row: int, turn: int) -> np.ndarray:
        seat = self.seats[row]
        job, route = seat.path.episode.job, seat.path.route
        return uniforms(self.draws, *self.key, job.problem.id, job.sample, *route, turn, seat.agent, seat.sibling)

    def branch(self, paths: Sequence[Path]) -> None:
        """Seat the siblings of these paths instead, each with a copy of its path's cached history."""
        parents = [path.rows[agent] for path in paths for agent in self.agents for _ in range(self.width)]
        self.session.branch(parents)
        self._seat(paths)

    def respond(self, turn: int) -> dict[tuple[int, int], list[Response]]:
        """(path number, agent) → one response per sibling, for every path that has not ended."""
        found: dict[tuple[int, int], list[Response]] = {}
        rows = []
        for row, seat in enumerate(self.seats):
            if seat.path.episode.ended:
                continue
            given = seat.path.given().get(seat.agent)
            if given is None:
                rows.append(row)
            else:
                nobody = np.full(len(given), np.nan, dtype=np.float32)
                found[seat.path.number, seat.agent] = [Response(list(given), nobody)]
        sampled = self.session.respond(rows, [self._unread(row) for row in rows], turn) if rows else []
        for row, response in zip(rows, sampled, strict=True):
            seat = self.seats[row]
            found.setdefault((seat.path.number, seat.agent), []).append(response)
        return found

    def _unread(self, row: int) -> list[int]:
        """The end of a row's history that its session does not know: an observation, or all that was given before it."""
        return self._transcript(self.seats[row]).tokens[self.session.known(row) :]

    def keep_caches(self) -> None:
        """Leave each history's keys and values with its transcript (linear rollouts: a row per history).

        Where an episode was cut, the observation that nobody answered is read first: the value behind the cut needs it.
        """
        waiting = {row: unread for row in range(len(self.seats)) if (unread := self._unread(row))}
        if waiting:
            self.session.read(list(waiting), list(waiting.values()))
        for row, seat in enumerate(self.seats):
            self._transcript(seat).cache = self.session.memory(row)

    @staticmethod
    def _transcript(seat: Seat) -> Transcript:
        return seat.path.transcripts[seat.agent]
