"""The data model of experience: a forest of nodes, the decisions taken in them, and the histories they sit in.

A *node* is one env step: one joint action executed at one joint history and rewarded. Its parent is the node whose
outcome it acted on. A linear episode is a path; siblings (nodes with one parent) make a tree. A *decision* is one
agent's response in a node; in a tree one response may serve several nodes. A *transcript* is one agent's token history
along one path. Credit assignment reads the arrays here and nothing else (DESIGN, contract 6).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Span:
    """One turn of a transcript: observation tokens [seen, said), response tokens [said, stop)."""

    seen: int
    said: int
    stop: int


@dataclasses.dataclass
class Transcript:
    """One agent's token history along one path; it only ever grows.

    Where the episode was cut from outside, the observation after the last response is kept behind the last span.
    """

    agent: int
    tokens: list[int] = dataclasses.field(default_factory=list)
    spans: list[Span] = dataclasses.field(default_factory=list)
    cache: Any = None
    """(layers,) keys and values (heads, tokens, head size) that the policy wrote while it played: of all tokens but the
    last sampled one, or of all where the episode was cut. Kept only for critics that read them."""

    def observe(self, tokens: tuple[int, ...] | list[int]) -> None:
        """Append an observation."""
        self.tokens.extend(tokens)

    def respond(self, tokens: list[int]) -> Span:
        """Append the response to the latest observation and return the turn's span."""
        seen = self.spans[-1].stop if self.spans else 0
        span = Span(seen, len(self.tokens), len(self.tokens) + len(tokens))
        self.tokens.extend(tokens)
        self.spans.append(span)
        return span

    def copy(self) -> Transcript:
        """A history with the same past that grows on its own."""
        return Transcript(self.agent, list(self.tokens), list(self.spans))


@dataclasses.dataclass(frozen=True)
class Decision:
    """One agent's response: a span of one transcript, with the log-probabilities under which it was sampled."""

    agent: int
    sibling: int
    transcript: int
    span: Span
    logprobs: np.ndarray
    """(span.stop − span.said,), nats, of the sampling distribution."""


@dataclasses.dataclass(frozen=True)
class Forest:
    """Nodes as arrays of one row per node, parents before children, and the decisions and transcripts behind them."""

    agents: int
    problem: np.ndarray
    """(nodes,) index of the problem among those of the rollout."""
    path: np.ndarray
    """(nodes,) index of the episode (path) the node was executed in; (path, agent) is transcript path·agents + agent."""
    parent: np.ndarray
    """(nodes,) index of the parent node, −1 at the root of an episode."""
    turn: np.ndarray
    """(nodes,) from 0."""
    group: np.ndarray
    """(nodes,) int: nodes with one number are compared with each other. In a linear rollout these are the nodes of one
    problem at one turn (of the episodes alive then), in a tree the children of one parent (at the root: of the tree)."""
    rewards: np.ndarray
    """(nodes, agents), the task's units; a team reward is repeated for every agent."""
    terminated: np.ndarray
    """(nodes,) the task ended the episode here."""
    truncated: np.ndarray
    """(nodes,) the episode was cut from outside here."""
    decision: np.ndarray
    """(nodes, agents) index into ``decisions``."""
    decisions: tuple[Decision, ...]
    transcripts: tuple[Transcript, ...]
    states: np.ndarray | None = None
    """(nodes, numbers): what the task says of the state before the joint action. Kept only for critics that read it."""
    beyond: np.ndarray | None = None
    """(nodes, numbers): the same behind a truncated node, 0 elsewhere."""

    def __len__(self) -> int:
        return len(self.turn)

    @property
    def paths(self) -> int:
        """Number of episodes."""
        return len(self.transcripts) // self.agents

    def transcript(self, path: int, agent: int) -> Transcript:
        return self.transcripts[path * self.agents + agent]

    def tokens(self) -> tuple[np.ndarray, np.ndarray]:
        """Tokens that each agent read and wrote along each path, both (paths, agents)."""
        spans = [transcript.spans for transcript in self.transcripts]
        read = np.array([sum(span.said - span.seen for span in own) for own in spans])
        written = np.array([sum(span.stop - span.said for span in own) for own in spans])
        return read.reshape(-1, self.agents), written.reshape(-1, self.agents)

    def returns(self) -> np.ndarray:
        """(paths, agents): undiscounted sum of each episode's rewards along its path (linear rollouts)."""
        total = np.zeros((self.paths, self.agents))
        np.add.at(total, self.path, self.rewards)
        return total

    def dense(self, values: np.ndarray, fill: float = np.nan) -> np.ndarray:
        """Per-node values as (episodes, turns, …), ragged ends filled; for linear rollouts, where a path is an episode."""
        shape = (self.paths, int(self.turn.max(initial=-1)) + 1, *values.shape[1:])
        dense = np.full(shape, fill)
        dense[self.path, self.turn] = values
        return dense
