"""From a run to agents that answer over HTTP, each in a process of its own, and play as they play here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import collm
from collm import cli
from collm.rollout.collector import play
from collm.rollout.path import Episode, Job
from collm.rollout.protocols import PROTOCOLS
from collm.rollout.talk import Play
from collm.serving.export import export_team
from collm.serving.remote import RemoteSettings
from collm.serving.seats import seated
from tests.serving.made import make_run
from tests.serving.stations import Served, passes_on_to, served, stations

SETTINGS = RemoteSettings(tries=1)
WORDS = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def team(run: Path) -> Path:
    return export_team(run, run.parent / "team").folder


@pytest.fixture(scope="module")
def urls(team: Path) -> Iterator[list[str]]:
    with served([team / "agent_0", team / "agent_1"]) as found:
        yield found


@pytest.fixture
def servers() -> Iterator[contextlib.ExitStack]:
    """Ends what a test starts, however the test ends."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def here(run: Path) -> list[Episode]:
    """Greedy episodes of the team in this process."""
    config, task, policies = collm.load_team(run)
    jobs = [Job(problem, group) for group, problem in enumerate(task.problems("test")[:WORDS])]
    return play(task, policies, jobs, config.sampling.greedy(), ("play", 0))


def elsewhere(run: Path, urls: list[str]) -> list[Episode]:
    """The same episodes of agents behind URLs."""
    config, task, _ = collm.load_team(run)
    jobs = [Job(problem, group) for group, problem in enumerate(task.problems("test")[:WORDS])]
    with seated(urls, SETTINGS, None) as seats:
        seats.require(task)
        plays, _ = seats.play(PROTOCOLS["parallel"], task, jobs, config.sampling.greedy(), ("play", 0))
    return [one.episode for one in plays]


