"""Expert edits: another model reads both functions and suggests better ones; its answers are recorded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

from collm.errors import CollmError, ConfigError, TaskError
from collm.options import Range
from collm.tasks.coding import said
from collm.tasks.coding.assembly import Program
from collm.tasks.coding.problems import AUX, CodeProblem

TEMPERATURE = 0.3
MAX_TOKENS = 2048
TRIES = 3
_PASSING = (408, 429)
"""Refusals that may pass."""
_TOGETHER = 8
"""Questions that are asked at the same time."""
_SYSTEM = "You review Python code and answer with one JSON object, nothing else."


@dataclasses.dataclass(frozen=True)
class ExpertOptions:
    """Who writes expert edits, and where the answers are kept."""

    record: str = ""
    """A .jsonl file of answers. Recorded answers are used, others are asked for and added, so a run with a full record
    can be repeated exactly, offline."""
    url: str = ""
    """Base URL of an OpenAI-compatible endpoint, e.g. ``https://api.deepseek.com/v1``; empty: recorded answers only."""
    model: str = "deepseek-coder"
    """The model to ask."""
    key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; it may be unset where the endpoint asks for none."""
    seconds: Annotated[float, Range(0, 3600, open_low=True)] = 60.0
    """Time limit of one request."""


@dataclasses.dataclass(frozen=True)
class Edit:
    """An expert's versions of both functions; empty where there is none."""

    aux: str = ""
    main: str = ""


Question = tuple[CodeProblem, Program]


class Expert:
    """Answers questions from its record, and asks the endpoint for what is not there."""

    def __init__(self, options: ExpertOptions) -> None:
        if not options.record:
            raise ConfigError(
                "task.feedback = expert needs task.expert.record, a file for the expert's answers: without it the "
                "same joint action could lead to different observations."
            )
        self.options = options
        self._record = Path(options.record)
        self._answers = _read(self._record)

    def edits(self, questions: Sequence[Question]) -> list[Edit]:
        """The edits for these programs, in their order.

        Raises TaskError or ConfigError for one that is neither recorded nor to be had.
        """
        asked = [_question(problem, program) for problem, program in questions]
        keys = [_key(self.options, text) for text in asked]
        missing = {key: text for key, text in zip(keys, asked, strict=True) if key not in self._answers}
        if missing:
            self._ask(missing)
        return [_edit(self._answers[key]) for key in keys]

    def _ask(self, missing: dict[str, str]) -> None:
        if not self.options.url:
            raise TaskError(
                f"the record {self._record} has no answer for {len(missing)} programs: set task.expert.url to ask for "
                "it, or take the record of the run that is to be repeated."
            )
        client = _Client(self.options)
        with ThreadPoolExecutor(_TOGETHER) as threads:
            answers = list(threads.map(client.try_answer, missing.values()))
        client.close()
        with self._record.open("a", encoding="utf-8") as file:
            for key, answer in zip(missing, answers, strict=True):
                if isinstance(answer, str):
                    self._answers[key] = answer
                    file.write(json.dumps({"key": key, "model": self.options.model, "answer": answer}) + "\n")
        for answer in answers:
            if isinstance(answer, CollmError):
                raise answer


