"""Trees: their shape, what their nodes share, and that every response is the one its own history and key give."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from collm.credit import temporal_difference
from collm.errors import TaskError
from collm.learning.logprobs import score
from collm.models.policy import Policy
from collm.randomness import uniforms
from collm.rollout.branching import Branching
from collm.rollout.collector import Job, Rollout, collect
from collm.rollout.distribution import draw
from collm.rollout.forest import Forest
from collm.rollout.sampling import Sampling
from collm.tasks import Message, Problem, Start, Step, Task
from tests.conftest import untrained_policy
from tests.games import Game, game_chat, game_policy

ALIGNED, CROSS = Branching(2, "aligned"), Branching(2, "cross")
THREE_TOKENS = Sampling(max_new_tokens=3)
WORDY = Sampling(max_new_tokens=24)


class Walk(Game):
    """Every choice of 1 pays 1; with ``exit`` the episode ends as soon as agent 0 chooses 1."""

    def __init__(self, agents: int, turns: int, exit: bool = False) -> None:
        super().__init__(turns)
        self.agents, self.exit = agents, exit

    def reward(self, history: Sequence[tuple[int, ...]]) -> float:
        return float(sum(history[-1]))

    def reset(self, problem: Problem, seed: int = 0) -> Start:
        return Start((), tuple((Message("user", f"start {agent % 2 + 1}"),) for agent in range(self.agents)))

    def step(self, problem: Problem, state: Any, actions: Sequence[str]) -> Step:
        choices = super().step(problem, state, actions).state
        ended = len(choices) == self.turns or (self.exit and choices[-1][0] == 1)
        seen = None if ended else ((Message("user", f"next {len(choices)}"),),) * self.agents
        return Step(choices, seen, self.reward(choices), {}, ended)


class Trap(Walk):
    """A task whose own code fails at the second turn, after some joint actions only."""

    def step(self, problem: Problem, state: Any, actions: Sequence[str]) -> Step:
        if len(state) == 1 and state[0][0] == 1:
            raise ZeroDivisionError("trap")
        return super().step(problem, state, actions)


@pytest.fixture(scope="module")
def players() -> list[Policy]:
    chat = game_chat()
    return [game_policy(chat, seed) for seed in range(3)]


def walk(players: list[Policy], task: Task, branching: Branching | None, trees: int = 3, **options: Any) -> Rollout:
    jobs = [Job(Problem(f"p{tree}"), tree, sample=tree) for tree in range(trees)]
    return collect(task, players[: task.agents], jobs, THREE_TOKENS, ("t",), branching=branching, **options)


def build(task: Task, team: list[Policy], branching: Branching, problems: slice = slice(0, 2)) -> Rollout:
    chosen = list(enumerate(task.problems("train")))[problems]
    jobs = [Job(problem, group) for group, problem in chosen]
    return collect(task, team, jobs, WORDY, ("tree", 0), branching=branching)


@pytest.fixture(scope="module", params=[ALIGNED, CROSS], ids=["aligned", "cross"])
def tree(request: Any, three_turns: Task, team: list[Policy]) -> Rollout:
    """Two trees of three turns with long arbitrary responses."""
    return build(three_turns, team, request.param)


@pytest.fixture(scope="module")
def three_turns(four_turns: Task) -> Task:
    """StrBuild in three turns."""
    return type(four_turns)(dataclasses.replace(four_turns.options, turns=3))


def ancestry(forest: Forest, node: int) -> list[int]:
    """The nodes from the root to this one."""
    nodes = [node]
    while forest.parent[nodes[0]] >= 0:
        nodes.insert(0, int(forest.parent[nodes[0]]))
    return nodes


def siblings(forest: Forest, node: int) -> list[tuple[int, ...]]:
    """(turns,) tuples of the sibling indices (agents,) of the joint actions from the root to this node."""
    return [tuple(forest.decisions[d].sibling for d in forest.decision[step]) for step in ancestry(forest, node)]


def is_leaf(forest: Forest) -> np.ndarray:
    return ~np.isin(np.arange(len(forest)), forest.parent)


def test_joint_actions() -> None:
    assert Branching(3, "aligned").joint(2) == [(0, 0), (1, 1), (2, 2)]
    assert CROSS.joint(2) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert len(Branching(3, "cross").joint(3)) == 27


@pytest.mark.parametrize("branching", [ALIGNED, CROSS, Branching(3, "aligned"), Branching(1, "cross")])
@pytest.mark.parametrize("agents", [1, 2, 3])
def test_the_shape_of_a_full_tree(players: list[Policy], agents: int, branching: Branching) -> None:
    """Σ_{t=1..H} Bᵗ nodes; each inner node has B children, which form one group; Bᴴ paths."""
    turns, trees = (2 if agents == 3 else 3), 2
    rollout = walk(players, Walk(agents, turns), branching, trees)
    forest, joint = rollout.forest, branching.joint(agents)
    fan = len(joint)
    assert len(forest) == trees * sum(fan**t for t in range(1, turns + 1))
    assert forest.paths == len(rollout.episodes) == trees * fan**turns
    assert (forest.parent < np.arange(len(forest))).all()
    assert len(forest.decisions) == agents * branching.width * len(np.unique(forest.group))
    for group in np.unique(forest.group):
        children = np.flatnonzero(forest.group == group)
        assert len(children) == fan
        assert len({(forest.parent[child], forest.problem[child], forest.turn[child]) for child in children}) == 1
        assert [siblings(forest, child)[-1] for child in children] == joint
    inner = forest.parent >= 0
    assert (forest.turn[inner] == forest.turn[forest.parent[inner]] + 1).all()
    assert (forest.terminated == (forest.turn == turns - 1)).all()
    assert (forest.terminated == is_leaf(forest)).all()


def test_groups_of_linear_rollouts_are_problem_and_turn(players: list[Policy]) -> None:
    jobs = [Job(Problem(f"p{group}"), group, sample) for group in range(2) for sample in range(4)]
    forest = collect(Walk(2, 3, exit=True), players[:2], jobs, THREE_TOKENS, ("t",)).forest
    assert len(forest) < 24
    pairs = {(int(p), int(t)) for p, t in zip(forest.problem, forest.turn, strict=True)}
    labels = {(int(p), int(t), int(g)) for p, t, g in zip(forest.problem, forest.turn, forest.group, strict=True)}
    assert len(pairs) == len(labels) == len(np.unique(forest.group))


def test_in_cross_one_response_serves_all_joint_actions_that_contain_it(players: list[Policy]) -> None:
    forest = walk(players, Walk(3, 2), CROSS, trees=1).forest
    served = np.zeros(len(forest.decisions), dtype=int)
    np.add.at(served, forest.decision, 1)
    assert (served == 4).all()  # K^{n−1}
    for node in range(len(forest)):
        for agent, decision in enumerate(forest.decision[node]):
            assert forest.decisions[decision].agent == agent
            others = forest.group[forest.decision[:, agent] == decision]
            assert (others == forest.group[node]).all()


def test_every_path_has_the_whole_history_of_its_nodes(tree: Rollout, team: list[Policy]) -> None:
    """The tokens at a node's turn are those of its decision, in all paths through it; texts and rewards as well."""
    forest = tree.forest
    for path, leaf in [(int(forest.path[leaf]), leaf) for leaf in np.flatnonzero(is_leaf(forest))]:
        nodes, episode = ancestry(forest, leaf), tree.episodes[path]
        assert episode.ended
        assert len(episode.actions) == len(episode.rewards) == len(episode.info) == len(episode.observations)
        np.testing.assert_array_equal(episode.rewards, forest.rewards[nodes])
        for agent in range(forest.agents):
            transcript = forest.transcript(path, agent)
            assert transcript.agent == agent
            assert len(transcript.spans) == len(nodes)
            for turn, node in enumerate(nodes):
                decision = forest.decisions[forest.decision[node, agent]]
                home = forest.transcripts[decision.transcript]
                assert transcript.spans[turn] == home.spans[turn] == decision.span
                assert transcript.tokens[: decision.span.stop] == home.tokens[: decision.span.stop]
                said = transcript.tokens[decision.span.said : decision.span.stop]
                assert episode.actions[turn][agent] == team[agent].chat.text(said)


