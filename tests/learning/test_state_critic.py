"""The critic that reads states: what it is told, and that it finds their values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from collm.config import resolve
from collm.credit import Evidence, actor_critic
from collm.errors import ConfigError, TaskError
from collm.learning.learner import Learner
from collm.learning.settings import CriticSettings, PolicySettings
from collm.learning.state_critic import StateCritic
from collm.models.policy import Policy
from collm.rollout.branching import Branching
from collm.rollout.collector import Job, collect
from collm.rollout.forest import Forest
from collm.rollout.standing import OwnStanding, Standing
from collm.tasks import Problem
from collm.tasks.minecraft.str_build import StrBuild, StrBuildOptions
from collm.tasks.protocol import replay
from collm.training.setup import assemble
from tests.games import ONE_TOKEN, Memory, choice, game_chat, game_policy
from tests.learning.test_critics import FAST, Oracle, histories, make_team, oracle
from tests.rollout.test_trees import Walk

ON_STATES = dataclasses.replace(FAST, encoding="state", lr=1e-2)


class Open(Memory):
    """The game, and the first turn's choices are what its state tells."""

    def components(self, problem: Problem, state: Any) -> Mapping[str, float]:
        return {"one": float(state[0][0]), "other": float(state[0][1])} if state else {}


class Silent(Memory):
    def components(self, problem: Problem, state: Any) -> Mapping[str, float]:
        return {"one": float("nan")}


class Cut(Walk):
    """A walk that is cut from outside behind its second turn."""

    def step(self, problem: Problem, state: Any, actions: Any) -> Any:
        step = super().step(problem, state, actions)
        cut = len(step.state) == 2
        return dataclasses.replace(step, terminated=step.terminated and not cut, truncated=cut)


def learned(settings: CriticSettings, updates: int = 50) -> tuple[Oracle, Forest, np.ndarray]:
    """What the critic says of fresh play after learning by TD(0) from play of a team that stays as it is."""
    team, game = make_team(), Open()
    standing = Standing(game)
    critic = StateCritic(standing, settings, [0, 1], 1, torch.device("cpu"), ("critic", 0))
    learner = Learner(team, [critic], PolicySettings(), settings, 1.0, 8192)

    def play(update: int) -> Forest:
        jobs = [Job(game.problem(""), 0, sample) for sample in range(256)]
        return collect(game, team, jobs, ONE_TOKEN, ("game", update), standing=standing).forest

    for update in range(updates):
        forest = play(update)
        found = learner.values(forest)
        assert found is not None
        evidence = Evidence(forest, 1.0, 0.0, 0.0, found.values, found.bootstraps)
        learner.update(forest, actor_critic(evidence), 1.0, ("learn", update), move=False, update=update)
    forest = play(10_000)
    found = learner.values(forest)
    assert found is not None
    return oracle(game, team), forest, found.values[:, 0]


def of_states(exact: Oracle, team: list[Policy]) -> dict[tuple[int, ...], float]:
    """V(s): the expectation of V(h) over the histories that lead to a state, here the first turn's choices."""
    worth: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for (a, b), value in ((pair, value) for pair, value in exact.joint.items() if pair):
        state = (choice(team[0].chat.text([a])), choice(team[1].chat.text([b])))
        worth.setdefault(state, []).append((float(exact.first[0][a] * exact.first[1][b]), value))
    found = {state: sum(p * v for p, v in each) / sum(p for p, _ in each) for state, each in worth.items()}
    return {(): exact.joint[()], **found}


@pytest.mark.parametrize("target", ["none", "polyak"])
def test_it_finds_the_values_of_states(target: str) -> None:
    exact, forest, found = learned(dataclasses.replace(ON_STATES, target=target))
    team = make_team()
    values = of_states(exact, team)
    wanted = []
    for node in range(len(forest)):
        tokens = histories(forest, node)
        state = tuple(choice(team[agent].chat.text([token])) for agent, token in enumerate(tokens))
        wanted.append(values[state])
    second = forest.turn == 1
    assert np.array(wanted)[second].std() > 0.8
    assert np.sqrt(np.mean((found - wanted)[second] ** 2)) < 0.3
    assert np.abs((found - wanted)[~second]).max() < 0.3