class _Client:
    """Asks an OpenAI-compatible endpoint."""

    def __init__(self, options: ExpertOptions) -> None:
        try:
            import httpx2
        except ImportError as error:
            raise ConfigError("expert edits need the extra 'expert': pip install 'collm[expert]'.") from error
        key = os.environ.get(options.key_variable)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._options = options
        self._refused = httpx2.HTTPStatusError
        self._no_url = (httpx2.InvalidURL, httpx2.UnsupportedProtocol)
        self._failures = (httpx2.HTTPError, httpx2.InvalidURL, ValueError, KeyError, IndexError, TypeError)
        self._client = httpx2.Client(headers=headers, timeout=options.seconds)

    def try_answer(self, question: str) -> str | CollmError:
        """The expert's whole answer after a few tries, the first with an edit or else the last; or why there is none."""
        body = {
            "model": self._options.model,
            "messages": [
                {"role": "system", "content": _SYSTEM},
                {"role": "user", "content": said.well_formed(question)},
            ],
            "temperature": TEMPERATURE,
            "max_tokens": MAX_TOKENS,
        }
        last: str | None = None
        failure: Exception | None = None
        for _ in range(TRIES):
            try:
                response = self._client.post(f"{self._options.url.rstrip('/')}/chat/completions", json=body)
                response.raise_for_status()
                text = response.json()["choices"][0]["message"]["content"]
            except self._failures as error:
                failure = error
                continue
            last = text if isinstance(text, str) else ""
            if last_object(last) is not None:
                break
        return last if last is not None else self._explained(failure)

    def _explained(self, failure: Exception | None) -> CollmError:
        """What a person can do about an endpoint that gave no answer."""
        url = self._options.url
        if isinstance(failure, self._no_url):
            return ConfigError(f"task.expert.url = {url!r} is no address ({said.line(str(failure))}): use http(s)://….")
        if isinstance(failure, self._refused):
            status = failure.response.status_code
            found = f"the expert at {url} answered with status {status} in {TRIES} tries"
            if status in (401, 403):
                return ConfigError(
                    f"{found}: put a valid key into the environment variable {self._options.key_variable}."
                )
            if 400 <= status < 500 and status not in _PASSING:
                return ConfigError(f"{found}: check task.expert.url and task.expert.model = {self._options.model}.")
            return TaskError(f"{found}: try again later; answers so far are in the record.")
        why = said.line(f"{type(failure).__name__}: {failure}")
        return TaskError(
            f"the expert at {url} gave no answer in {TRIES} tries ({why}): check task.expert.url and "
            "task.expert.seconds, or take a full record; answers so far are in the record."
        )

    def close(self) -> None:
        self._client.close()


def _question(problem: CodeProblem, program: Program) -> str:
    return (
        f"Two programmers solve a problem together: one writes the helper {AUX}, the other {problem.entry_point}, "
        f"which should call it and do part of the work itself.\n\nProblem:\n{problem.prompt.strip()}\n\n"
        f"Code:\n{program.source.strip() or '(nothing)'}\n\n"
        f'Correct both functions. Answer with one JSON object: {{"{AUX}": "<code>", "main": "<code>"}}.'
    )


def _key(options: ExpertOptions, question: str) -> str:
    content = json.dumps([options.model, TEMPERATURE, MAX_TOKENS, _SYSTEM, question])
    return hashlib.blake2b(content.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def _read(record: Path) -> dict[str, str]:
    """The recorded answers. Raises ConfigError for a file that is not a record, or that cannot become one."""
    if not record.parent.is_dir():
        raise ConfigError(f"task.expert.record: there is no folder {record.parent}; make it first.")
    if not record.exists():
        return {}
    try:
        text = record.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            f"task.expert.record: {record} is not UTF-8, so it is no record; name another file."
        ) from None
    except OSError as error:
        raise ConfigError(f"task.expert.record: {record} cannot be read ({error.strerror}); name a file.") from None
    answers = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = json.loads(line)
            answers[str(entry["key"])] = str(entry["answer"])
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"task.expert.record: line {number} of {record} is not a recorded answer.") from None
    return answers


def last_object(text: str) -> dict[str, Any] | None:
    """The last JSON object in a text that has an edit in it."""
    return next((found for found in _objects(text[-4 * MAX_TOKENS * 4 :]) if {AUX, "main"} & found.keys()), None)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects that begin at some brace, the last first."""
    decoder = json.JSONDecoder()
    starts = [index for index, letter in enumerate(text) if letter == "{"]
    for start in reversed(starts[-200:]):
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _edit(answer: str) -> Edit:
    found = last_object(answer) or {}
    values = (found.get(AUX, ""), found.get("main", ""))
    return Edit(*(value.strip() if isinstance(value, str) else "" for value in values))
