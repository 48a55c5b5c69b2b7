"""Critics against an oracle: the values of a small game, enumerated over all tokens of both agents."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch

from collm.credit import Evidence, actor_critic
from collm.errors import ConfigError
from collm.learning import critic as critic_module
from collm.learning.cache_critic import CacheCritic
from collm.learning.critic import Critic, TextCritic, Values
from collm.learning.learner import Learner
from collm.learning.readings import Reading
from collm.learning.settings import CriticSettings, PolicySettings
from collm.models.policy import Policy
from collm.rollout.collector import Job, collect
from collm.rollout.distribution import log_distribution
from collm.rollout.forest import Forest
from tests.games import ONE_TOKEN, Memory, choice, game_chat, game_policy

FAST = CriticSettings(lr=2e-3, epochs=4, minibatches=8)


@dataclasses.dataclass(frozen=True)
class Oracle:
    """Exact values of the two-turn game for fixed policies."""

    first: list[np.ndarray]
    """(agents,) of (tokens,): probabilities of the first responses."""
    joint: dict[tuple[int, ...], float]
    """V(h_t): of () and of every pair of first tokens."""
    action: dict[tuple[int, ...], float]
    """Q(h_0, a_0) of every pair of first tokens."""

    def own(self, agent: int) -> dict[tuple[int, ...], float]:
        """V_i(h_i): the expectation of V over what the partner did, given what this agent did."""
        found = {(): self.joint[()]}
        for mine in range(len(self.first[agent])):
            pairs = [(mine, other) if agent == 0 else (other, mine) for other in range(len(self.first[1 - agent]))]
            found[(mine,)] = float(self.first[1 - agent] @ [self.joint[pair] for pair in pairs])
        return found


def oracle(game: Memory, team: list[Policy]) -> Oracle:
    """V and Q of every joint token history, enumerated over all tokens of both agents."""

    def probabilities(agent: int, first: int | None) -> np.ndarray:
        chat = team[agent].chat
        tokens = list(chat.opening(game.reset(game.problem("")).observations[agent]))
        if first is not None:
            following = chat.following(game.step(game.problem(""), (), ["a", "a"]).observations[agent], first)
            tokens += [first, *following]
        with torch.no_grad():
            logits = team[agent].logits(team[agent].hidden(torch.tensor([tokens])))[0, -1]
        return log_distribution(logits, 1.0).double().exp().numpy()

    size = range(len(team[0].chat.tokenizer))
    first = [probabilities(agent, None) for agent in range(2)]
    second = [[probabilities(agent, token) for token in size] for agent in range(2)]
    choices = [[choice(team[agent].chat.text([token])) for token in size] for agent in range(2)]
    values: dict[tuple[int, ...], float] = {(): 0.0}
    actions: dict[tuple[int, ...], float] = {}
    for a, b in itertools.product(size, size):
        start = (choices[0][a], choices[1][b])
        values[a, b] = sum(
            second[0][a][c] * second[1][b][d] * game.reward((start, (choices[0][c], choices[1][d])))
            for c, d in itertools.product(size, size)
        )
        actions[a, b] = game.reward((start,)) + values[a, b]
        values[()] += first[0][a] * first[1][b] * actions[a, b]
    return Oracle(first, values, actions)


def make_team() -> list[Policy]:
    chat = game_chat()
    return [game_policy(chat, 0), game_policy(chat, 1)]


def make_critics(team: list[Policy], settings: CriticSettings, own: bool) -> list[Critic]:
    kind = CacheCritic if settings.encoding == "caches" else TextCritic
    views = [[0], [1]] if own else [[0, 1]]
    heads = settings.backbone == "policy"
    return [kind(team[view[0]] if heads else game_policy(team[0].chat, 9), settings, view, team, 1) for view in views]


def play(game: Memory, team: list[Policy], update: int, episodes: int) -> Forest:
    jobs = [Job(game.problems("train")[0], 0, sample) for sample in range(episodes)]
    return collect(game, team, jobs, ONE_TOKEN, ("game", update), keep_caches=True).forest


def learned(settings: CriticSettings, own: bool = False, updates: int = 50) -> tuple[Oracle, Forest, Values]:
    """What critics say after learning by TD(0) from play of a team, on fresh play; and the truth for that team.

    The team stays as it is, but where a value head shapes the policy's own states: that one learns in the policy's steps,
    without any advantage, and the truth is that of the team at the end.
    """
    team, game = make_team(), Memory()
    policy = PolicySettings(lr=2e-3, epochs=4, minibatches=8)
    learner = Learner(team, make_critics(team, settings, own), policy, settings, 1.0, 8192)
    for update in range(updates):
        forest = play(game, team, update, 256)
        found = learner.values(forest)
        slow = learner.values(forest, slow=True) if settings.target != "none" else None
        assert found is not None
        evidence = Evidence(forest, 1.0, 0.0, 0.0, found.values, found.bootstraps)
        if slow is not None:
            evidence = dataclasses.replace(evidence, slow=(slow.values, slow.bootstraps))
        credit = actor_critic(evidence)
        credit = dataclasses.replace(credit, advantages=np.zeros_like(credit.advantages))
        learner.update(forest, credit, 1.0, ("learn", update), move=learner.heads, update=update)
    forest = play(game, team, 10_000, 256)
    found = learner.values(forest)
    assert found is not None
    return oracle(game, team), forest, found


def histories(forest: Forest, node: int, behind: bool = False) -> tuple[int, ...]:
    """The first responses' tokens, if they are part of the node's history (or, ``behind``, of its action)."""
    if int(forest.turn[node]) == 0 and not behind:
        return ()
    transcripts = [forest.transcript(int(forest.path[node]), agent) for agent in range(2)]
    return tuple(transcript.tokens[transcript.spans[0].said] for transcript in transcripts)


def errors(forest: Forest, values: np.ndarray, exact: dict[tuple[int, ...], float], agent: int | None) -> np.ndarray:
    """Root-mean-square error per turn, in reward units."""
    wrong: list[list[float]] = [[], []]
    for node in range(len(forest)):
        history = histories(forest, node)
        seen = history if agent is None else history[agent : agent + 1]
        wrong[int(forest.turn[node])].append(float(values[node]) - exact[seen])
    return np.array([np.sqrt(np.mean(np.square(each))) for each in wrong])


def quick(cases: dict[str, CriticSettings], *names: str) -> list[Any]:
    """The cases as parameters; all but the named ones are for ``make test-all``."""
    marks = {name: () if name in names else pytest.mark.slow for name in cases}
    return [pytest.param(case, id=name, marks=marks[name]) for name, case in cases.items()]


CENTRAL = {
    "time order": FAST,
    "prompts": dataclasses.replace(FAST, encoding="prompts"),
    "caches": dataclasses.replace(FAST, encoding="caches"),
    "hard target": dataclasses.replace(FAST, target="hard", target_every=3),
    "polyak target": dataclasses.replace(FAST, target="polyak", target_rate=0.3),
    "running": dataclasses.replace(FAST, normalise="running"),
    "no normalisation": dataclasses.replace(FAST, normalise="none", lr=5e-3),
}


@pytest.mark.parametrize("settings", quick(CENTRAL, "time order"))
def test_the_centralised_critic_finds_v_of_the_joint_history(settings: CriticSettings) -> None:
    """The exact values of the second turn spread by 0.92."""
    exact, forest, found = learned(settings)
    assert (errors(forest, found.values[:, 0], exact.joint, None) < 0.3).all()


DECENTRAL = {
    "time order": FAST,
    "caches": dataclasses.replace(FAST, encoding="caches"),
    "head on the policy": dataclasses.replace(FAST, backbone="policy", lr=5e-3),
}


@pytest.mark.parametrize("settings", quick(DECENTRAL))
def test_decentralised_critics_find_the_conditional_expectations(settings: CriticSettings) -> None:
    """V_i(h_i) averages over what the partner did; it is not V(h), from which it differs by 0.5 and more."""
    exact, forest, found = learned(settings, own=True)
    for agent in range(2):
        assert (errors(forest, found.values[:, agent], exact.own(agent), agent) < 0.25).all()
    gap = [exact.own(0)[histories(forest, n)[:1]] - exact.joint[histories(forest, n)] for n in range(len(forest))]
    assert np.sqrt(np.mean(np.square(gap))) > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["time-order", "prompts"])
def test_q_sees_the_joint_action_and_v_does_not(encoding: str) -> None:
    exact, forest, found = learned(dataclasses.replace(FAST, kind="q", encoding=encoding))  # type: ignore[arg-type]
    assert (errors(forest, found.values[:, 0], exact.joint, None) < 0.3).all()
    assert found.action_values is not None
    first = np.flatnonzero(forest.turn == 0)
    wanted = np.array([exact.action[histories(forest, int(node), behind=True)] for node in first])
    assert np.sqrt(np.mean((found.action_values[first, 0] - wanted) ** 2)) < 0.4
    assert wanted.std() > 0.8


def test_what_a_cut_left_beyond_the_context_is_read_as_far_as_it_fits() -> None:
    """A cut keeps the next observation, however long: the value behind it is of its beginning. Nothing else is lost."""
    team, game = make_team(), Memory()
    jobs = [Job(game.problem(""), 0, sample) for sample in range(4)]
    forest = collect(game, team, jobs, ONE_TOKEN, ("t",), max_history=4).forest
    assert forest.truncated.all()
    critic = make_critics(team, dataclasses.replace(FAST, encoding="time-order"), own=True)[0]
    assert isinstance(critic, TextCritic)
    torch.nn.init.normal_(critic.model.head.linear.weight)  # a new head says 0 of everything
    whole = critic.values(forest, 1000)
    assert (whole.values != 0).all()
    longest = max(len(reading.tokens) for reading in critic.read(forest))
    critic.context = longest - 1
    (short, *_) = critic.read(forest)
    assert (len(short.tokens), short.bootstrap) == (longest - 1, longest - 2)
    assert (critic.values(forest, 1000).values == whole.values).all()
    critic.context = 1
    with pytest.raises(ConfigError, match=f"a history has {longest} tokens, and the critic's model reads 1"):
        critic.read(forest)


def test_a_critic_fed_the_wrong_turn_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading every value one turn too early leaves the second turn's value without the first turn's actions."""
    right = critic_module.in_time_order

    def too_early(*args: object) -> list[Reading]:
        return [
            dataclasses.replace(reading, places=[reading.places[0], *reading.places[:-1]])
            for reading in right(*args)  # type: ignore[arg-type]
        ]

    monkeypatch.setattr(critic_module, "in_time_order", too_early)
    exact, forest, found = learned(FAST, updates=20)
    assert errors(forest, found.values[:, 0], exact.joint, None).max() > 0.6