def test_paths_are_numbered_by_their_first_node(tree: Rollout) -> None:
    """The first child continues its parent's path, every other node begins one; decisions sit in their first path."""
    forest = tree.forest
    begun: set[int] = set()
    continued: set[int] = set()
    for node, parent in enumerate(forest.parent):
        if parent >= 0 and int(parent) not in continued:
            continued.add(int(parent))
            assert forest.path[node] == forest.path[parent]
        else:
            assert int(forest.path[node]) not in begun
            begun.add(int(forest.path[node]))
    assert begun == set(range(forest.paths))
    for index, decision in enumerate(forest.decisions):
        nodes = np.flatnonzero(forest.decision[:, decision.agent] == index)
        assert decision.transcript == forest.path[nodes].min() * forest.agents + decision.agent


def assert_teacher_forced(forest: Forest, policies: Sequence[Policy]) -> None:
    """The sampler's log-probabilities are those of a pass over the whole transcript."""
    compared = 0
    for agent, policy in enumerate(policies):
        mine = [i for i, decision in enumerate(forest.decisions) if decision.agent == agent]
        with torch.no_grad():
            for scored in score(policy, forest, mine, 1.0, 8192):
                expected = np.concatenate([forest.decisions[d].logprobs for d in scored.decisions])
                np.testing.assert_allclose(scored.logprobs.numpy(), expected, atol=1e-4)
                compared += len(scored.decisions)
    assert compared == len(forest.decisions)


