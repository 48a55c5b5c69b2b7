"""A game small enough to enumerate: every rollout it can produce, with its probability, as one big forest.

Two agents, at most two turns, two actions each, tabular softmax policies on each agent's own history. An agent's
*context* is its own history: 0 at the first turn, then 1 + 2·(own first action) + (a public bit). The bit is a noisy
sign of the joint first action, so each agent sees something of the joint past and something of its partner's stays
hidden; some joint first actions end the episode. Credit treats problems apart, so each rollout that is possible is a
problem of its own in one forest, and the expected gradient is the sum of its decisions' terms times probability.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from collm.credit import Credit
from collm.rollout.forest import Decision, Forest, Span, Transcript

START = (0, 0)
Pair = tuple[int, int]


class Event(NamedTuple):
    """One env step: what the agents knew, what they did, and whether that ended or cut the episode."""

    contexts: Pair
    actions: Pair
    terminated: bool
    behind: Pair | None = None
    """The contexts behind a cut."""

    @property
    def turn(self) -> int:
        return int(self.contexts != START)


class Placed(NamedTuple):
    """An event in a rollout: its parent there, its group there, and the decisions there that it executed."""

    event: Event
    parent: int
    group: int
    decisions: Pair


Rollout = tuple[float, list[Placed]]
"""A probability (or, for drawn rollouts, a share) and the nodes, parents first."""


@dataclasses.dataclass(frozen=True)
class Game:
    """Policies, dynamics and rewards. a, b: the first and the second joint action; z: the bit."""

    logits: np.ndarray
    """(agents, contexts, actions)."""
    bit: np.ndarray
    """(2, 2): P(z = 1 | a)."""
    goes_on: np.ndarray
    """(2, 2): whether a second turn follows a."""
    first: np.ndarray
    """(2, 2, agents): rewards of a."""
    second: np.ndarray
    """(2, 2, 2, 2, 2, agents): rewards of (a, z, b)."""
    cut: float = 0.0
    """Probability that an episode which goes on is cut from outside before its second turn."""

    @property
    def policy(self) -> np.ndarray:
        """(agents, contexts, actions): the probabilities."""
        weights = np.exp(self.logits - self.logits.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True)

    def own(self, agent: int, context: int) -> list[tuple[float, int]]:
        """(probability, action) of one agent, without what is impossible."""
        return [(p, action) for action, p in enumerate(self.policy[agent, context].tolist()) if p > 0]

    def joint(self, contexts: Pair) -> list[tuple[float, Pair]]:
        """(probability, joint action): agents act independently."""
        pairs = itertools.product(self.own(0, contexts[0]), self.own(1, contexts[1]))
        return [(p * q, (one, other)) for (p, one), (q, other) in pairs]

    def after(self, actions: Pair) -> list[tuple[float, Event, Pair | None]]:
        """(probability, event, contexts of the second turn or None) of a joint first action."""
        if not self.goes_on[actions]:
            return [(1.0, Event(START, actions, True), None)]
        found: list[tuple[float, Event, Pair | None]] = []
        for bit, chance in enumerate((1 - self.bit[actions], self.bit[actions])):
            contexts = (1 + 2 * actions[0] + bit, 1 + 2 * actions[1] + bit)
            found.append((chance * (1 - self.cut), Event(START, actions, False), contexts))
            found.append((chance * self.cut, Event(START, actions, False, contexts), None))
        return [outcome for outcome in found if outcome[0] > 0]

    def rewards(self, event: Event) -> np.ndarray:
        """(agents,)."""
        if event.turn == 0:
            return self.first[event.actions]
        (one, bit), other = divmod(event.contexts[0] - 1, 2), (event.contexts[1] - 1) // 2
        return self.second[(one, other, bit, *event.actions)]

    def episodes(self) -> Iterator[tuple[float, tuple[Event, ...]]]:
        """Every linear episode."""
        for p, actions in self.joint(START):
            for q, event, contexts in self.after(actions):
                if contexts is None:
                    yield p * q, (event,)
                else:
                    for r, answer in self.joint(contexts):
                        yield p * q * r, (event, Event(contexts, answer, True))

    def visits(self, gamma: float) -> Iterator[tuple[float, Event, np.ndarray]]:
        """(probability, event, return-to-go (agents,)) of every turn of every episode."""
        for probability, events in self.episodes():
            total = np.zeros(2)
            for event in reversed(events):
                total = self.rewards(event) + gamma * total
                yield probability, event, total


def make_game(seed: int = 0, team: bool = True, chooser: int | None = None) -> Game:
    """A game with rewards that depend on everything; (1, 1) ends it. With ``chooser`` only that agent has a choice
    at the second turn and z is agent 0's action, which leaves few enough rollouts to enumerate cross trees."""
    rng = np.random.default_rng(seed)
    logits, first, second = rng.normal(size=(2, 5, 2)), rng.normal(size=(2, 2, 2)), rng.normal(size=(2,) * 6)
    if team:
        first[..., 1], second[..., 1] = first[..., 0], second[..., 0]
    bit = np.array([[0.3, 0.8], [0.6, 0.5]])
    if chooser is not None:
        logits[1 - chooser, 1:] = [0.0, -np.inf]
        bit = np.array([[0.0, 0.0], [1.0, 1.0]])
    return Game(logits, bit, np.array([[True, True], [True, False]]), 1.0 + first, 1.0 + 2.0 * second)


