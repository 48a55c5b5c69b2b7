"""What the game of ``enumeration`` is worth exactly: its policy gradient, by automatic differentiation of the
closed-form objective, which shares no code with the rollouts; and the exact values of its histories."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import torch

from collm.credit import Evidence, greedy_returns
from collm.rollout.forest import Forest
from tests.credit.enumeration import START, Event, Game, Pair, Rollout, Rollouts, place_linear


def objective(game: Game, logits: torch.Tensor, gamma: float) -> torch.Tensor:
    """(agents,): J_i = E Σ_t γ^t r_i,t of the episodes that nothing cuts."""
    policy = torch.softmax(logits, -1)
    bit, goes_on = torch.from_numpy(game.bit), torch.from_numpy(game.goes_on)
    a = policy[0, 0][:, None] * policy[1, 0][None, :]
    az = (a * goes_on)[..., None] * torch.stack([1 - bit, bit], -1)
    one, other = policy[0, 1:].reshape(2, 2, 2), policy[1, 1:].reshape(2, 2, 2)
    at_first = torch.einsum("xy,xyi->i", a, torch.from_numpy(game.first))
    at_second = torch.einsum("xyz,xzu,yzv,xyzuvi->i", az, one, other, torch.from_numpy(game.second))
    return at_first + gamma * at_second


def exact_gradient(game: Game, gamma: float = 1.0) -> np.ndarray:
    """(agents, contexts, actions): the gradient of each agent's own J_i in its own logits."""
    logits = torch.from_numpy(game.logits).requires_grad_()
    values = objective(game, logits, gamma)
    return np.stack(
        [torch.autograd.grad(values[agent], logits, retain_graph=True)[0][agent].numpy() for agent in range(2)]
    )


def surrogate_gradient(game: Game, gamma: float) -> np.ndarray:
    """E Σ_t ∇ℓ_t G_t without γ^t: the gradient of the discounted return, its second turn taken at full weight."""
    found = exact_gradient(game, gamma)
    found[:, 1:] /= gamma
    return found


@dataclasses.dataclass(frozen=True)
class Worth:
    """Exact expectations of the return-to-go; nan where nothing leads."""

    joint: np.ndarray
    """(contexts, contexts, agents): V(h), what CoLLM-CC's critic should say."""
    own: np.ndarray
    """(contexts, agents): V_i(h_i) = E[G_i | h_i], what CoLLM-DC's critics should say."""
    forgetful: np.ndarray
    """(contexts, agents): E[G_i | turn, z], of critics that forgot what their agent did."""
    taken: np.ndarray
    """(contexts, contexts, actions, actions, agents): Q(h, a)."""


def worth(game: Game, gamma: float = 1.0) -> Worth:
    """The exact values under the game's policies."""
    uncut = dataclasses.replace(game, cut=0.0)
    shapes = ((5, 5, 2), (5, 2), (3, 2), (5, 5, 2, 2, 2))
    totals, masses = [np.zeros(shape) for shape in shapes], [np.zeros(shape) for shape in shapes]
    for probability, event, gain in uncut.visits(gamma):
        seen = np.array(event.contexts)
        keys = (event.contexts, (seen, [0, 1]), (_without_action(seen), [0, 1]), event.contexts + event.actions)
        for total, mass, key in zip(totals, masses, keys, strict=True):
            total[key] += probability * gain
            mass[key] += probability
    with np.errstate(invalid="ignore"):
        joint, own, forgetful, taken = (total / mass for total, mass in zip(totals, masses, strict=True))
    return Worth(joint, own, forgetful, taken)


def _without_action(contexts: np.ndarray) -> np.ndarray:
    """0 at the first turn, else 1 + z."""
    return np.where(contexts > 0, 1 + (contexts - 1) % 2, 0)


def evidence(rollouts: Rollouts, critic: str, gamma: float = 1.0, lam: float = 0.0, of: Game | None = None) -> Evidence:
    """Rollouts and what exact critics of the game ``of`` (by default theirs) say about them.

    ``critic`` is ``joint`` (a column of V(h) per agent), ``team`` (one column, for rewards that are shared), ``own``
    (V_i(h_i)), ``forgetful`` or ``none``.
    """
    found = worth(of or rollouts.game, gamma)

    def said(contexts: np.ndarray) -> np.ndarray:
        if critic in ("own", "forgetful"):
            table, seen = (found.own, contexts) if critic == "own" else (found.forgetful, _without_action(contexts))
            return table[seen, [0, 1]]
        values = found.joint[contexts[:, 0], contexts[:, 1]]
        return values[:, :1] if critic == "team" else values

    if critic == "none":
        return Evidence(rollouts.forest, gamma)
    bootstraps = np.where(rollouts.forest.truncated[:, None], said(rollouts.behind), np.nan)
    return Evidence(rollouts.forest, gamma, lam, lam, said(rollouts.contexts), bootstraps)


def taken_values(rollouts: Rollouts, gamma: float = 1.0) -> np.ndarray:
    """(nodes, agents): the exact Q of what was done."""
    return worth(rollouts.game, gamma).taken[(*rollouts.contexts.T, *rollouts.actions.T)]


def greedy_of(rollouts: Rollouts, gamma: float = 1.0) -> np.ndarray:
    """(nodes, agents): what the greedy team gets from each node's turn on (its bit being what is more likely)."""
    return greedy_returns(rollouts.forest, _greedy_forest(rollouts), gamma)


def _greedy_forest(rollouts: Rollouts) -> Forest:
    game = dataclasses.replace(rollouts.game, cut=0.0)
    best = functools.partial(max, key=lambda outcome: outcome[0])
    _, first = best(game.joint(START))
    _, event, contexts = best(game.after(first))
    events = (event,) if contexts is None else (event, Event(contexts, best(game.joint(contexts))[1], True))
    return Rollouts(game, [(1.0, place_linear([events]))] * len(rollouts.probability)).forest


def draw_linear(game: Game, count: int, groups: int, seed: int) -> list[Rollout]:
    """Groups of episodes that were played, not enumerated."""
    rng = np.random.default_rng(seed)

    def act(contexts: Pair) -> Pair:
        one, other = (int(rng.random() > game.policy[agent, contexts[agent], 0]) for agent in (0, 1))
        return one, other

    def play() -> tuple[Event, ...]:
        actions = act(START)
        if not game.goes_on[actions]:
            return (Event(START, actions, True),)
        bit = int(rng.random() < game.bit[actions])
        contexts = (1 + 2 * actions[0] + bit, 1 + 2 * actions[1] + bit)
        return Event(START, actions, False), Event(contexts, act(contexts), True)

    return [(1 / groups, place_linear([play() for _ in range(count)])) for _ in range(groups)]
