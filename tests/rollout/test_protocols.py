"""Protocols: who reads what, what acts, what it costs, and that draws depend on their keys alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
import torch

from collm.errors import ConfigError
from collm.models.base import Base
from collm.models.chat import ChatFormat
from collm.models.policy import Policy, copies
from collm.rollout.collector import Job, collect
from collm.rollout.protocols import PROTOCOLS, find_protocol
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Play
from collm.rollout.voices import play
from collm.tasks import Problem, Task, replay
from tests.games import ONE_TOKEN, WORDS, Memory, choice, game_chat, game_policy

TEAM_PROTOCOLS = ("parallel", "pipeline", "discussion")
SHORT = Sampling(max_new_tokens=8)


class Words(Base):
    """A model that always says these words in turn, and notes the tokens it reads."""

    def __init__(self, chat: ChatFormat, words: Sequence[str]) -> None:
        super().__init__(game_policy(chat, 0).model, chat)
        self.words, self.seen = list(words), list[str]()

    def hidden(self, adapter: Any, stamp: object = None, **inputs: Any) -> torch.Tensor:
        self.seen.append(self.chat.tokenizer.decode(inputs["input_ids"][0], skip_special_tokens=False))
        return super().hidden(adapter, stamp, **inputs)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(len(hidden), len(WORDS))
        scores[:, WORDS.index(self.words[(len(self.seen) - 1) % len(self.words)])] = 100.0
        return scores


class Says(Policy):
    """An agent with a model that always says these words in turn."""

    def __init__(self, chat: ChatFormat, *words: str) -> None:
        super().__init__(Words(chat, words))

    @property
    def seen(self) -> list[str]:
        return self.base.seen  # type: ignore[attr-defined,no-any-return]


def talk(name: str, *policies: Policy, max_history: int | None = None) -> Play:
    """One game of Memory: two turns, each agent shown ``start i`` and later ``next``."""
    jobs = [Job(Problem("only"), 0)]
    with mock.patch("collm.rollout.networks.stackable", return_value=False):
        return play(PROTOCOLS[name], Memory(), policies, jobs, ONE_TOKEN, ("t",), max_history)[0]


def answers(plays: list[Play]) -> list[list[tuple[int, int, str]]]:
    return [[(answer.turn, answer.agent, answer.text) for answer in one.answers] for one in plays]


def jobs_of(task: Task, count: int = 3) -> list[Job]:
    return [Job(problem, group) for group, problem in enumerate(task.problems("test")[:count])]


def test_in_a_pipeline_the_later_agent_reads_what_the_earlier_one_wrote() -> None:
    """Whitespace separates tokens: 2 of the task at turn 0, 2 later (<end> and next); 11 of what the other wrote."""
    chat = game_chat()
    first, second = Says(chat, "a"), Says(chat, "b")
    found = talk("pipeline", first, second)
    heard = "Agent 1 of 2 wrote: a Now give your own answer."
    known = chat.tokenizer.decode(chat.tokenizer.encode(heard), skip_special_tokens=False)
    assert first.seen == ["start 1", "a <end> next"]
    assert second.seen == [f"start 2 {known}", f"b <end> next {known}"]
    assert [(a.turn, a.agent, a.text, a.read, a.written) for a in found.answers] == [
        (0, 0, "a", 2, 1),
        (0, 1, "b", 2 + 11, 1),
        (1, 0, "a", 2, 1),
        (1, 1, "b", 2 + 11, 1),
    ]
    read, written = found.tokens(2)
    assert (read.tolist(), written.tolist()) == ([4, 26], [2, 2])


def test_drafts_of_a_discussion_are_read_by_the_others_and_not_executed() -> None:
    """A second reading is <end>, 6 tokens of the other's draft and 9 of the question: 16."""
    chat = game_chat()
    first, second = Says(chat, "a", "b"), Says(chat, "b", "a")
    found = talk("discussion", first, second)
    assert [(a.turn, a.agent, a.text, a.read) for a in found.answers] == [
        (0, 0, "a", 2), (0, 1, "b", 2), (0, 0, "b", 16), (0, 1, "a", 16),
        (1, 0, "a", 2), (1, 1, "b", 2), (1, 0, "b", 16), (1, 1, "a", 16),
    ]  # fmt: skip
    assert found.episode.actions == [("b", "a"), ("b", "a")]
    assert found.episode.state == ((choice("b"), choice("a")),) * 2
    assert found.tokens(2)[1].tolist() == [4, 4]
    draft_of_the_other = chat.tokenizer.decode(
        chat.tokenizer.encode("Agent 2 of 2 wrote: b"), skip_special_tokens=False
    )
    assert draft_of_the_other in first.seen[1]


def test_a_second_turn_begins_with_what_is_new_only() -> None:
    chat = game_chat()
    first, second = Says(chat, "a"), Says(chat, "b")
    talk("discussion", first, second)
    assert first.seen[2] == "a <end> next"