def test_its_weights_come_from_the_key_alone() -> None:
    def weights(seed: int) -> torch.Tensor:
        critic = StateCritic(Standing(Open()), ON_STATES, [0, 1], 2, torch.device("cpu"), ("critic", seed))
        assert critic.outputs == 2
        return critic.model.body[0].weight

    before = torch.get_rng_state()
    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
    assert torch.equal(before, torch.get_rng_state())


def test_what_a_state_tells() -> None:
    game = Open()
    standing = Standing(game)
    assert standing.names == ("score", "one", "other")
    assert standing.of(game.problem(""), (), 0).tolist() == [0, 0, 0, 1, 0, 0]
    state = ((1, 0),)
    assert standing.of(game.problem(""), state, 1).tolist() == [game.final(game.problem(""), state), 1, 0, 0, 1, 0]
    with pytest.raises(TaskError, match="standing: one is nan"):
        Standing(Silent())


@pytest.mark.parametrize("branching", [None, Branching(2, "cross")], ids=["linear", "tree"])
def test_a_forest_keeps_the_states_that_its_actions_met(branching: Branching | None) -> None:
    task = Cut(2, 3)
    team = [game_policy(game_chat(), seed) for seed in range(2)]
    standing = Standing(task)
    jobs = [Job(Problem(f"p{group}"), group) for group in range(4)]
    rollout = collect(task, team, jobs, ONE_TOKEN, ("t",), branching=branching, standing=standing)
    forest = rollout.forest
    assert forest.states is not None
    assert forest.beyond is not None
    for node in range(len(forest)):
        episode, turn = rollout.episodes[int(forest.path[node])], int(forest.turn[node])
        problem = episode.job.problem
        before = replay(task, problem, episode.actions[:turn], episode.seed).state
        assert (forest.states[node] == standing.of(problem, before, turn)).all()
        behind = replay(task, problem, episode.actions[: turn + 1], episode.seed).state
        expected = standing.of(problem, behind, turn + 1) if turn == 1 else np.zeros(standing.width)
        assert (forest.beyond[node] == expected).all()
    critic = StateCritic(standing, ON_STATES, [0, 1], 1, torch.device("cpu"), ("critic", 0))
    torch.nn.init.ones_(critic.model.head.linear.weight)
    bootstraps = critic.values(forest, 1000).bootstraps[:, 0]
    assert ((bootstraps != 0) == forest.truncated).all()
    assert forest.truncated.any()


def test_a_forest_without_states_is_refused() -> None:
    game = Open()
    forest = collect(game, make_team(), [Job(game.problem(""), 0)], ONE_TOKEN, ("t",)).forest
    critic = StateCritic(Standing(game), ON_STATES, [0, 1], 1, torch.device("cpu"), ("critic", 0))
    with pytest.raises(ValueError, match="without keeping"):
        critic.values(forest, 1000)


@pytest.mark.parametrize("task", ["tldr", "arxiv", "coop-he", "str-build", "house-build"])
def test_every_task_has_such_a_critic(task: str) -> None:
    parts = assemble(resolve(task, preset="quick", values={"critic": {"encoding": "state"}}))
    (critic,) = parts.learner.critics
    assert isinstance(critic, StateCritic)
    assert len(critic.standing.names) > 3


@pytest.mark.parametrize("task", ["tldr", "arxiv", "coop-he", "str-build", "house-build"])
def test_every_task_has_such_critics_of_one_agent(task: str) -> None:
    """And play with them: the numbers of both agents are there at every node."""
    values = {"method": "collm-dc", "critic": {"encoding": "state"}, "sampling": {"max_new_tokens": 8}}
    config = resolve(task, preset="quick", values=values)
    parts = assemble(config)
    critics = [critic for critic in parts.learner.critics if isinstance(critic, StateCritic)]
    assert len(critics) == parts.task.agents
    jobs = [Job(parts.task.problems("train")[0], 0, sample) for sample in range(2)]
    forest = collect(parts.task, parts.policies, jobs, config.sampling, ("t",), standing=critics[0].standing).forest
    assert forest.states is not None
    assert forest.states.shape == (len(forest), critics[0].standing.width)
    turns = [forest.states[:, critic.standing.columns(critic.agents)][:, -parts.task.turns - 1 :] for critic in critics]
    assert all((told.argmax(1) == forest.turn).all() for told in turns)