def test_sampler_logprobs_are_the_teacher_forced_ones(tree: Rollout, team: list[Policy]) -> None:
    """A branched cache row holds the history of its own path, or these would differ."""
    assert_teacher_forced(tree.forest, team)


@pytest.mark.parametrize("branching", [ALIGNED, CROSS])
def test_so_they_are_when_rows_have_changed_places(players: list[Policy], branching: Branching) -> None:
    """Responses of very different lengths are swept about in the cache before their rows branch."""
    jobs = [Job(Problem(f"p{tree}"), tree) for tree in range(4)]
    sampling = Sampling(max_new_tokens=14)
    forest = collect(Walk(2, 3), players[:2], jobs, sampling, ("t",), branching=branching).forest
    sizes = [len(decision.logprobs) for decision in forest.decisions]
    assert min(sizes) < 3
    assert max(sizes) == 14
    assert_teacher_forced(forest, players[:2])


def fresh(policy: Policy, history: list[int], numbers: np.ndarray) -> list[int]:
    """A response to a history, token by token without a cache."""
    said: list[int] = []
    for number in numbers:
        with torch.no_grad():
            logits = policy.logits(policy.hidden(torch.tensor([history + said]))[:, -1])
        said.append(int(draw(logits, torch.tensor([number]), WORDY)[0]))
        if said[-1] in policy.stop_ids:
            break
    return said


@pytest.mark.parametrize("branching", [Branching(1, "aligned"), CROSS], ids=["width 1", "cross"])
def test_every_response_is_the_one_of_its_history_and_key(
    three_turns: Task, team: list[Policy], branching: Branching
) -> None:
    rollout = build(three_turns, team, branching, slice(0, 1))
    forest, joint = rollout.forest, branching.joint(2)
    chosen = np.random.default_rng(0).permutation(len(forest.decisions))[:30]
    for index in chosen:
        decision = forest.decisions[index]
        node = int(np.flatnonzero(forest.decision[:, decision.agent] == index)[0])
        route = [joint.index(pair) for pair in siblings(forest, node)[:-1]]
        job = rollout.episodes[0].job
        key = ("tree", 0, job.problem.id, job.sample, *route, len(route), decision.agent, decision.sibling)
        tokens, span = forest.transcripts[decision.transcript].tokens, decision.span
        numbers = uniforms(WORDY.max_new_tokens, *key)
        assert fresh(team[decision.agent], tokens[: span.said], numbers) == tokens[span.said : span.stop]