def test_where_the_talk_does_not_fit_the_draft_acts() -> None:
    """A draft needs 2 + 1 tokens, the final answer 16 + 1 more: with 19 nobody gives one, with 20 both do, once."""
    chat = game_chat()
    tight = talk("discussion", Says(chat, "a", "b"), Says(chat, "b", "a"), max_history=19)
    assert tight.episode.actions[0] == ("a", "b")
    assert tight.silent == 4
    wider = talk("discussion", Says(chat, "a", "b"), Says(chat, "b", "a"), max_history=20)
    assert wider.episode.actions == [("b", "a")]
    assert (wider.silent, wider.episode.ended) == (0, True)


def test_an_agent_that_cannot_answer_at_all_acts_empty() -> None:
    chat = game_chat()
    found = talk("pipeline", Says(chat, "b"), Says(chat, "b"), max_history=13)
    assert [actions[1] for actions in found.episode.actions] == ["", ""]
    assert found.silent == 2


def test_parallel_is_what_collect_plays(four_turns: Task, team: list[Policy]) -> None:
    for limit in (None, 150):
        collected = collect(four_turns, team, jobs_of(four_turns), SHORT, ("k",), limit)
        plays = play(PROTOCOLS["parallel"], four_turns, team, jobs_of(four_turns), SHORT, ("k",), limit)
        for one, other in zip(plays, collected.episodes, strict=True):
            assert dataclasses.asdict(one.episode) == dataclasses.asdict(other)
        transcripts = [collected.forest.transcript(path, agent) for path in range(3) for agent in range(2)]
        read = [sum(span.said - span.seen for span in transcript.spans) for transcript in transcripts]
        assert [tokens for one in plays for tokens in one.tokens(2)[0]] == read


@pytest.mark.parametrize("name", TEAM_PROTOCOLS)
def test_what_is_drawn_does_not_depend_on_the_batch(name: str, four_turns: Task, team: list[Policy]) -> None:
    protocol, jobs = PROTOCOLS[name], jobs_of(four_turns)
    together = play(protocol, four_turns, team, jobs, SHORT, ("k",))
    alone = [play(protocol, four_turns, team, [job], SHORT, ("k",))[0] for job in jobs]
    turned = play(protocol, four_turns, team, jobs[::-1], SHORT, ("k",))[::-1]
    assert answers(together) == answers(alone) == answers(turned)
    assert answers(together) != answers(play(protocol, four_turns, team, jobs, SHORT, ("other",)))


@pytest.mark.parametrize("name", TEAM_PROTOCOLS)
def test_one_model_for_all_plays_as_copies_of_it_do(name: str, four_turns: Task, team: list[Policy]) -> None:
    """Batches of other shapes round differently; with this key no draw lies that close to a border between tokens."""
    (twin,) = copies(team[:1])
    shared, apart = (
        play(PROTOCOLS[name], four_turns, policies, jobs_of(four_turns), SHORT, ("twins",))
        for policies in ([team[0], team[0]], [team[0], twin])
    )
    assert answers(shared) == answers(apart)


def test_first_answers_to_one_observation_are_the_same_under_all_protocols(
    four_turns: Task, team: list[Policy]
) -> None:
    parallel, pipeline, discussion = (
        play(PROTOCOLS[name], four_turns, team, jobs_of(four_turns), SHORT, ("k",)) for name in TEAM_PROTOCOLS
    )
    for one, ordered, discussed in zip(parallel, pipeline, discussion, strict=True):
        assert one.episode.actions[0] == tuple(answer.text for answer in discussed.answers[:2])
        assert one.episode.actions[0][0] == ordered.episode.actions[0][0]
        final = {(a.turn, a.agent): a.text for a in discussed.answers}
        turns = len(discussed.episode.actions)
        assert len(discussed.answers) == 4 * turns
        assert discussed.episode.actions == [(final[turn, 0], final[turn, 1]) for turn in range(turns)]
        job, episode = discussed.episode.job, discussed.episode
        assert replay(four_turns, job.problem, episode.actions, episode.seed).state == episode.state


def test_alone_every_protocol_is_the_same(four_turns: Task, team: list[Policy]) -> None:
    alone = four_turns.single_agent()
    plays = [play(PROTOCOLS[name], alone, team[:1], jobs_of(alone), SHORT, ("k",)) for name in PROTOCOLS]
    assert all(answers(other) == answers(plays[0]) for other in plays[1:])


@pytest.mark.parametrize("agents", [3, 4])
def test_a_pipeline_of_more_agents(agents: int, team: list[Policy]) -> None:
    from collm import make_task

    task = make_task("str-build", agents=agents, turns=2, train_size=4, validation_size=4, test_size=4)
    policies = [team[agent % 2] for agent in range(agents)]
    (found,) = play(PROTOCOLS["pipeline"], task, policies, jobs_of(task, 1), SHORT, ("k",))
    assert [(a.turn, a.agent) for a in found.answers] == [
        (turn, agent) for turn in range(len(found.episode.actions)) for agent in range(agents)
    ]
    first_turn = [answer.read for answer in found.answers[:agents]]
    assert first_turn == sorted(first_turn)
    assert first_turn[1] > first_turn[0]


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'pipeline'"):
        find_protocol("pipline")
