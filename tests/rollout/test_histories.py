"""Episodes that live through a given history first: the same continuations, and cuts where the history is left."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from collm.models.policy import Policy
from collm.rollout.branching import Branching
from collm.rollout.collector import Episode, Job, Rollout, collect
from collm.rollout.path import History
from collm.rollout.sampling import Sampling
from collm.tasks import Task

SAMPLING = Sampling(max_new_tokens=48)
KEY = ("histories", 0)


@pytest.fixture(scope="module")
def rollout(four_turns: Task, team: list[Policy]) -> Rollout:
    jobs = [Job(problem, group) for group, problem in enumerate(four_turns.problems("train")[:6])]
    return collect(four_turns, team, jobs, SAMPLING, KEY)


def history(rollout: Rollout, path: int, agents: Sequence[int], turn: int) -> History:
    return rollout.history(path, tuple(agents), turn)


def tokens(rollout: Rollout) -> list[list[int]]:
    return [transcript.tokens for transcript in rollout.forest.transcripts]


def again(task: Task, team: list[Policy], rollout: Rollout, histories: list[History | None]) -> Rollout:
    jobs = [
        Job(episode.job.problem, episode.job.group, history=history)
        for episode, history in zip(rollout.episodes, histories, strict=True)
    ]
    return collect(task, team, jobs, SAMPLING, KEY)


@pytest.mark.parametrize("agents", [(0, 1), (0,), (1,)])
@pytest.mark.parametrize("shared", [False, True])
def test_what_would_be_sampled_anyway_changes_nothing(
    four_turns: Task, team: list[Policy], rollout: Rollout, agents: tuple[int, ...], shared: bool
) -> None:
    """Histories of every length in one batch; agents with weights of their own, or with the same ones."""
    players = [team[0], team[0]] if shared else team
    plain = again(four_turns, players, rollout, [None] * len(rollout.episodes)) if shared else rollout
    longest = [len(episode.actions) - 1 for episode in plain.episodes]
    histories = [history(plain, path, agents, min(path % 4, longest[path])) for path in range(len(longest))]
    assert len({one.turn for one in histories}) > 2
    found = again(four_turns, players, plain, histories)
    assert tokens(found) == tokens(plain)
    assert [e.rewards for e in found.episodes] == [e.rewards for e in plain.episodes]
    assert not any(e.cut for e in found.episodes)


def test_given_responses_have_no_logprobs_and_sampled_ones_keep_theirs(
    four_turns: Task, team: list[Policy], rollout: Rollout
) -> None:
    found = again(four_turns, team, rollout, [history(rollout, path, (0,), 2) for path in range(len(rollout.episodes))])
    for node, turn in enumerate(found.forest.turn):
        for agent, index in enumerate(found.forest.decision[node]):
            (twin,) = np.flatnonzero((rollout.forest.path == found.forest.path[node]) & (rollout.forest.turn == turn))
            expected = rollout.forest.decisions[rollout.forest.decision[twin, agent]].logprobs
            logprobs = found.forest.decisions[index].logprobs
            if agent == 0 and turn < 2:
                assert np.isnan(logprobs).all()
            else:
                np.testing.assert_allclose(logprobs, expected, atol=1e-4)


def test_an_episode_is_cut_where_its_agents_see_anything_else(
    four_turns: Task, team: list[Policy], rollout: Rollout
) -> None:
    other = rollout.episodes[1]

    def swapped(path: int) -> History:
        """This path's history, with what was seen at turn 1 in another episode."""
        real = history(rollout, path, (0, 1), 2)
        seen = (
            real.observations[0],
            ((*other.observations[1][0], *other.observations[1][0]),) * 2,
            real.observations[2],
        )
        return History(real.agents, seen, real.responses)

    found = again(four_turns, team, rollout, [swapped(path) for path in range(len(rollout.episodes))])
    assert all(episode.cut and len(episode.actions) == 1 for episode in found.episodes)
    assert found.forest.truncated.all()
    first = history(rollout, 1, (0, 1), 1)
    jobs = [Job(rollout.episodes[0].job.problem, 0, history=first)]
    (never,) = collect(four_turns, team, jobs, SAMPLING, KEY).episodes
    assert never.cut
    assert never.actions == []
    assert isinstance(never, Episode)


def test_trees_begin_at_the_root(four_turns: Task, team: list[Policy], rollout: Rollout) -> None:
    job = Job(rollout.episodes[0].job.problem, 0, history=history(rollout, 0, (0, 1), 1))
    with pytest.raises(ValueError, match="begins at the root"):
        collect(four_turns, team, [job], SAMPLING, KEY, branching=Branching(2, "aligned"))
