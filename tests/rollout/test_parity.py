"""The same numbers whichever way they are computed: sampler, teacher forcing, cache, batch, padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from collm.learning.critic import TextCritic
from collm.learning.logprobs import score
from collm.learning.readings import in_time_order
from collm.learning.settings import CriticSettings
from collm.models.policy import Policy
from collm.rollout.branching import Branching
from collm.rollout.collector import Job, Rollout, collect
from collm.rollout.distribution import log_distribution
from collm.rollout.forest import Forest
from collm.rollout.sampling import Sampling
from collm.tasks import Task
from tests.games import numbered

TOLERANCE = 1e-4
SAMPLING = Sampling(max_new_tokens=96)


def play(task: Task, team: list[Policy], problems: slice = slice(0, 16), sampling: Sampling = SAMPLING) -> Rollout:
    jobs = [Job(problem, group) for group, problem in enumerate(task.problems("train")[problems])]
    return collect(task, team, jobs, sampling, ("test", 0))


@pytest.fixture(scope="module")
def rollout(four_turns: Task, team: list[Policy]) -> Rollout:
    return play(four_turns, team)


def teacher_forced(team: list[Policy], forest: Forest, budget: int, temperature: float = 1.0) -> dict[int, np.ndarray]:
    """Decision → token log-probabilities."""
    found = {}
    for agent, policy in enumerate(team):
        mine = [i for i, decision in enumerate(forest.decisions) if decision.agent == agent]
        with torch.no_grad():
            for scored in score(policy, forest, mine, temperature, budget):
                for place, decision in enumerate(scored.decisions):
                    found[decision] = scored.logprobs[scored.owner == place].numpy()
    return found


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampler_logprobs_are_the_teacher_forced_ones(four_turns: Task, team: list[Policy], temperature: float) -> None:
    forest = play(four_turns, team, slice(0, 4), Sampling(temperature=temperature, max_new_tokens=48)).forest
    scored = teacher_forced(team, forest, 8192, temperature)
    assert sorted(scored) == list(range(len(forest.decisions)))
    for index, decision in enumerate(forest.decisions):
        np.testing.assert_allclose(scored[index], decision.logprobs, atol=TOLERANCE)


def test_token_budget_changes_no_logprob(rollout: Rollout, team: list[Policy]) -> None:
    one_by_one, together = teacher_forced(team, rollout.forest, 1), teacher_forced(team, rollout.forest, 10**6)
    for index, expected in one_by_one.items():
        np.testing.assert_allclose(together[index], expected, atol=TOLERANCE)


def test_one_pass_per_episode_is_one_pass_per_turn(rollout: Rollout, team: list[Policy]) -> None:
    """The history cut off right behind a response gives that response the same log-probabilities."""
    forest = rollout.forest
    whole = teacher_forced(team, forest, 8192)
    for index in range(0, len(forest.decisions), 7):
        decision = forest.decisions[index]
        policy, span = team[decision.agent], decision.span
        tokens = torch.tensor([forest.transcripts[decision.transcript].tokens[: span.stop]])
        with torch.no_grad():
            logits = policy.logits(policy.hidden(tokens))[0, span.said - 1 : span.stop - 1]
        expected = log_distribution(logits, 1.0).gather(-1, tokens[0, span.said : span.stop, None])[:, 0]
        np.testing.assert_allclose(whole[index], expected.numpy(), atol=TOLERANCE)


@pytest.mark.parametrize("entropy", [True, False])
def test_logits_made_part_by_part_are_those_made_at_once(
    rollout: Rollout, team: list[Policy], monkeypatch: pytest.MonkeyPatch, entropy: bool
) -> None:
    """Log-probabilities, entropies and gradients: all at once, a handful of tokens at a time, and made again for the
    gradient. Without entropies the output layer's gradient is added up in place; torch's own is the measure of that."""
    mine = [d for d, decision in enumerate(rollout.forest.decisions) if decision.agent == 0][:6]
    found = []
    for rows, kept, plain in ((10**6, 1 << 30, True), (10**6, 1 << 30, False), (5, 1 << 30, False), (5, 0, False)):
        monkeypatch.setattr("collm.learning.head.ROWS", rows)
        monkeypatch.setattr("collm.learning.head.AT_ONCE", 0)
        monkeypatch.setattr("collm.learning.head.KEPT", kept)
        monkeypatch.setattr("collm.learning.logprobs.KEPT", kept)
        with monkeypatch.context() as patch:
            if plain:
                patch.setattr("collm.models.base.Base.output", None)
            team[0].model.zero_grad(set_to_none=True)
            (scored,) = score(team[0], rollout.forest, mine, 1.3, 10**6, entropy=entropy)
        spread = torch.zeros(1) if scored.entropy is None else scored.entropy
        assert entropy == (scored.entropy is not None)
        (scored.logprobs.sum() + spread.square().sum()).backward()
        weights = [parameter.grad.clone() for parameter in team[0].model.parameters() if parameter.grad is not None]
        found.append([scored.logprobs.detach(), spread.detach(), *weights])
    team[0].model.zero_grad(set_to_none=True)
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("budget", [400, 10**6])
def test_histories_that_begin_alike_are_scored_as_separate_ones(
    four_turns: Task, team: list[Policy], budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In trees and in groups: log-probabilities, openings and gradients."""
    problems = four_turns.problems("train")[:2]
    sampling = Sampling(max_new_tokens=12)
    tree = collect(
        four_turns, team, [Job(p, g) for g, p in enumerate(problems)], sampling, ("t",), 300, Branching(2, "aligned")
    )
    jobs = [Job(problem, group, sample) for group, problem in enumerate(problems) for sample in range(4)]
    for forest in (tree.forest, collect(four_turns, team, jobs, sampling, ("t",), 300).forest):
        mine = [d for d, decision in enumerate(forest.decisions) if decision.agent == 1]
        found: list[dict[int, torch.Tensor]] = []
        gradients = []
        for shares in (True, False):
            monkeypatch.setattr("collm.learning.logprobs.worth_sharing", lambda sequences, cuts, on=shares: on)
            team[1].model.zero_grad(set_to_none=True)
            found.append({})
            for scored in score(team[1], forest, mine, 1.0, budget):
                for place, decision in enumerate(scored.decisions):
                    own = scored.logprobs[scored.owner == place]
                    (own.sum() * (1 + decision % 3)).backward(retain_graph=True)
                    found[-1][decision] = torch.cat([own.detach(), scored.openings[place].detach()])
            gradients.append([p.grad.clone() for p in team[1].model.parameters() if p.grad is not None])
        assert found[0].keys() == found[1].keys() == set(mine)
        for decision, one in found[0].items():
            torch.testing.assert_close(one, found[1][decision], atol=TOLERANCE, rtol=1e-4)
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, atol=2e-3, rtol=1e-3)
    team[1].model.zero_grad(set_to_none=True)