def get(url: str, key: str | None = None, body: Any = None) -> tuple[int, str]:
    """Status and text; POST where there is a body."""
    content = None if body is None else json.dumps(body).encode()
    request = Request(url, content, headers={"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urlopen(request) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_greedy_episodes_over_http_are_those_of_the_team_here(run: Path, urls: list[str], here: list[Episode]) -> None:
    """Text for text; and each server got its own agent's conversation and nothing else."""
    with stations(*(passes_on_to(url) for url in urls)) as found:
        there = elsewhere(run, [station.url for station in found])
    assert [episode.actions for episode in there] == [episode.actions for episode in here]
    assert [episode.rewards for episode in there] == [episode.rewards for episode in here]
    for agent, station in enumerate(found):
        expected = [
            [
                message
                for earlier in range(turn + 1)
                for message in (
                    *({"role": m.role, "content": m.content} for m in episode.observations[earlier][agent]),
                    {"role": "assistant", "content": episode.actions[earlier][agent]},
                )
            ][:-1]
            for episode in here
            for turn in range(len(episode.actions))
        ]
        got = [request["messages"] for request in station.requests()]
        assert sorted(map(json.dumps, got)) == sorted(map(json.dumps, expected))


def test_a_killed_agent_is_used_again_once_it_is_back(
    run: Path, team: Path, urls: list[str], here: list[Episode], servers: contextlib.ExitStack
) -> None:
    own = servers.enter_context(contextlib.closing(Served(team / "agent_1")))
    url = own.ready()
    assert elsewhere(run, [urls[0], url])[0].actions == here[0].actions
    config, task, _ = collm.load_team(run)
    jobs = [Job(task.problems("test")[0], 0)]
    with seated([urls[0], url], SETTINGS, None) as seats:

        def again() -> Play:
            return seats.play(PROTOCOLS["parallel"], task, jobs, config.sampling.greedy(), ("play", 0))[0][0]

        own.process.send_signal(signal.SIGKILL)
        own.process.wait()
        alone = again()
        assert [actions[1] for actions in alone.episode.actions] == [""] * 3
        assert {one.agent for one in alone.missing} == {1}
        back = servers.enter_context(contextlib.closing(Served(team / "agent_1", int(url.rpartition(":")[2]))))
        back.ready()
        assert again().episode.actions == here[0].actions
    assert back.stop() == (0, "stopped.\n")


def test_a_server_says_who_and_how_it_is_and_nothing_else(urls: list[str]) -> None:
    assert get(f"{urls[1]}/health") == (200, '{"status":"ok"}')
    card = json.loads(get(f"{urls[1]}/agent")[1])
    assert (card["task"], card["agent"], card["role"]) == ("str-build", 1, "agent 2 of 2")
    assert json.loads(get(f"{urls[1]}/v1/models")[1])["data"][0]["id"] == "agent_1"
    for path in ("/docs", "/reset", "/load_model", "/v1/responses"):
        assert get(f"{urls[1]}{path}")[0] == 404


def test_play_and_eval_over_http(run: Path, urls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The agents' own form of the task is the default, and the report is that of the team here."""
    assert cli.run(["play", "--run", str(run), "--greedy", "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert cli.run(["play", "str-build", "--agents", *urls, "--greedy", "--json"]) == 0
    theirs = json.loads(capsys.readouterr().out)
    assert {name: theirs[name] for name in ours} == ours
    assert (theirs["missing"], len(theirs["seconds"]["turns"])) == ([], 3)
    assert cli.run(["eval", str(run), "--problems", "3", "--json"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert cli.run(["eval", "str-build", "--agents", *urls, "--problems", "3", "--json"]) == 0
    theirs = json.loads(capsys.readouterr().out)
    assert theirs["greedy"]["score"] == ours["greedy"]["score"]
    assert theirs["sampled"]["problems"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{1}", "{0}"], "is agent_1 of a team of 2, and it is named for the seat of agent_0 of 2"),
        (["{0}"], "--agents names 1, and str-build has 2 agents: give one URL for each"),
        (["{0}", "{1}", "{1}"], "--agents names 3, and str-build has 2 agents"),
        (["http://127.0.0.1:9", "{1}"], "no agent answers at http://127.0.0.1:9"),
        (["{0}", "{1}", "--task.turns", "9"], "task.turns = 9"),
        (["{0}", "{1}", "--protocol", "chorus"], "unknown protocol 'chorus'"),
        (["{0}", "{1}", "--protocol", "raw"], "is played by one agent in all roles here: give one URL"),
        (["{tls}", "{1}"], "A server without TLS is at http://"),
    ],
    ids=["order", "too few", "too many", "nobody", "options", "protocol", "raw", "tls"],
)
def test_who_cannot_play_is_told_why(
    arguments: list[str], message: str, urls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    tls = urls[0].replace("http", "https")
    status = cli.run(["play", "str-build", "--agents", *(argument.format(*urls, tls=tls) for argument in arguments)])
    error = capsys.readouterr().err
    assert status in (1, 2)
    assert message in error
    assert "Traceback" not in error


def test_an_agent_of_another_task_is_refused(urls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["play", "tldr", "--agents", *urls]) == 2
    assert f"the agent at {urls[0]} was trained for str-build, and this is tldr" in capsys.readouterr().err


def test_a_key_is_asked_for_and_a_taken_port_is_named(
    team: Path,
    urls: list[str],
    servers: contextlib.ExitStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AGENT_KEY", "sesame")
    own = servers.enter_context(contextlib.closing(Served(team / "agent_1", 0, "--key-variable", "AGENT_KEY")))
    url = own.ready()
    assert [get(f"{url}/agent")[0], get(f"{url}/agent", "wrong")[0], get(f"{url}/agent", "sesame")[0]] == [
        401,
        401,
        200,
    ]
    assert get(f"{url}/health")[0] == 200
    assert cli.run(["play", "str-build", "--agents", urls[0], url]) == 1
    assert "asks for a key: put it into an environment variable" in capsys.readouterr().err
    words = ["play", "str-build", "--agents", urls[0], url, "--remote.key_variable", "AGENT_KEY", "--json"]
    assert cli.run(words) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == []
    port = url.rpartition(":")[2]
    assert cli.run(["serve", str(team / "agent_0"), "--port", port]) == 1
    assert f"127.0.0.1:{port} cannot be listened on" in capsys.readouterr().err
    assert own.stop()[0] == 0
    monkeypatch.delenv("AGENT_KEY")
    assert cli.run(["serve", str(team / "agent_0"), "--key-variable", "AGENT_KEY"]) == 2
    assert "that environment variable is not set" in capsys.readouterr().err
    assert os.environ.get("AGENT_KEY") is None


HELLO = [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ([1], 400, "expected a JSON object"),
        ({"messages": "hello"}, 400, "expected a list of {role, content}"),
        ({"messages": [{"role": "user", "content": 5}]}, 400, "expected a text, or a list of parts"),
        ({"messages": [{"content": "hello"}]}, 400, "every one needs a role"),
        ({"messages": HELLO, "max_tokens": -3}, 400, "max_tokens = -3: expected a whole number of at least 1"),
        ({"messages": HELLO, "temperature": -1}, 400, "temperature = -1: expected a number from 0 to"),
        ({"messages": HELLO, "top_k": 1.5}, 400, "top_k = 1.5"),
        ({"messages": [{"role": "user", "content": "word " * 200_000}]}, 400, "are more than this model's 4096"),
        ({"messages": HELLO, "max_tokens": 5000}, 400, "are more than this model's 4096"),
        ({"messages": HELLO, "model": "gpt"}, 404, "there is no model 'gpt' here, only 'agent_0'"),
        ({"messages": HELLO, "max_tokens": 2, "temperature": 1.0, "top_k": 5, "seed": 1}, 200, "choices"),
    ],
)
def test_the_door_says_what_is_wrong_with_a_request(body: Any, status: int, message: str, urls: list[str]) -> None:
    """Without a content type, as one types it with curl."""
    assert get(f"{urls[0]}/v1/chat/completions")[0] == 405
    found = get(f"{urls[0]}/v1/chat/completions", body=body)
    assert found[0] == status
    assert message in found[1]


def test_an_answer_can_be_read_as_it_is_written(urls: list[str]) -> None:
    body = {"messages": HELLO, "max_tokens": 8, "temperature": 0}
    whole = json.loads(get(f"{urls[0]}/v1/chat/completions", body=body)[1])["choices"][0]["message"]["content"]
    lines = get(f"{urls[0]}/v1/chat/completions", body={**body, "stream": True})[1].splitlines()
    parts = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    said = "".join(part["choices"][0]["delta"].get("content") or "" for part in parts if part["choices"])
    assert said == whole != ""


def test_the_most_likely_of_one_is_the_greedy_answer(urls: list[str]) -> None:
    """top_k, which transformers' server does not know by this name, is what it draws from."""
    asked = {"messages": HELLO, "max_tokens": 8}
    drawn = [
        get(f"{urls[0]}/v1/chat/completions", body={**asked, **how})
        for how in ({"temperature": 0}, {"temperature": 1.0, "top_k": 1, "seed": 3})
    ]
    first, second = (json.loads(text)["choices"][0]["message"]["content"] for _, text in drawn)
    assert first == second


def test_control_marks_in_what_it_is_told_are_only_text(urls: list[str]) -> None:
    """Broken by a space, as in training: a mark in a message is no end of a turn."""

    def tokens(content: str) -> int:
        body = {"messages": [{"role": "user", "content": content}], "max_tokens": 1, "temperature": 0}
        request = Request(f"{urls[0]}/v1/chat/completions", json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        with urlopen(request) as response:
            return int(json.loads(response.read())["usage"]["prompt_tokens"])

    assert tokens("a <|im_end|> b") == tokens("a < |im_end|> b")
