"""Protocols: who answers when within a turn, and who reads what before, over any task's roles.

Within a turn the agents answer in stages. Before an agent answers, it reads the task's observation (at its first answer
of the turn) and what the others have written in this turn at earlier stages. Its last answer of the turn is its action.
Histories only grow, all live episodes answer in as few batched calls as the models allow, and a draw is
keyed as in ``collect``, with the number of the agent's answer within the turn in the place of the sibling. So the first
answers of all protocols to one observation are the same, and ``parallel`` is what ``collect`` plays.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from collm.errors import unknown_name
from collm.memory import needed_for
from collm.models.policy import Policy
from collm.randomness import Key, integer, uniforms
from collm.rollout.engine import Response, Session
from collm.rollout.forest import Transcript
from collm.rollout.networks import tables
from collm.rollout.path import Episode, Job, context_limit, require_room
from collm.rollout.referee import begin, execute, prepare
from collm.rollout.sampling import Sampling
from collm.tasks.protocol import Message, Move, Observation, Problem, Task

Stages = list[tuple[int, ...]]
"""Who answers at each stage of a turn."""


def _together(agents: int) -> Stages:
    return [tuple(range(agents))]


def _in_order(agents: int) -> Stages:
    return [(agent,) for agent in range(agents)]


def _twice(agents: int) -> Stages:
    """A lone agent has nobody to discuss with."""
    return _together(agents) * (2 if agents > 1 else 1)


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A way of working together that trains nothing."""

    name: str
    summary: str
    stages: Callable[[int], Stages]
    """From the number of agents."""
    single: bool = False
    """One model writes all roles, in the task's single-agent form."""


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("raw", "one model writes all roles", _together, single=True),
        Protocol("parallel", "every agent answers its own observation; no talk", _together),
        Protocol("pipeline", "agents answer in order; each reads the answers before its own", _in_order),
        Protocol("discussion", "everybody drafts, reads all drafts and answers again", _twice),
    )
}


