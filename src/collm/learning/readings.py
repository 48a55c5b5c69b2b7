"""How a critic reads histories: token sequences made from a forest, and the places in them where values are read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from collm.models.policy import Policy
from collm.rollout.forest import Forest, Transcript


@dataclasses.dataclass(frozen=True)
class Reading:
    """One sequence as a critic reads it, and where its values are read."""

    tokens: list[int]
    places: list[int]
    """Positions of V(h_t), in the order of ``nodes``: the last observation token before the turn's actions."""
    nodes: list[int]
    acted: list[int] = dataclasses.field(default_factory=list)
    """Positions of Q(h_t, a_t), in the order of ``nodes``: the last token of the turn's actions; empty for V alone."""
    bootstrap: int | None = None
    """Position of V behind the last node, if the episode was cut from outside."""

    @property
    def spots(self) -> list[int]:
        """All positions of V: those of the nodes, then the bootstrap."""
        return [*self.places, *([] if self.bootstrap is None else [self.bootstrap])]


def nodes_of_paths(forest: Forest) -> Iterator[tuple[int, list[int]]]:
    """Every path that has nodes of its own, with those nodes in order of turns."""
    order = np.lexsort((forest.turn, forest.path))
    for nodes in np.split(order, np.flatnonzero(np.diff(forest.path[order])) + 1):
        yield int(forest.path[nodes[0]]), nodes.tolist()


class Script:
    """How a critic's model writes what agents wrote: their marks, and their tokens, in its own vocabulary."""

    def __init__(self, policy: Policy, team: Sequence[Policy], marked: bool) -> None:
        """``policy`` reads what ``team`` wrote. With ``marked`` every agent's part begins with a mark."""
        self._encode = policy.chat.tokenizer.encode
        marks = [f"\n[Agent {agent + 1}]\n" if marked else "" for agent in range(len(team))]
        self.marks = [self._encode(mark, add_special_tokens=False) if mark else [] for mark in marks]
        """(agents,) tokens."""
        own = policy.chat.tokenizer.get_vocab()
        self._foreign = {
            agent: member.chat.tokenizer
            for agent, member in enumerate(team)
            if member.chat is not policy.chat and member.chat.tokenizer.get_vocab() != own
        }

    def part(self, agent: int, tokens: Sequence[int]) -> list[int]:
        """An agent's mark and these of its tokens. Those of another vocabulary are read as text, without control marks."""
        if agent in self._foreign:
            text = self._foreign[agent].decode(tokens, skip_special_tokens=True)
            tokens = self._encode(text, add_special_tokens=False)
        return [*self.marks[agent], *tokens]


def in_time_order(forest: Forest, agents: Sequence[int], script: Script, actions: bool = False) -> list[Reading]:
    """Every path laid out in order of time: at each turn all observations, then all actions (DESIGN, contract 2).

    ``agents`` are those whose histories are read: all for the joint history h_t, one for h_i,t. With ``actions`` there is
    a place behind each turn's actions, for Q.
    """
    return [_path_reading(forest, path, nodes, agents, script, actions) for path, nodes in nodes_of_paths(forest)]


def _path_reading(
    forest: Forest, path: int, nodes: list[int], agents: Sequence[int], script: Script, actions: bool
) -> Reading:
    histories = [forest.transcript(path, agent) for agent in agents]
    tokens: list[int] = []
    places, acted = [], []
    for turn in range(len(histories[0].spans)):
        for transcript in histories:
            span = transcript.spans[turn]
            tokens += script.part(transcript.agent, transcript.tokens[span.seen : span.said])
        places.append(len(tokens) - 1)
        for transcript in histories:
            span = transcript.spans[turn]
            tokens += script.part(transcript.agent, transcript.tokens[span.said : span.stop])
        acted.append(len(tokens) - 1)
    turns = [int(forest.turn[node]) for node in nodes]
    own = [places[turn] for turn in turns]
    behind = [acted[turn] for turn in turns] if actions else []
    if not forest.truncated[nodes[-1]]:
        return Reading(tokens if actions else tokens[: places[-1] + 1], own, nodes, behind)
    for transcript in histories:
        tokens += script.part(transcript.agent, transcript.tokens[transcript.spans[-1].stop :])
    return Reading(tokens, own, nodes, behind, len(tokens) - 1)


def one_behind_the_other(forest: Forest, agents: Sequence[int], script: Script, actions: bool = False) -> list[Reading]:
    """One reading per node: the agents' prompts of that turn one behind the other, then (for Q) their actions.

    The released encoding: nothing is shared between turns, so a history of H turns is read H times, and V sees each
    agent's whole history after the other's.
    """
    found = []
    for node in range(len(forest)):
        histories = [forest.transcript(int(forest.path[node]), agent) for agent in agents]
        turn = int(forest.turn[node])
        tokens = _prompts(histories, turn, script)
        place, acted = len(tokens) - 1, []
        if actions:
            for transcript in histories:
                span = transcript.spans[turn]
                tokens += script.part(transcript.agent, transcript.tokens[span.said : span.stop])
            acted = [len(tokens) - 1]
        found.append(Reading(tokens, [place], [node], acted))
        if forest.truncated[node]:
            rest = _prompts(histories, turn + 1, script)
            found.append(Reading(rest, [], [node], bootstrap=len(rest) - 1))
    return found


def _prompts(histories: Sequence[Transcript], turn: int, script: Script) -> list[int]:
    """The tokens that stand before the actions of a turn: every agent's mark and history."""
    tokens: list[int] = []
    for transcript in histories:
        spans = transcript.spans
        end = spans[turn].said if turn < len(spans) else None
        tokens += script.part(transcript.agent, transcript.tokens[:end])
    return tokens
