"""What may stand behind a URL: answers that never end, or are no text, cards that are none, and addresses that are none."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from collm import cli
from collm.rollout.path import Job
from collm.rollout.protocols import PROTOCOLS
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Play
from collm.serving.remote import AgentError, RemoteSettings
from collm.serving.seats import seated
from collm.tasks import make_task
from tests.serving.stations import Reply, Station, completion, says, send, send_bytes, stations

CARD: dict[str, Any] = {
    "task": "str-build",
    "options": {"turns": 2, "train_size": 8, "validation_size": 4, "test_size": 4},
    "agent": 0,
    "agents": 2,
    "role": "agent 1 of 2",
    "method": "collm-cc",
    "seed": 0,
    "sampling": {},
    "base": "tiny",
    "adapter": False,
    "precision": "fp32",
}


def played(reply: Reply, seconds: float = 60.0) -> Play:
    """One turn, in which agent 1 answers like this, once."""
    task = make_task("str-build", turns=1, train_size=8, validation_size=4, test_size=4)
    with stations(says("/setblock 1 1 0 stone"), reply) as found:
        urls = [station.url for station in found]
        with seated(urls, RemoteSettings(seconds=seconds, tries=1), None) as seats:
            jobs = [Job(task.problems("test")[0], 0)]
            plays, _ = seats.play(PROTOCOLS["parallel"], task, jobs, Sampling(max_new_tokens=8).greedy(), ("t",))
    return plays[0]


def drips(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
    """A letter now and then, for ever: no single read takes long."""
    send_bytes(handler, b"{", promised=1 << 20)
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b" ")
            threading.Event().wait(0.1)


def drips_headers(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(600):
            handler.wfile.write(f"x-{number}: 1\r\n".encode())
            threading.Event().wait(0.1)


def is_long(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
    with contextlib.suppress(OSError):
        send(handler, completion("/setblock 0 0 0 stone\n" * 400_000))


def is_deep(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
    send_bytes(handler, b"[" * 100_000)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (drips, "no answer in 2 s"),
        (drips_headers, "no answer in 2 s"),
        (is_long, "its answer is longer than 4 MiB"),
        (is_deep, "which is no completion"),
    ],
)
def test_an_answer_has_limits(reply: Reply, reason: str) -> None:
    started = time.monotonic()
    found = played(reply, 2.0 if "2 s" in reason else 20.0)
    assert reason in found.missing[0].reason
    assert time.monotonic() - started < 20


def test_counts_that_are_none_and_half_characters_lose_no_answer() -> None:
    """Half a character can stand in JSON, but nothing can write it down or send it on."""

    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        answer = completion("/setblock 0 0 0 stone \ud800")
        send(handler, {**answer, "usage": {"prompt_tokens": None, "completion_tokens": "many"}})

    found = played(reply)
    assert found.missing == []
    assert found.episode.actions[0][1] == "/setblock 0 0 0 stone ?"


def shows(station: Station, card: Any) -> None:
    """Has it say that it is this agent."""
    handler: Any = station.server.RequestHandlerClass
    models = handler.do_GET

    def get(self: Any) -> None:
        if self.path == "/agent":
            send(self, card)
        else:
            models(self)

    handler.do_GET = get


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"options": None}, "is no card of an agent: its 'options' is None"),
        ({"options": "hello"}, "is no card of an agent: its 'options' is 'hello'"),
        ({"agents": "2"}, "is no card of an agent: its 'agents' is '2'"),
        ({"options": {"porblem": 3}}, "agent_0 was trained with settings that are not known here: unknown key"),
        ({"tokens": False}, "takes no token ids: leave --remote.tokens out"),
    ],
)
def test_a_card_that_is_none_is_said(
    changed: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[str] = []
    if "tokens" in changed:
        monkeypatch.setattr("collm.serving.seats._team", lambda folder, agents: [])
        words = ["--remote.tokens", "runs/team"]
    with stations(says("a"), says("b")) as found:
        shows(found[0], {**CARD, **changed})
        status = cli.run(["play", "str-build", "--agents", *(station.url for station in found), *words])
    assert status in (1, 2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_something_else_at_that_place_is_no_card() -> None:
    with stations(says("a")) as found:
        shows(found[0], ["hello"])
        with seated([found[0].url], RemoteSettings(tries=1), None) as seats:
            assert seats.cards == (None,)


def test_a_whole_address_is_as_good() -> None:
    with stations(says("a")) as found:
        for end in ("", "/", "/v1", "/v1/", "/v1/chat/completions"):
            with seated([found[0].url + end], RemoteSettings(tries=1), None) as seats:
                assert seats.agents[0].url == found[0].url


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://127.0.0.1:abc"], "expected http://HOST:PORT"),
        (["http://127.0.0.1:99999"], "expected http://HOST:PORT"),
        (["http://[::1"], "expected http://HOST:PORT"),
        (["ftp://127.0.0.1"], "expected http://HOST:PORT"),
        (["http://127.0.0.1:9", "--remote.seconds", "inf"], "remote.seconds = inf: must be above 0 and at most 86400"),
        (["http://127.0.0.1:9", "--remote.key_variable", "AGENT_KEY"], "a key has letters, digits and marks of ASCII"),
        (["http://127.0.0.1:9", "--run", "runs/a"], "--agents takes a task, and no run"),
    ],
)
def test_bad_addresses_and_settings(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KEY", "ключ")
    assert cli.run(["play", "str-build", "--agents", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_who_never_answers_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    """The episode is played to its end and shown, and the exit status says that one agent had no part in it."""

    def refuses(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        send(handler, {}, 400)

    with stations(says("/setblock 1 1 0 stone"), refuses) as found:
        urls = [station.url for station in found]
        for command in (["play"], ["eval", "--problems", "2"]):
            words = [command[0], "str-build", "--agents", *urls, *command[1:], "--remote.tries", "1", "--json"]
            assert cli.run(words) == 1
            said = json.loads(capsys.readouterr().out)
            assert {one["agent"] for one in (said if command == ["play"] else said["greedy"])["missing"]} == {1}


def test_a_model_that_it_has_not_is_named() -> None:
    with (
        stations(says("a")) as found,
        pytest.raises(AgentError, match=r"has no model 'statoin'\. It has: station"),
        seated([f"{found[0].url}#statoin"], RemoteSettings(tries=1), None),
    ):
        pass