def linear(game: Game, count: int) -> Iterator[Rollout]:
    """Every group of ``count`` independent episodes."""
    for members in itertools.product(list(game.episodes()), repeat=count):
        yield float(np.prod([p for p, _ in members])), place_linear([events for _, events in members])


def place_linear(members: Iterable[tuple[Event, ...]]) -> list[Placed]:
    """The nodes of a group of episodes; alive at one turn is one group."""
    nodes: list[Placed] = []
    for events in members:
        for turn, event in enumerate(events):
            here = len(nodes)
            nodes.append(Placed(event, here - 1 if turn else -1, turn, (2 * here, 2 * here + 1)))
    return nodes


def aligned(game: Game, count: int) -> Iterator[Rollout]:
    """Every tree of ``count`` joint actions per node."""
    branches = []
    for p, actions in game.joint(START):
        for q, event, contexts in game.after(actions):
            below = itertools.product(game.joint(contexts), repeat=count) if contexts else [()]
            for answers in below:
                events = [Event(contexts, answer, True) for _, answer in answers] if contexts else []
                branches.append((p * q * float(np.prod([r for r, _ in answers])), event, events))
    for tree in itertools.product(branches, repeat=count):
        nodes: list[Placed] = []
        for _, event, events in tree:
            parent = len(nodes)
            nodes.append(Placed(event, -1, 0, (2 * parent, 2 * parent + 1)))
            for below in events:
                nodes.append(Placed(below, parent, 1 + parent, (2 * len(nodes), 2 * len(nodes) + 1)))
        yield float(np.prod([branch[0] for branch in tree])), nodes


def cross(game: Game, count: int) -> Iterator[Rollout]:
    """Every tree in which a node's ``count`` responses per agent meet in all count² joint actions."""

    def draws(contexts: Pair) -> list[tuple[float, tuple[tuple[int, ...], ...]]]:
        """(probability, actions of each agent's siblings)."""
        found = []
        for picks in itertools.product(*(itertools.product(game.own(i, contexts[i]), repeat=count) for i in (0, 1))):
            probability = float(np.prod([p for pick in picks for p, _ in pick]))
            found.append((probability, tuple(tuple(action for _, action in pick) for pick in picks)))
        return found

    def meet(siblings: tuple[tuple[int, ...], ...], first: int) -> list[tuple[Pair, Pair]]:
        """(joint action, its decisions), the decisions being numbered from ``first``."""
        pairs = itertools.product(range(count), repeat=2)
        return [((siblings[0][j], siblings[1][k]), (first + j, first + count + k)) for j, k in pairs]

    for probability, roots in draws(START):
        below = []
        for actions, _ in meet(roots, 0):
            ways: list[tuple[float, Event, Pair | None, tuple[tuple[int, ...], ...]]] = []
            for q, event, contexts in game.after(actions):
                rests = draws(contexts) if contexts else [(1.0, ())]
                ways += [(q * r, event, contexts, siblings) for r, siblings in rests]
            below.append(ways)
        for tree in itertools.product(*below):
            nodes = [Placed(way[1], -1, 0, ids) for way, (_, ids) in zip(tree, meet(roots, 0), strict=True)]
            for parent, (_, _, contexts, siblings) in enumerate(tree):
                if contexts:
                    for answer, ids in meet(siblings, 2 * count * (1 + parent)):
                        nodes.append(Placed(Event(contexts, answer, True), parent, 1 + parent, ids))
            yield probability * float(np.prod([way[0] for way in tree])), nodes


