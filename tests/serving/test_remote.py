"""Agents behind URLs: what they are told, that they act at the same time, and what happens when one does not."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np
import pytest

from collm.errors import ConfigError
from collm.models.chat import ChatFormat
from collm.models.policy import Policy
from collm.rollout.collector import collect
from collm.rollout.engine import Session
from collm.rollout.path import Job
from collm.rollout.protocols import PROTOCOLS
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Play
from collm.serving.remote import AgentError, RemoteSettings
from collm.serving.seats import Seats, seated
from collm.serving.voices import Asked
from collm.tasks import Task, make_task, replay
from tests.serving.stations import Reply, Station, completion, says, send, send_bytes, stations

PATIENT = RemoteSettings(seconds=60.0, tries=2)
CANARY = "/setblock 0 0 0 obsidian canary-7f3a"


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task("str-build", turns=3, feedback="own", train_size=8, validation_size=4, test_size=4)


def play(
    task: Task, seats: Seats, episodes: int = 1, protocol: str = "parallel", sampling: Sampling | None = None
) -> tuple[list[Play], list[Asked]]:
    jobs = [Job(problem, group) for group, problem in enumerate(task.problems("test")[:episodes])]
    chosen = sampling or Sampling(max_new_tokens=16).greedy()
    return seats.play(PROTOCOLS[protocol], task, jobs, chosen, ("t",))


@contextlib.contextmanager
def table(*replies: Reply, settings: RemoteSettings = PATIENT) -> Iterator[tuple[list[Station], Seats]]:
    """Stations that answer like this, seated."""
    with stations(*replies) as found, seated([station.url for station in found], settings, None) as seats:
        yield found, seats


def meet(*urls: str) -> None:
    """Find the agents at these URLs, and leave again."""
    with seated(urls, PATIENT, None):
        pass


def test_an_agent_is_told_its_own_history_byte_for_byte(task: Task) -> None:
    """Derived here from the task's observations for it and its own answers; nothing of the partner's text is in it."""
    with table(says("/setblock 1 1 0 stone"), says(CANARY)) as (found, seats):
        plays, _ = play(task, seats)
    episode = plays[0].episode
    for agent, station in enumerate(found):
        history: list[dict[str, str]] = []
        expected = []
        state = task.reset(episode.job.problem, episode.seed)
        observations: Any = state.observations
        current = state.state
        for turn, actions in enumerate(episode.actions):
            history += [{"role": m.role, "content": m.content} for m in observations[agent]]
            body = {"model": "station", "messages": history, "temperature": 0.0, "max_tokens": 16}
            expected.append(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
            history = [*history, {"role": "assistant", "content": episode.actions[turn][agent]}]
            step = task.step(episode.job.problem, current, actions)
            current, observations = step.state, step.observations
        assert station.bodies == expected
    assert b"canary" not in b"".join(found[0].bodies)
    assert b"canary" in b"".join(found[1].bodies)


def test_sampled_requests_carry_the_distribution_and_a_seed_of_their_own(task: Task) -> None:
    sampling = Sampling(temperature=0.7, top_p=0.9, top_k=5, max_new_tokens=9)
    with table(says("a"), says("b")) as (found, seats):
        play(task, seats, 2, sampling=sampling)
        first = [sorted(request["seed"] for request in station.requests()) for station in found]
        for station in found:
            station.bodies.clear()
        play(task, seats, 2, sampling=sampling)
    again = [sorted(request["seed"] for request in station.requests()) for station in found]
    assert first == again
    assert len({seed for seeds in first for seed in seeds}) == 2 * 2 * 3
    own = found[0].requests()[0]
    assert (own["temperature"], own["top_p"], own["top_k"], own["max_tokens"]) == (0.7, 0.9, 5, 9)


def test_agents_are_asked_at_the_same_time(task: Task) -> None:
    """Each of the two answers only once both have been asked: one after the other, nobody would."""
    together = threading.Barrier(2, timeout=3.0)

    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        together.wait()
        send(handler, completion("/setblock 1 1 0 stone"))

    with table(reply, reply) as (_, seats):
        plays, asked = play(task, seats)
    assert plays[0].missing == []
    for turn in range(3):
        one, other = [item for item in asked if item.turn == turn]
        assert max(one.started, other.started) < min(one.ended, other.ended)


def continues(policy: Policy, sampling: Sampling) -> Reply:
    """A server that takes token ids and gives token ids back."""

    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        assert body["stop_token_ids"] == list(policy.stop_ids)
        session = Session([policy], sampling, lambda row, turn: np.zeros(sampling.max_new_tokens))
        found = session.respond([0], [body["prompt"]], 0)[0]
        send(handler, {"choices": [{"token_ids": found.tokens, "text": "ignored"}]})

    return reply


def test_where_the_server_takes_token_ids_nothing_is_encoded_twice(four_turns: Task, team: list[Policy]) -> None:
    """Token for token what is played here."""
    sampling = Sampling(max_new_tokens=8).greedy()
    jobs = [Job(problem, group) for group, problem in enumerate(four_turns.problems("test")[:2])]
    here = collect(four_turns, team, jobs, sampling, ("t",))
    with table(*(continues(policy, sampling) for policy in team)) as (found, seats):
        seats = dataclasses.replace(seats, chats=tuple(policy.chat for policy in team))
        plays, _ = seats.play(PROTOCOLS["parallel"], four_turns, jobs, sampling, ("t",))
    assert [one.episode.actions for one in plays] == [episode.actions for episode in here.episodes]
    for agent, station in enumerate(found):
        prompts = [request["prompt"] for request in station.requests()]
        for path in range(2):
            transcript = here.forest.transcript(path, agent)
            assert all(transcript.tokens[: span.said] in prompts for span in transcript.spans)


def test_an_answer_stays_spelt_as_it_was_sampled(task: Task, chat: ChatFormat) -> None:
    """Letter by letter, which is not how the tokenizer would spell it."""
    text = "/setblock 1 1 0 stone"
    letters = [token for letter in text for token in chat.tokenizer.encode(letter)]
    assert letters != chat.tokenizer.encode(text)

    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        send(handler, {"choices": [{"token_ids": [*letters, chat.end_of_turn]}]})

    with table(reply, reply) as (found, seats):
        plays, _ = play(task, dataclasses.replace(seats, chats=(chat, chat)))
    assert plays[0].episode.actions == [(text, text)] * 3
    for station in found:
        first, second, third = (request["prompt"] for request in station.requests())
        assert second[: len(first) + len(letters)] == [*first, *letters]
        assert third[: len(second) + len(letters)] == [*second, *letters]


def test_a_pipeline_is_asked_one_after_the_other_and_hears(task: Task) -> None:
    with table(says("/setblock 1 1 0 stone"), says("b")) as (found, seats):
        _, asked = play(task, seats, protocol="pipeline")
    for turn in range(3):
        first, second = sorted((item for item in asked if item.turn == turn), key=lambda item: item.agent)
        assert first.ended <= second.started
    assert "Agent 1 of 2 wrote:\n/setblock 1 1 0 stone" in found[1].requests()[0]["messages"][-1]["content"]
    assert all("Agent 2" not in json.dumps(request["messages"][1:]) for request in found[0].requests())


def breaks_off(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
    send_bytes(handler, b'{"choices": [{"mess', promised=400)


def hangs(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(60.0)
    with contextlib.suppress(OSError):
        send(handler, completion("too late"))


def garbage(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
    send_bytes(handler, b"<html>welcome</html>")


def no_text(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
    send(handler, {"choices": [{"message": {"role": "assistant", "content": None}}]})


def refuses(status: int) -> Reply:
    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        send(handler, {"error": {"message": "not now"}}, status)

    return reply


def sometimes(fails: Callable[[dict[str, Any]], bool], failure: Reply, text: str = "/setblock 0 0 0 obsidian") -> Reply:
    """Fails at some requests, and else says this."""

    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        (failure if fails(body) else says(text))(body, handler)

    return reply


@pytest.mark.parametrize(
    ("failure", "reason", "tries"),
    [
        (refuses(500), 'it refused with status 500: \'{"error": {"message": "not now"}}\', 2 times', 2),
        (refuses(429), "status 429", 2),
        (refuses(400), "status 400", 1),
        (garbage, "it answered with '<html>welcome</html>', which is no completion, 2 times", 2),
        (no_text, "which is no completion, 2 times", 2),
        (breaks_off, "the answer broke off", 2),
        (hangs, "no answer in 4 s", 1),
    ],
    ids=["500", "429", "400", "garbage", "no text", "truncated", "hangs"],
)
def test_who_does_not_answer_acts_empty_and_no_episode_is_lost(
    failure: Reply, reason: str, tries: int, task: Task
) -> None:
    """Agent 1 fails at the second turn of the first word, and only there."""
    words = task.problems("test")[:3]
    shown = task.reset(words[0]).observations[1][-1].content

    def second_turn(body: dict[str, Any]) -> bool:
        said = [message["role"] for message in body["messages"]].count("assistant")
        return said == 1 and body["messages"][1]["content"] == shown and body["messages"][-1] != body["messages"][1]

    failed: list[int] = []

    def failing(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        failed.append(len(body["messages"]))
        failure(body, handler)

    def once(body: dict[str, Any]) -> bool:
        return second_turn(body) and (not failed or len(failed) < tries)

    settings = RemoteSettings(seconds=4.0 if failure is hangs else 60.0, tries=2)
    with table(says("/setblock 1 1 0 stone"), sometimes(once, failing), settings=settings) as (_, seats):
        plays, _ = play(task, seats, 3)
    assert [(one.turn, one.agent) for one in plays[0].missing] == [(1, 1)]
    assert reason in plays[0].missing[0].reason
    assert len(failed) == tries
    assert [actions[1] for actions in plays[0].episode.actions] == [
        "/setblock 0 0 0 obsidian",
        "",
        "/setblock 0 0 0 obsidian",
    ]
    assert [one.missing for one in plays[1:]] == [[], []]
    for one in plays:
        episode = one.episode
        assert len(episode.actions) == 3
        assert replay(task, episode.job.problem, episode.actions, episode.seed).state == episode.state


def test_a_silent_agent_reads_later_what_it_has_missed_and_is_used_again(task: Task) -> None:
    """It is away at the first turn, and then back."""
    asked = itertools.count()
    reply = sometimes(lambda _: next(asked) == 0, refuses(503), "/setblock 1 1 0 obsidian")
    with table(says("/setblock 2 2 0 stone"), reply, settings=RemoteSettings(seconds=60.0, tries=1)) as (found, seats):
        plays, _ = play(task, seats)
    episode = plays[0].episode
    assert [(one.turn, one.agent) for one in plays[0].missing] == [(0, 1)]
    first, second = (observation[1][-1].content for observation in episode.observations[:2])
    away, back, later = (request["messages"] for request in found[1].requests())
    assert back == [*away[:-1], {"role": "user", "content": f"{first}\n\n{second}"}]
    assert [message["role"] for message in later] == ["system", "user", "assistant", "user"]
    assert [actions[1] for actions in episode.actions] == ["", *["/setblock 1 1 0 obsidian"] * 2]


def test_what_may_pass_is_tried_again(task: Task) -> None:
    asked = 0

    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        nonlocal asked
        asked += 1
        (refuses(503) if asked == 1 else says("/setblock 1 1 0 stone"))(body, handler)

    with table(reply, says("b")) as (_, seats):
        plays, _ = play(task, seats)
    assert plays[0].missing == []
    assert asked == 4


def test_nobody_there_and_strangers_are_said_before_anything_is_played(task: Task) -> None:
    with table(says("a")) as (found, seats):
        url = found[0].url
        with pytest.raises(ConfigError, match="--agents names 1, and str-build has 2 agents"):
            seats.require(task)
    with pytest.raises(AgentError, match=r"no agent answers at .*collm serve DIR/agent_0 --port PORT"):
        meet(url)
    with pytest.raises(ConfigError, match="expected http://HOST:PORT"):
        meet("localhost:8001")


def test_another_protocol_is_named() -> None:
    with stations(says("a")) as found:
        handler: Any = found[0].server.RequestHandlerClass
        handler.do_GET = lambda self: send_bytes(self, b"hello")
        with pytest.raises(
            AgentError, match="answers, but not as an OpenAI-compatible endpoint: /v1/models gave status 200"
        ):
            meet(found[0].url)