def test_padding_side_changes_no_logprob(rollout: Rollout, team: list[Policy]) -> None:
    """A row padded on the left with a mask and shifted positions scores as the library's own full-row pass does."""
    forest = rollout.forest
    rows = [forest.transcript(path, 0).tokens[: 100 + 30 * path] for path in range(4)]
    longest = max(map(len, rows))
    policy = team[0]
    tokens = torch.full((4, longest), policy.pad_id)
    mask = torch.zeros(4, longest, dtype=torch.long)
    for row, sequence in enumerate(rows):
        tokens[row, longest - len(sequence) :] = torch.tensor(sequence)
        mask[row, longest - len(sequence) :] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        left = policy.hidden(tokens, position_ids=positions, attention_mask=mask)
        for row, sequence in enumerate(rows):
            alone = policy.hidden(torch.tensor([sequence]))[0]
            torch.testing.assert_close(left[row, longest - len(sequence) :], alone, atol=TOLERANCE, rtol=0)


def test_same_tokens_whatever_the_batch(rollout: Rollout, four_turns: Task, team: list[Policy]) -> None:
    """At least 10 000 sampled tokens do not depend on which other episodes are played beside them."""
    compared = 0
    for start, stop in ((0, 1), (1, 4), (4, 16)):
        part = play(four_turns, team, slice(start, stop)).forest
        for path in range(part.paths):
            for agent in range(2):
                expected = rollout.forest.transcript(start + path, agent)
                assert part.transcript(path, agent).tokens == expected.tokens
                compared += sum(span.stop - span.said for span in expected.spans)
    assert compared >= 10_000


