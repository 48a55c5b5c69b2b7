"""Expert edits: asked of a real (small, local) HTTP server, recorded, and repeated from the record."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from collm import make_task
from collm.errors import ConfigError, TaskError
from collm.tasks.coding import mini
from collm.tasks.coding.experts import last_object
from collm.tasks.protocol import Move, Task

PROBLEM = mini.posed("keep-even-total", 1)
WRONG = ["def aux(x):\n    return x", "def total(xs):\n    return aux(xs)"]
GOOD = (
    'I think: {"aux": "wrong"}\n```json\n{"aux": "def aux(x):\\n'
    '    return x % 2 == 0", "main": "def total(xs): ..."}\n```'
)


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible endpoint that answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.keys.append(self.headers.get("Authorization"))
        status, text = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        self.send_response(status)
        self.end_headers()
        if self.path == "/v1/chat/completions":
            self.wfile.write(json.dumps({"choices": [{"message": {"content": text}}]}).encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def expert_task(record: Path, url: str = "", **options: Any) -> Task:
    return make_task("coop-he", feedback="expert", expert={"record": str(record), "url": url, **options})


def after(task: Task) -> list[str]:
    step = task.step(PROBLEM, task.reset(PROBLEM).state, WRONG)
    assert step.observations is not None
    return [observation[0].content for observation in step.observations]


def test_each_agent_gets_the_edit_of_its_own_function(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers = [(200, GOOD)]
    monkeypatch.setenv("SOME_KEY", "secret")
    helper, main = after(expert_task(tmp_path / "r.jsonl", server.url, model="coder", key_variable="SOME_KEY"))
    assert "An expert suggests:\ndef aux(x):\n    return x % 2 == 0\nRevise" in helper
    assert "An expert suggests:\ndef total(xs): ...\nRevise" in main
    (asked,) = server.asked
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("coder", 0.3, 2048)
    assert PROBLEM.prompt in asked["messages"][1]["content"]
    assert WRONG[0] in asked["messages"][1]["content"]
    assert server.keys == ["Bearer secret"]
    assert "secret" not in (tmp_path / "r.jsonl").read_text()


def test_an_answer_is_asked_for_once_and_repeated_from_the_record(server: Server, tmp_path: Path) -> None:
    server.answers = [(200, GOOD)]
    record = tmp_path / "record.jsonl"
    task = expert_task(record, server.url)
    state = task.reset(PROBLEM).state
    task.prepare([Move(PROBLEM, state, WRONG)] * 3)
    first = after(task)
    assert first == after(task)
    assert len(server.asked) == 1
    server.answers = [(200, '{"aux": "other", "main": "other"}')]
    assert after(expert_task(record)) == first
    record.write_text(record.read_text() + "{}\n")
    with pytest.raises(ConfigError, match=r"line 2 of .* is not a recorded answer"):
        expert_task(record)


@pytest.mark.parametrize("answer", ["no edit at all", "{}", '{"aux": [1], "main": 2}', ""])
def test_an_answer_without_an_edit_is_no_suggestion(server: Server, tmp_path: Path, answer: str) -> None:
    server.answers = [(200, answer)]
    assert "An expert has no suggestion." in after(expert_task(tmp_path / "r.jsonl", server.url))[0]
    assert len(server.asked) in (1, 3)
    assert "An expert has no suggestion." in after(expert_task(tmp_path / "r.jsonl"))[0]


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (401, ConfigError, "environment variable SOME_KEY"),
        (404, ConfigError, r"check task\.expert\.url and task\.expert\.model"),
        (429, TaskError, "try again later"),
        (500, TaskError, "try again later"),
    ],
)
def test_a_refusal_stops_the_run_and_is_not_recorded(
    server: Server, tmp_path: Path, status: int, kind: type[Exception], advice: str
) -> None:
    server.answers = [(status, GOOD)]
    record = tmp_path / "r.jsonl"
    with pytest.raises(kind, match=f"status {status} in 3 tries.*{advice}"):
        after(expert_task(record, server.url, key_variable="SOME_KEY"))
    assert len(server.asked) == 3
    assert record.read_text() == ""


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("http://127.0.0.1:9/v1", TaskError, "gave no answer in 3 tries"),
        ("no address", ConfigError, "is no address"),
        ("ftp://127.0.0.1/v1", ConfigError, "is no address"),
        ("http://[::1/v1", ConfigError, "is no address"),
    ],
)
def test_nobody_there_stops_the_run(tmp_path: Path, url: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        after(expert_task(tmp_path / "r.jsonl", url, seconds=2.0))


def test_answers_beside_a_failure_are_kept(server: Server, tmp_path: Path) -> None:
    server.answers = [(200, GOOD), (500, "")]
    record = tmp_path / "r.jsonl"
    task = expert_task(record, server.url)
    state = task.reset(PROBLEM).state
    moves = [Move(PROBLEM, state, WRONG), Move(PROBLEM, state, [WRONG[0], ""])]
    with pytest.raises(TaskError, match="status 500"):
        task.prepare(moves)
    assert len(record.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "words"), [("none/r.jsonl", "no folder"), (".", "cannot be read"), ("latin", "is not UTF-8")]
)
def test_a_record_that_cannot_be_one_is_refused_at_once(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "latin").write_bytes(b"\xe9\n")
    with pytest.raises(ConfigError, match=f"task.expert.record: .*{words}"):
        expert_task(tmp_path / name)


def test_a_later_try_may_succeed(server: Server, tmp_path: Path) -> None:
    server.answers = [(503, ""), (200, "{"), (200, GOOD)]
    assert "x % 2 == 0" in after(expert_task(tmp_path / "r.jsonl", server.url))[0]


def test_without_a_record_the_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs task\.expert\.record"):
        make_task("coop-he", feedback="expert")
    with pytest.raises(TaskError, match="has no answer for 1 programs"):
        after(expert_task(tmp_path / "empty.jsonl"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"aux": "a", "main": "b"}', {"aux": "a", "main": "b"}),
        ('{"aux": "a"} then {"aux": "b"} and {"other": 1}', {"aux": "b"}),
        ('{"aux": "a", "main": {"aux": "x"}', {"aux": "x"}),
        ("{" * 5000, None),
        ("", None),
        ('[{"main": "b"}]', {"main": "b"}),
    ],
)
def test_the_last_object_with_an_edit_counts(text: str, found: dict[str, str] | None) -> None:
    assert last_object(text) == found