FLAGSHIP = {"world": "persistent", "reward": "terminal", "feedback": "own", "turns": 4}


def flagship(actions: list[tuple[str, str]], seed: int = 0) -> tuple[OwnStanding, np.ndarray]:
    """What both agents know behind these joint actions: (agents, numbers)."""
    task = StrBuild(StrBuildOptions(**FLAGSHIP))  # type: ignore[arg-type]
    standing, problem = OwnStanding(task), task.problem("HI")
    found = standing.lived(problem, seed, actions, replay(task, problem, actions, seed).state)
    return standing, np.stack([found[standing.columns([agent])] for agent in range(2)])


def test_what_an_agent_knows_by_itself() -> None:
    """Its own blocks and how many cells are empty; of the partner's blocks nothing else."""
    task = StrBuild(StrBuildOptions(**FLAGSHIP))  # type: ignore[arg-type]
    plan = task.best_plan(task.problem("HI"))
    assert plan is not None
    (mine, others), *_ = plan
    lines = others.splitlines()
    standing, known = flagship([(mine, others)])
    named = [dict(zip(standing.names, row, strict=False)) for row in known]
    cells = len(task.problem("HI").cells)
    assert named[0]["observed: empty"] == named[1]["observed: empty"] == cells - len(mine.splitlines()) - len(lines)
    alone = task.components(task.problem("HI"), replay(task, task.problem("HI"), [(mine, "")], 0).state)
    assert named[0]["coverage"] == alone["coverage"] < len(mine.splitlines() + lines) / cells
    # The partner writes as many cells elsewhere, and refused lines: agent 0 knows the same. It is silent: one number moves.
    _, other = flagship([(mine, "\n".join(reversed(lines)) + "\nnonsense")])
    assert (other[0] == known[0]).all()
    assert (other[1] != known[1]).any()
    _, silent = flagship([(mine, "")])
    assert [standing.names[place] for place in np.flatnonzero(silent[0] != known[0])] == ["observed: empty"]


def test_critics_of_one_agent_read_what_it_knows() -> None:
    """And go by their own agent's columns."""
    values = {"method": "collm-dc", "task": FLAGSHIP, "critic": {"encoding": "state"}}
    parts = assemble(resolve("str-build", preset="quick", values=values))
    critics = [critic for critic in parts.learner.critics if isinstance(critic, StateCritic)]
    assert [critic.agents for critic in critics] == [(0,), (1,)]
    standing = critics[0].standing
    jobs = [Job(problem, group) for group, problem in enumerate(parts.task.problems("train")[:4])]
    sampling = resolve("str-build", preset="quick", values=values).sampling
    forest = collect(parts.task, parts.policies, jobs, sampling, ("t",), standing=standing).forest
    for critic in critics:
        torch.nn.init.ones_(critic.model.head.linear.weight)
    before = [critic.values(forest, 1000).values for critic in critics]
    assert forest.states is not None
    changed = forest.states.copy()
    changed[:, standing.columns([1])] += 1.0
    after = [critic.values(dataclasses.replace(forest, states=changed), 1000).values for critic in critics]
    assert (before[0] == after[0]).all()
    assert (before[1] != after[1]).all()


@pytest.mark.parametrize(
    ("method", "values", "said"),
    [
        ("collm-cc", {"kind": "q"}, r"critic\.kind = q"),
        ("collm-cc", {"model": "tiny"}, r"critic\.model = tiny"),
        ("ac", {"backbone": "policy"}, r"critic\.backbone = policy"),
    ],
)
def test_what_does_not_go_with_it_is_refused(method: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve("str-build", preset="quick", values={"method": method, "critic": {"encoding": "state", **values}})