def test_one_session_for_shared_weights_draws_what_separate_ones_draw(four_turns: Task, chat: object) -> None:
    from tests.conftest import untrained_policy

    one, copy = untrained_policy(chat, 3), untrained_policy(chat, 3)  # type: ignore[arg-type]
    shared = play(four_turns, [one, one], slice(0, 3)).forest
    separate = play(four_turns, [one, copy], slice(0, 3)).forest
    for mine, other in zip(shared.transcripts, separate.transcripts, strict=True):
        assert mine.tokens == other.tokens


def test_greedy_is_the_argmax_without_a_cache(four_turns: Task, team: list[Policy]) -> None:
    forest = play(four_turns, team, slice(0, 2), SAMPLING.greedy()).forest
    for decision in forest.decisions:
        tokens = torch.tensor([forest.transcripts[decision.transcript].tokens[: decision.span.stop]])
        with torch.no_grad():
            logits = team[decision.agent].logits(team[decision.agent].hidden(tokens))[0]
        expected = logits[decision.span.said - 1 : decision.span.stop - 1].argmax(-1)
        assert expected.tolist() == tokens[0, decision.span.said :].tolist()


def test_sampling_leaves_the_global_generators_alone(four_turns: Task, team: list[Policy]) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state().clone()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    play(four_turns, team, slice(0, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert (numpy_before == np.random.get_state()[1]).all()  # noqa: NPY002


def test_histories_only_grow_and_spans_tile_them(rollout: Rollout) -> None:
    for transcript in rollout.forest.transcripts:
        cursor = 0
        for span in transcript.spans:
            assert cursor == span.seen < span.said < span.stop
            cursor = span.stop
        assert cursor == len(transcript.tokens)


def test_a_session_refuses_to_continue_after_an_update(chat: object) -> None:
    from collm.rollout.engine import Session
    from tests.conftest import untrained_policy

    policy = untrained_policy(chat, 0)  # type: ignore[arg-type]
    session = Session([policy], Sampling(max_new_tokens=2), lambda row, turn: np.full(2, 0.5))
    session.respond([0], [[5, 6, 7]], 0)
    policy.version += 1
    with pytest.raises(RuntimeError, match="updated during a rollout"):
        session.respond([0], [[5]], 1)


@pytest.fixture(scope="module")
def critic(team: list[Policy]) -> TextCritic:
    critic = TextCritic(team[0], CriticSettings(), [0, 1], team, 1)
    torch.nn.init.normal_(critic.model.head.linear.weight, generator=torch.Generator().manual_seed(0))
    return critic


def test_critic_values_of_all_turns_from_one_pass(rollout: Rollout, critic: TextCritic) -> None:
    """V(h_t) is the same when everything after h_t is cut off."""
    values = critic.values(rollout.forest, 8192).values
    for reading in critic.read(rollout.forest)[:6]:
        for place, node in zip(reading.places, reading.nodes, strict=True):
            prefix = torch.tensor([reading.tokens[: place + 1]])
            with torch.no_grad():
                states = critic.model.states(prefix, torch.tensor([0]), torch.tensor([place]))
                alone = critic.model.head.in_units(critic.model.head(states))
            np.testing.assert_allclose(values[node], alone[0].numpy(), atol=TOLERANCE)


def test_critic_batch_composition_changes_no_value(rollout: Rollout, critic: TextCritic) -> None:
    alone = critic.values(rollout.forest, 1).values
    together = critic.values(rollout.forest, 10**6).values
    assert np.ptp(alone) > 0.1
    np.testing.assert_allclose(together, alone, atol=TOLERANCE)


def test_joint_history_is_in_order_of_time(rollout: Rollout, team: list[Policy]) -> None:
    """At each turn all observations, then all actions; V is read before the turn's actions."""
    forest = rollout.forest
    reading = in_time_order(forest, [0, 1], numbered(team))[0]
    one, two = forest.transcript(0, 0), forest.transcript(0, 1)
    expected: list[int] = []
    for turn in range(len(one.spans)):
        a, b = one.spans[turn], two.spans[turn]
        expected += [-1, *one.tokens[a.seen : a.said], -2, *two.tokens[b.seen : b.said]]
        assert reading.places[turn] == len(expected) - 1
        expected += [-1, *one.tokens[a.said : a.stop], -2, *two.tokens[b.said : b.stop]]
    assert expected[: len(reading.tokens)] == reading.tokens
    assert len(reading.tokens) == reading.places[-1] + 1