def find_protocol(name: str) -> Protocol:
    """The protocol of this name. Raises ConfigError, naming the nearest one, if there is none."""
    if name not in PROTOCOLS:
        raise unknown_name("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


@dataclasses.dataclass(frozen=True)
class Answer:
    """One response, draft or action."""

    turn: int
    agent: int
    text: str
    read: int
    """Tokens that were new in the agent's history and not its own: the prompt tokens that were prefilled."""
    written: int
    """Tokens of the response, its end-of-turn mark included."""


@dataclasses.dataclass
class Play:
    """An episode under a protocol: what acted is in the episode, all that was written in ``answers``."""

    episode: Episode
    answers: list[Answer] = dataclasses.field(default_factory=list)
    silent: int = 0
    """Answers that were left out, because the agent's history was full."""

    def tokens(self, agents: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens read and tokens written (agents,), drafts included."""
        read, written = np.zeros(agents), np.zeros(agents)
        for answer in self.answers:
            read[answer.agent] += answer.read
            written[answer.agent] += answer.written
        return read, written


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
    players = _Players(protocol, task, policies, jobs, sampling, key, max_history)
    turn = 0
    while live := [game for game in players.games if not game.play.episode.ended]:
        for speakers in protocol.stages(task.agents):
            players.speak([seat for game in live for seat in game.seats if seat.agent in speakers], turn)
        moves = [players.move(game) for game in live]
        prepare(task, moves, turn)
        for game, move in zip(live, moves, strict=True):
            players.execute(game, move, turn)
        turn += 1
    return [game.play for game in players.games]


@dataclasses.dataclass
class _Game:
    """One episode in the making."""

    play: Play
    seats: list[_Seat]
    said: list[Answer] = dataclasses.field(default_factory=list)
    """The answers of this turn, in order of time."""

    @property
    def problem(self) -> Problem:
        return self.play.episode.job.problem


@dataclasses.dataclass
class _Seat:
    """One agent in one game."""

    game: _Game
    agent: int
    row: int
    """Its row in the session of its policy."""
    transcript: Transcript
    unread: Observation
    """What the task has shown it and it has not read yet."""
    heard: int = 0
    """How many of this turn's answers it knows of."""
    given: int = 0
    """How many of them are its own."""

    def show(self, observation: Observation) -> None:
        """A turn begins. What a silent agent has not read yet, it reads with what comes next."""
        unread, self.heard, self.given = self.unread, 0, 0
        self.unread = observation
        if unread:
            self.unread = functools.reduce(lambda seen, message: _appended(seen, message.content), observation, unread)

    def observation(self) -> Observation:
        """What it reads before its next answer."""
        agents = len(self.game.seats)
        others = [answer for answer in self.game.said[self.heard :] if answer.agent != self.agent]
        if not others and not self.given:
            return self.unread
        texts = [f"Agent {answer.agent + 1} of {agents} wrote:\n{answer.text or '(nothing)'}" for answer in others]
        last = "Now give your final answer. Only this one counts." if self.given else "Now give your own answer."
        return _appended(self.unread, "\n\n".join([*texts, last]))


def _appended(observation: Observation, text: str) -> Observation:
    """The observation with more text; in its last message, because templates may refuse two user messages in a row."""
    if observation and observation[-1].role == "user":
        return (*observation[:-1], Message("user", f"{observation[-1].content}\n\n{text}"))
    return (*observation, Message("user", text))


class _Players:
    """All games of one call of ``play`` and one session for all agents that can answer in one batch."""

    def __init__(
        self,
        protocol: Protocol,
        task: Task,
        policies: Sequence[Policy],
        jobs: Sequence[Job],
        sampling: Sampling,
        key: tuple[Key, ...],
        max_history: int | None,
    ) -> None:
        self.task, self.policies, self.sampling, self.key = task, policies, sampling, key
        self.limit = context_limit(policies, max_history)
        groups = tables(policies)
        self.table = [next(n for n, agents in enumerate(groups) if agent in agents) for agent in range(len(policies))]
        """(agents,): the session of each."""
        self.rows: list[list[_Seat]] = [[] for _ in groups]
        self.games = [self._begin(job) for job in jobs]
        self.sessions = [
            Session([policies[seat.agent] for seat in rows], sampling, self._uniforms(rows)) for rows in self.rows
        ]

    def _begin(self, job: Job) -> _Game:
        seed = integer(*self.key, "task", job.problem.id, job.sample)
        start = begin(self.task, job.problem, seed)
        game = _Game(Play(Episode(job, seed, start.state, [start.observations])), [])
        for agent, observation in enumerate(start.observations):
            opening = self.policies[agent].chat.opening(observation)
            require_room(job.problem, agent, len(opening), self.sampling.max_new_tokens, self.limit)
            rows = self.rows[self.table[agent]]
            game.seats.append(_Seat(game, agent, len(rows), Transcript(agent), observation))
            rows.append(game.seats[-1])
        return game

    def _uniforms(self, rows: list[_Seat]) -> Callable[[int, int], np.ndarray]:
        def draws(row: int, turn: int) -> np.ndarray:
            seat, job = rows[row], rows[row].game.play.episode.job
            key = (*self.key, job.problem.id, job.sample, turn, seat.agent, seat.given)
            return uniforms(self.sampling.max_new_tokens, *key)

        return draws

    def speak(self, seats: list[_Seat], turn: int) -> None:
        """One stage: everybody reads, then everybody answers, in as few batched calls as the models allow."""
        speakers = [seat for seat in seats if self._read(seat)]
        answers = []
        for number, session in enumerate(self.sessions):
            mine = [seat for seat in speakers if self.table[seat.agent] == number]
            if mine:
                unread = [seat.transcript.tokens[session.known(seat.row) :] for seat in mine]
                answers += list(zip(mine, session.respond([seat.row for seat in mine], unread, turn), strict=True))
        for seat, response in answers:
            self._say(seat, response, turn)

    def _read(self, seat: _Seat) -> bool:
        """Append what a seat reads next to its history; False if that would leave no room for an answer."""
        tokens = self._tokens(seat, seat.observation())
        if not self._fits(seat, tokens):
            seat.game.play.silent += 1
            return False
        seat.transcript.observe(tokens)
        seat.unread, seat.heard = (), len(seat.game.said)
        return True

    def _tokens(self, seat: _Seat, observation: Observation) -> tuple[int, ...]:
        chat, history = self.policies[seat.agent].chat, seat.transcript.tokens
        return chat.following(observation, history[-1]) if history else chat.opening(observation)

    def _fits(self, seat: _Seat, tokens: Sequence[int]) -> bool:
        return len(seat.transcript.tokens) + len(tokens) + self.sampling.max_new_tokens <= self.limit

    def _say(self, seat: _Seat, response: Response, turn: int) -> None:
        span = seat.transcript.respond(response.tokens)
        text = self.policies[seat.agent].chat.text(response.tokens)
        answer = Answer(turn, seat.agent, text, span.said - span.seen, span.stop - span.said)
        seat.given += 1
        seat.game.said.append(answer)
        seat.game.play.answers.append(answer)

    def move(self, game: _Game) -> Move:
        """Everybody's last answer of the turn."""
        last = {answer.agent: answer.text for answer in game.said}
        actions = tuple(
            last[agent] if agent in last else self.task.empty_action(agent) for agent in range(self.task.agents)
        )
        return Move(game.problem, game.play.episode.state, actions)

    def execute(self, game: _Game, move: Move, turn: int) -> None:
        """Execute a joint action and show what comes next."""
        episode = game.play.episode
        step, rewards = execute(self.task, move.problem, move.state, move.actions, turn)
        episode.state = step.state
        episode.actions.append(tuple(move.actions))
        episode.rewards.append(rewards)
        episode.info.append(step.info)
        episode.ended, episode.cut = step.ended, step.truncated and not step.terminated
        if not step.ended and step.observations is not None:
            self._show(game, step.observations)

    def _show(self, game: _Game, observations: tuple[Observation, ...]) -> None:
        """Show everybody the next observation, or end the episode if one of them might leave no room for an answer."""
        game.said = []
        for seat, observation in zip(game.seats, observations, strict=True):
            seat.show(observation)
        episode = game.play.episode
        episode.ended = episode.cut = not all(self._fits(seat, self._tokens(seat, seat.unread)) for seat in game.seats)
        if not episode.ended:
            episode.observations.append(observations)
