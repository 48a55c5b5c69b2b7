"""Playing episodes turn by turn and stage by stage, whoever speaks: models here, or servers elsewhere.

Within a turn the agents answer in stages. Before an agent answers, it reads the task's observation (at its first answer
of the turn) and what the others have written in this turn at earlier stages. Its last answer of the turn is its action.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from collm.randomness import Key, integer
from collm.rollout.path import Episode, Job
from collm.rollout.referee import begin, execute, prepare
from collm.tasks.protocol import Message, Move, Observation, Task

Stages = list[tuple[int, ...]]
"""Who answers at each stage of a turn."""


@dataclasses.dataclass(frozen=True)
class Word:
    """What an agent said when it was asked."""

    text: str
    read: int
    """Tokens that were new in the agent's history and not its own: the prompt tokens that were prefilled."""
    written: int
    """Tokens of the response, its end-of-turn mark included."""


@dataclasses.dataclass(frozen=True)
class Answer(Word):
    """One response, draft or action."""

    turn: int
    agent: int


@dataclasses.dataclass(frozen=True)
class Silence:
    """Why an agent that was asked said nothing."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Missing(Silence):
    """An answer that never came."""

    turn: int
    agent: int


@dataclasses.dataclass
class Play:
    """An episode under a protocol: what acted is in the episode, all that was written in ``answers``."""

    episode: Episode
    answers: list[Answer] = dataclasses.field(default_factory=list)
    missing: list[Missing] = dataclasses.field(default_factory=list)
    """What was asked for and not answered, in order of time."""

    @property
    def silent(self) -> int:
        """Answers that were asked for and never came."""
        return len(self.missing)

    def tokens(self, agents: int) -> tuple[np.ndarray, np.ndarray]:
        """Tokens read and tokens written (agents,), drafts included."""
        read, written = np.zeros(agents), np.zeros(agents)
        for answer in self.answers:
            read[answer.agent] += answer.read
            written[answer.agent] += answer.written
        return read, written


@dataclasses.dataclass
class Seat:
    """One agent in one game."""

    number: int
    """Its place among all seats, which are in order of game and agent."""
    play: Play
    agent: int
    agents: int
    """How many play."""
    unread: Observation
    """What the task has shown it and it has not read yet."""
    heard: int = 0
    """How many of the episode's answers it knows of."""
    given: int = 0
    """How many answers of this turn are its own."""

    @property
    def job(self) -> Job:
        return self.play.episode.job

    def show(self, observation: Observation) -> None:
        """A turn begins. What a silent agent has not read yet, it reads with what comes next."""
        unread, self.heard, self.given = self.unread, len(self.play.answers), 0
        self.unread = observation
        if unread:
            self.unread = functools.reduce(lambda seen, message: _appended(seen, message.content), observation, unread)

    def observation(self) -> Observation:
        """What it reads before its next answer."""
        others = [answer for answer in self.play.answers[self.heard :] if answer.agent != self.agent]
        if not others and not self.given:
            return self.unread
        texts = [f"Agent {answer.agent + 1} of {self.agents} wrote:\n{answer.text or '(nothing)'}" for answer in others]
        last = "Now give your final answer. Only this one counts." if self.given else "Now give your own answer."
        return _appended(self.unread, "\n\n".join([*texts, last]))


def _appended(observation: Observation, text: str) -> Observation:
    """The observation with more text; in its last message, because templates may refuse two user messages in a row."""
    if observation and observation[-1].role == "user":
        return (*observation[:-1], Message("user", f"{observation[-1].content}\n\n{text}"))
    return (*observation, Message("user", text))


class Voices(Protocol):
    """What speaks for the seats. A voice knows its own seat's history and nothing else."""

    def begin(self, seats: Sequence[Seat]) -> None:
        """All seats of a call, before anybody speaks."""
        ...

    def fits(self, seat: Seat) -> bool:
        """Whether the seat could answer what it would read next."""
        ...

    def speak(self, seats: Sequence[Seat], turn: int) -> list[Word | Silence]:
        """One stage: these seats read their observations and answer, in their order; a silent one has read nothing."""
        ...


def conduct(task: Task, stages: Stages, voices: Voices, jobs: Sequence[Job], key: tuple[Key, ...]) -> list[Play]:
    """Play every job to its end, all in lock-step.

    An episode ends where somebody could not answer its next observation. Who is silent at a stage acts by its last answer of
    the turn, or by the empty action. Raises TaskError for an exception inside the task.
    """
    plays = [_begin(task, job, key) for job in jobs]
    seats = [
        Seat(number * task.agents + agent, play, agent, task.agents, observation)
        for number, play in enumerate(plays)
        for agent, observation in enumerate(play.episode.observations[0])
    ]
    voices.begin(seats)
    turn = 0
    while live := [seat for seat in seats if not seat.play.episode.ended]:
        for speakers in stages:
            _stage([seat for seat in live if seat.agent in speakers], voices, turn)
        _execute(task, live, voices, turn)
        turn += 1
    return plays


def _begin(task: Task, job: Job, key: tuple[Key, ...]) -> Play:
    seed = integer(*key, "task", job.problem.id, job.sample)
    start = begin(task, job.problem, seed)
    return Play(Episode(job, seed, start.state, [start.observations]))


def _stage(seats: Sequence[Seat], voices: Voices, turn: int) -> None:
    known = [len(seat.play.answers) for seat in seats]
    for seat, said, heard in zip(seats, voices.speak(seats, turn), known, strict=True):
        if isinstance(said, Silence):
            seat.play.missing.append(Missing(said.reason, turn, seat.agent))
            continue
        seat.unread, seat.heard = (), heard
        seat.given += 1
        seat.play.answers.append(Answer(said.text, said.read, said.written, turn, seat.agent))


def _execute(task: Task, live: Sequence[Seat], voices: Voices, turn: int) -> None:
    """Execute everybody's last answer of the turn, and show what comes next."""
    games = [live[start : start + task.agents] for start in range(0, len(live), task.agents)]
    moves = [_move(task, seats[0].play, turn) for seats in games]
    prepare(task, moves, turn)
    for seats, move in zip(games, moves, strict=True):
        episode = seats[0].play.episode
        step, rewards = execute(task, move.problem, move.state, move.actions, turn)
        episode.state = step.state
        episode.actions.append(tuple(move.actions))
        episode.rewards.append(rewards)
        episode.info.append(step.info)
        episode.ended, episode.cut = step.ended, step.truncated and not step.terminated
        if not step.ended and step.observations is not None:
            _show(seats, step.observations, voices)


def _move(task: Task, play: Play, turn: int) -> Move:
    """Everybody's last answer of the turn."""
    last = {answer.agent: answer.text for answer in play.answers if answer.turn == turn}
    actions = tuple(last[agent] if agent in last else task.empty_action(agent) for agent in range(task.agents))
    return Move(play.episode.job.problem, play.episode.state, actions)


def _show(seats: Sequence[Seat], observations: tuple[Observation, ...], voices: Voices) -> None:
    """Show everybody the next observation, or end the episode if one of them might have no room for an answer."""
    for seat, observation in zip(seats, observations, strict=True):
        seat.show(observation)
    episode = seats[0].play.episode
    episode.ended = episode.cut = not all(voices.fits(seat) for seat in seats)
    if not episode.ended:
        episode.observations.append(observations)