def histories(rollout: Rollout, problem: str) -> list[list[int]]:
    """The transcripts of a problem's tree, in the order of its paths."""
    paths = [path for path, episode in enumerate(rollout.episodes) if episode.job.problem.id == problem]
    return [rollout.forest.transcript(path, agent).tokens for path in paths for agent in range(rollout.forest.agents)]


@pytest.mark.parametrize("branching", [ALIGNED, CROSS])
def test_a_tree_does_not_depend_on_the_trees_beside_it(
    three_turns: Task, team: list[Policy], branching: Branching
) -> None:
    together = build(three_turns, team, branching, slice(0, 4))
    alone = build(three_turns, team, branching, slice(2, 3))
    problem = alone.episodes[0].job.problem.id
    assert histories(alone, problem) == histories(together, problem)


def test_agents_that_share_a_policy_draw_what_copies_of_it_draw(three_turns: Task, chat: Any) -> None:
    one, copy = untrained_policy(chat, 3), untrained_policy(chat, 3)
    shared, separate = build(three_turns, [one, one], CROSS), build(three_turns, [one, copy], CROSS)
    assert [t.tokens for t in shared.forest.transcripts] == [t.tokens for t in separate.forest.transcripts]


def test_every_joint_action_ends_by_itself(players: list[Policy]) -> None:
    """Where agent 0 chose to leave there is an end; its siblings go on, with a full fan of children."""
    rollout = walk(players, Walk(2, 3, exit=True), CROSS, trees=6)
    forest = rollout.forest
    early = forest.terminated & (forest.turn < 2)
    mixed = [group for group in np.unique(forest.group) if 0 < early[forest.group == group].sum() < 4]
    assert mixed
    children = np.bincount(forest.parent[forest.parent >= 0], minlength=len(forest))
    assert (children == np.where(forest.terminated, 0, 4)).all()
    assert not forest.truncated.any()
    for leaf in np.flatnonzero(forest.terminated):
        assert rollout.episodes[forest.path[leaf]].state[-1][0] == 1 or forest.turn[leaf] == 2


def test_a_path_that_may_not_fit_is_cut_alone(players: list[Policy]) -> None:
    forest = walk(players, Walk(2, 3), ALIGNED, trees=6, max_history=16).forest
    second = forest.turn == 1
    assert 0 < forest.truncated[second].sum() < second.sum()
    assert ((forest.truncated | forest.terminated) == is_leaf(forest)).all()
    for leaf in np.flatnonzero(is_leaf(forest)):
        transcripts = [forest.transcript(int(forest.path[leaf]), agent) for agent in range(2)]
        assert all(
            (len(transcript.tokens) > transcript.spans[-1].stop) == forest.truncated[leaf] for transcript in transcripts
        )


def test_an_exception_in_a_branch_names_its_problem_and_turn(players: list[Policy]) -> None:
    with pytest.raises(TaskError, match=r"problem 'p\d' at turn 1 .*ZeroDivisionError: trap"):
        walk(players, Trap(2, 3), ALIGNED, trees=4)


def test_the_worked_example(players: list[Policy]) -> None:
    """METHODS: reward = 10·state + s_0 + 2·s_1, states 0 (root), 1 and 2 behind its joint actions; n = H = K = 2."""
    forest = walk(players, Walk(2, 2), ALIGNED, trees=1).forest
    assert len(forest) == 6
    rewards = []
    for node in range(6):
        *before, (one, other) = siblings(forest, node)
        state = 1 + before[0][0] if before else 0
        rewards.append([10.0 * state + one + 2 * other] * 2)
    example = dataclasses.replace(forest, rewards=np.array(rewards))
    nothing = np.zeros((6, 2))
    returns, _ = temporal_difference(example, nothing, nothing, 1.0, 1.0)
    np.testing.assert_allclose(returns[forest.parent < 0], [[11.5, 11.5], [24.5, 24.5]], atol=1e-12)
