"""What critics read: the released encoding by hand, and the caches that the policies left behind."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from transformers.cache_utils import DynamicCache

from collm.learning.cache_critic import CacheCritic
from collm.learning.critic import TextCritic
from collm.learning.readings import in_time_order, one_behind_the_other
from collm.learning.settings import CriticSettings
from collm.models.policy import Policy
from collm.rollout.collector import Job, Rollout, collect
from collm.rollout.sampling import Sampling
from collm.tasks import Task
from tests.games import numbered

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def rollout(four_turns: Task, team: list[Policy]) -> Rollout:
    jobs = [Job(problem, group) for group, problem in enumerate(four_turns.problems("train")[:12])]
    first = [team[0].chat.opening(four_turns.reset(job.problem).observations[0]) for job in jobs]
    limit = max(map(len, first)) + 64  # not room enough for four turns: episodes are cut, and bootstraps are read
    return collect(four_turns, team, jobs, Sampling(max_new_tokens=24), ("readings",), limit, keep_caches=True)


def test_prompts_are_one_behind_the_other_at_every_turn(rollout: Rollout, team: list[Policy]) -> None:
    forest = rollout.forest
    found = one_behind_the_other(forest, [0, 1], numbered(team), actions=True)
    assert sum(len(reading.places) for reading in found) == len(forest)
    for reading in found:
        one, two = (forest.transcript(int(forest.path[reading.nodes[0]]), agent) for agent in range(2))
        if not reading.places:
            assert reading.tokens == [-1, *one.tokens, -2, *two.tokens]
            assert reading.bootstrap == len(reading.tokens) - 1
            continue
        a, b = (t.spans[int(forest.turn[reading.nodes[0]])] for t in (one, two))
        prompts = [-1, *one.tokens[: a.said], -2, *two.tokens[: b.said]]
        assert reading.tokens == [*prompts, -1, *one.tokens[a.said : a.stop], -2, *two.tokens[b.said : b.stop]]
        assert reading.places == [len(prompts) - 1]
        assert reading.acted == [len(reading.tokens) - 1]


def test_some_episodes_are_cut_and_get_a_bootstrap_in_every_text_encoding(rollout: Rollout, team: list[Policy]) -> None:
    forest = rollout.forest
    assert forest.truncated.any()
    for lay_out in (in_time_order, one_behind_the_other):
        found = lay_out(forest, [0, 1], numbered(team))
        behind = [reading.nodes[-1] for reading in found if reading.bootstrap is not None]
        assert sorted(behind) == np.flatnonzero(forest.truncated).tolist()


def test_the_caches_that_are_left_are_those_of_a_fresh_pass(rollout: Rollout, team: list[Policy]) -> None:
    """Through sweeps and turns, every history keeps its own keys and values, all but those of its last sampled token."""
    for transcript in rollout.forest.transcripts:
        cut = len(transcript.tokens) > transcript.spans[-1].stop
        length = len(transcript.tokens) if cut else transcript.spans[-1].stop - 1
        fresh = DynamicCache()
        with torch.no_grad():
            model = team[transcript.agent].model.base_model
            model(input_ids=torch.tensor([transcript.tokens[:length]]), past_key_values=fresh, use_cache=True)
        assert len(transcript.cache) == len(fresh.layers)
        for (keys, values), layer in zip(transcript.cache, fresh.layers, strict=True):
            torch.testing.assert_close(keys, layer.keys[0], atol=TOLERANCE, rtol=0)
            torch.testing.assert_close(values, layer.values[0], atol=TOLERANCE, rtol=0)


@pytest.fixture(scope="module")
def critic(team: list[Policy]) -> CacheCritic:
    critic = CacheCritic(team[0], CriticSettings(encoding="caches"), [0, 1], team, 1)
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(critic.model.head.linear.weight, generator=generator)
    torch.nn.init.normal_(critic.model.shifts, std=0.3, generator=generator)
    return critic


def test_a_value_query_sees_its_turn_and_nothing_behind_it(rollout: Rollout, critic: CacheCritic) -> None:
    """V(h_t) from all the caches equals V(h_t) from caches cut off behind turn t's observations, read alone."""
    forest = rollout.forest
    values = critic.values(forest, 8192).values
    for reading in critic.read(forest)[:6]:
        for place, node in zip(reading.places, reading.nodes, strict=True):
            seen = reading.seen[place]  # type: ignore[attr-defined]
            short = tuple(
                [(keys[:, :count], kept[:, :count]) for keys, kept in cache]
                for cache, count in zip(reading.caches, seen, strict=True)  # type: ignore[attr-defined]
            )
            alone = dataclasses.replace(reading, caches=short, places=[place], nodes=[node])
            with torch.no_grad():
                state = critic.states(critic.model, [alone], [(0, place)])
                value = critic.model.head.in_units(critic.model.head(state))
            np.testing.assert_allclose(values[node], value[0].numpy(), atol=TOLERANCE)
    assert np.ptp(values) > 0.1


def test_batches_change_no_value_of_any_encoding(rollout: Rollout, team: list[Policy], critic: CacheCritic) -> None:
    prompts = TextCritic(team[0], CriticSettings(encoding="prompts", kind="q"), [0, 1], team, 1)
    torch.nn.init.normal_(prompts.model.head.linear.weight, generator=torch.Generator().manual_seed(1))
    for each in (critic, prompts):
        alone, together = each.values(rollout.forest, 1), each.values(rollout.forest, 10**6)
        np.testing.assert_allclose(alone.values, together.values, atol=TOLERANCE)
        np.testing.assert_allclose(alone.bootstraps, together.bootstraps, atol=TOLERANCE)
        if together.action_values is not None and alone.action_values is not None:
            np.testing.assert_allclose(alone.action_values, together.action_values, atol=TOLERANCE)
            assert np.ptp(together.action_values) > 0.1


def test_agents_are_told_apart_by_the_query(rollout: Rollout, critic: CacheCritic) -> None:
    """The same two histories with their seats exchanged are another joint history."""
    reading = critic.read(rollout.forest)[0]
    swapped = dataclasses.replace(reading, caches=reading.caches[::-1], seen=tuple(s[::-1] for s in reading.seen))  # type: ignore[attr-defined]
    with torch.no_grad():
        one, other = (critic.model.head(critic.states(critic.model, [r], [(0, 0)])) for r in (reading, swapped))
    assert abs(float(one) - float(other)) > 1e-3
