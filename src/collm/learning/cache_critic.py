"""A critic that reads the caches which the agents' policies wrote while they played."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from collm.errors import ConfigError
from collm.learning.critic import Critic
from collm.learning.readings import Reading, nodes_of_paths
from collm.learning.settings import CriticSettings
from collm.models.policy import Policy
from collm.models.query import Query, QueryModel, cache_shape
from collm.rollout.forest import Forest


@dataclasses.dataclass(frozen=True)
class CacheReading(Reading):
    """A path as its agents' caches; a place is an index into ``seen``."""

    caches: tuple[Any, ...] = ()
    """(agents, layers) keys and values."""
    seen: tuple[tuple[int, ...], ...] = ()
    """(places, agents): how many tokens of each agent's history are seen from each place."""


class CacheCritic(Critic):
    """V(h_t) from the agents' caches up to turn t's observations; linear rollouts only."""

    def __init__(
        self, policy: Policy, settings: CriticSettings, agents: Sequence[int], team: Sequence[Policy], outputs: int
    ) -> None:
        """``policy`` provides the backbone through which the value query passes. Raises ConfigError if agents of the
        ``team`` that it reads have bases of other shapes."""
        shapes = [(team[agent].layers, cache_shape(team[agent])) for agent in agents]
        if shapes.count((policy.layers, cache_shape(policy))) < len(shapes):
            raise ConfigError(
                "critic.encoding = caches needs one model for all agents: caches of other models have other shapes. Use "
                "critic.encoding = time-order."
            )
        model = QueryModel(policy, len(agents), outputs, settings.normalise, settings.kind == "q")
        super().__init__(model, settings, agents, policy.device)

    def read(self, forest: Forest) -> list[Reading]:
        return [self._reading(forest, path, nodes) for path, nodes in nodes_of_paths(forest)]

    def _reading(self, forest: Forest, path: int, nodes: list[int]) -> CacheReading:
        """A cache lacks the last token of the last response, so behind actions each place sees one token less."""
        transcripts = [forest.transcript(path, agent) for agent in self.agents]
        turns = [int(forest.turn[node]) for node in nodes]
        before = [tuple(transcript.spans[turn].said for transcript in transcripts) for turn in turns]
        behind = [tuple(transcript.spans[turn].stop - 1 for transcript in transcripts) for turn in turns]
        return CacheReading(
            tokens=[token for transcript in transcripts for token in transcript.tokens],
            places=list(range(len(turns))),
            nodes=nodes,
            acted=list(range(len(turns), 2 * len(turns))) if self.has_actions else [],
            bootstrap=2 * len(turns) if forest.truncated[nodes[-1]] else None,
            caches=tuple(transcript.cache for transcript in transcripts),
            seen=(*before, *behind, tuple(len(transcript.tokens) for transcript in transcripts)),
        )

    def states(self, model: Any, batch: Sequence[Any], places: Sequence[tuple[int, int]]) -> torch.Tensor:
        queries = [Query(row, batch[row].seen[place]) for row, place in places]
        return model.states([reading.caches for reading in batch], queries)