class Rollouts:
    """Many rollouts as one forest, and what the tabular policies make of a credit for it."""

    def __init__(self, game: Game, rollouts: Iterable[Rollout]) -> None:
        self.game = game
        probabilities, nodes, sizes, decisions = [], [], [], []
        for probability, placed in rollouts:
            probabilities.append(probability)
            nodes += placed
            sizes.append(len(placed))
            decisions.append(max(max(node.decisions) for node in placed) + 1)
        self.probability = np.array(probabilities)
        problem = np.repeat(np.arange(len(sizes)), sizes)
        start = (np.cumsum(sizes) - sizes)[problem]
        events = sorted({node.event for node in nodes}, key=repr)
        number = {event: index for index, event in enumerate(events)}
        kind = np.array([number[node.event] for node in nodes])
        parent = np.array([node.parent for node in nodes])
        local = np.array([node.decisions for node in nodes])
        numbering = local + (np.cumsum(decisions) - decisions)[problem][:, None]
        used, decision = np.unique(numbering, return_inverse=True)
        decision = decision.reshape(numbering.shape)
        self.contexts = np.array([event.contexts for event in events])[kind]
        self.behind = np.array([event.behind or START for event in events])[kind]
        self.actions = np.array([event.actions for event in events])[kind]
        self.seat = np.zeros((3, len(used)), dtype=np.int64)
        self.seat[:, decision] = np.stack([np.broadcast_to([0, 1], decision.shape), self.contexts, self.actions])
        self.sample = np.zeros(len(used), dtype=np.int64)
        self.sample[decision] = problem[:, None]
        self.forest = Forest(
            agents=2,
            problem=problem,
            path=np.zeros(len(nodes), dtype=np.int64),
            parent=np.where(parent < 0, -1, parent + start),
            turn=np.array([event.turn for event in events])[kind],
            group=problem * (1 + max(node.group for node in nodes)) + np.array([node.group for node in nodes]),
            rewards=np.array([game.rewards(event) for event in events])[kind],
            terminated=np.array([event.terminated for event in events])[kind],
            truncated=np.array([event.behind is not None for event in events])[kind],
            decision=decision,
            decisions=(Decision(0, 0, 0, Span(0, 1, 2), np.zeros(1, dtype=np.float32)),) * len(used),
            transcripts=(Transcript(0), Transcript(1)),
        )

    def gradients(self, credit: Credit) -> np.ndarray:
        """(rollouts, agents, contexts, actions): Σ over decisions of weight · A · ∇ log π, ∂/∂logits = 1[action] − π.

        A sum, not a mean: the learner divides by the weights of the batch, whose expectation is a constant.
        """
        scores = np.zeros((len(self.probability), *self.game.policy.shape))
        np.add.at(scores, (self.sample, *self.seat), credit.weights * credit.advantages)
        return scores - self.game.policy * scores.sum(-1, keepdims=True)

    def expected(self, credit: Credit) -> np.ndarray:
        """(agents, contexts, actions): the mean of ``gradients``."""
        return np.tensordot(self.probability, self.gradients(credit), 1)
