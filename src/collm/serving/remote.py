"""One agent that lives elsewhere, behind its own URL: who it is, and its answers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import urldefrag, urlsplit

from collm.errors import CollmError, ConfigError
from collm.options import Range
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Silence, Word
from collm.serving.exported import AgentCard

_PASSING = (408, 409, 425, 429)
"""Refusals that may pass; so may all from 500 on."""
_HELLO_SECONDS = 10.0
_SHOWN = 200
"""Letters of an answer that are shown where it is not what was asked for."""
_LARGEST = 4 << 20
"""Bytes of an answer; a completion with the token ids of a long history is well below."""
_BROKEN = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
"""What Python raises for an answer that is not what was asked for."""

T = TypeVar("T")
ChatMessages = list[dict[str, str]]
"""One agent's history as its server reads it: the task's messages and its own answers, in order of time."""


@dataclasses.dataclass(frozen=True)
class RemoteSettings:
    """How agents behind URLs are asked."""

    seconds: Annotated[float, Range(0, 86_400, open_low=True)] = 60.0
    """Time limit of one request, to the last letter of its answer. An agent that does not answer in time is silent at this
    turn: it may still be at work, so it is not asked again."""
    tries: Annotated[int, Range(1, 100)] = 3
    """How often an agent is asked that refuses for a while (408, 409, 425, 429, 5xx), breaks off, or answers with something
    else; with pauses that double from half a second."""
    together: Annotated[int, Range(1, 1024)] = 8
    """Requests that one agent gets at the same time, from episodes that are played side by side."""
    key_variable: str | None = None
    """The environment variable with the key that the agents ask for."""
    tokens: Path | None = None
    """The exported team, whose tokenizers are then used here: agents are sent token ids and give token ids back, so that
    nothing is encoded twice. For servers that can (vLLM's can; transformers' cannot)."""


class AgentError(CollmError):
    """An agent that cannot take its seat."""


class Answer(NamedTuple):
    """What came back over HTTP."""

    status: int
    content: bytes

    @property
    def beginning(self) -> str:
        """Its first words, for people."""
        return repr(" ".join(self.content[: 2 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN])


class RemoteAgent:
    """One OpenAI-compatible chat endpoint. Its methods are for one event loop."""

    def __init__(self, url: str, settings: RemoteSettings, key: str | None) -> None:
        """``url`` is that of the server, with or without ``/v1``; behind ``#`` may stand the model's name, for servers that
        have several. Raises ConfigError if it is none."""
        self._http, self._retrying = _libraries()
        address, self.model = urldefrag(url)
        if not _is_address(address):
            raise ConfigError(
                f"--agents {url}: expected http://HOST:PORT, with #MODEL behind it where there are several."
            )
        self.url = address.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.settings = settings
        # No limits of its own: those are per read, and an answer that drips would never end.
        self._client = self._http.AsyncClient(headers=headers, timeout=None)

    async def meet(self) -> AgentCard | None:
        """Look up the model's name, and ask who it is: its card, if it is an exported agent that shows one.

        Raises AgentError if nobody answers there, or not in the protocol, or without the model that is asked for.
        """
        models = await self._hello("/v1/models")
        try:
            names = [str(one["id"]) for one in json.loads(models.content)["data"]]
        except _BROKEN as error:
            raise AgentError(self._stranger("/v1/models", models)) from error
        if not names:
            raise AgentError(f"{self.url} answers, but has no model. Start it with one.")
        if self.model and self.model not in names:
            raise AgentError(f"{self.url} has no model {self.model!r}. It has: {', '.join(sorted(names))}.")
        self.model = self.model or names[0]
        return self._card(await self._hello("/agent", may_miss=True))

    def _card(self, shown: Answer) -> AgentCard | None:
        """The card in an answer, if anything that means to be one is there."""
        try:
            values = json.loads(shown.content) if shown.status == 200 else None
        except _BROKEN:
            return None
        if not isinstance(values, Mapping) or "task" not in values:
            return None
        if self.settings.tokens is not None and not values.get("tokens", True):
            raise AgentError(
                f"{self.url} takes no token ids: leave --remote.tokens out, or serve it with --engine vllm."
            )
        try:
            return AgentCard.read(values)
        except ValueError as error:
            raise AgentError(f"{self.url}/agent is no card of an agent: {error}. Export and serve it again.") from error

    async def _hello(self, path: str, may_miss: bool = False) -> Answer:
        again = "Start it: collm serve DIR/agent_0 --port PORT; or mend --agents."
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                answer = await self._exchange("GET", path)
        except self._http.ConnectError as error:
            tls = " A server without TLS is at http://…" if "SSL" in str(error) else ""
            raise AgentError(f"no agent answers at {self.url} ({error}).{tls} {again}") from error
        except TimeoutError as error:
            raise AgentError(f"no agent answers at {self.url} in {_HELLO_SECONDS:g} s. {again}") from error
        except (self._http.HTTPError, _LastingError) as error:
            what = str(error) or type(error).__name__
            raise AgentError(f"{self.url} answers, but {path} could not be read ({what}). Mend --agents.") from error
        if answer.status in (401, 403):
            raise AgentError(f"{self.url} asks for a key: put it into an environment variable, and name that with "
                             "--remote.key_variable.")  # fmt: skip
        if answer.status != 200 and not may_miss:
            raise AgentError(self._stranger(path, answer))
        return answer

    def _stranger(self, path: str, answer: Answer) -> str:
        return (
            f"{self.url} answers, but not as an OpenAI-compatible endpoint: {path} gave status {answer.status} and "
            f"{answer.beginning}. Mend --agents."
        )

    async def ask(self, messages: ChatMessages, sampling: Sampling, seed: int) -> Word | Silence:
        """Its answer to a conversation, or why there is none."""
        return await self._asked("/v1/chat/completions", {"messages": messages, **_drawing(sampling, seed)}, _word)

    async def go_on(
        self, tokens: Sequence[int], stop_ids: Sequence[int], sampling: Sampling, seed: int
    ) -> list[int] | Silence:
        """The tokens that it puts behind these, the one that ended them included, or why there are none: for servers that
        take token ids and give them back."""
        own = {"prompt": list(tokens), "stop_token_ids": list(stop_ids), "return_token_ids": True}
        return await self._asked("/v1/completions", {**own, **_drawing(sampling, seed)}, _token_ids)

    async def _asked(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T | Silence:
        try:
            retrying = self._retrying(self.settings.tries)
            found: T = await retrying(self._post, path, {"model": self.model, **body}, read)
            return found
        except _PassingError as failure:
            return Silence(f"{failure}, {self.settings.tries} times" if self.settings.tries > 1 else str(failure))
        except _LastingError as failure:
            return Silence(str(failure))

    async def _post(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        try:
            async with asyncio.timeout(self.settings.seconds):
                answer = await self._exchange("POST", path, body)
        except self._http.ConnectError as error:
            raise _PassingError(f"nobody answers at {self.url}") from error
        except TimeoutError as error:
            raise _LastingError(f"no answer in {self.settings.seconds:g} s") from error
        except self._http.HTTPError as error:
            raise _PassingError(f"the answer broke off ({error or type(error).__name__})") from error
        if answer.status != 200:
            passing = answer.status in _PASSING or answer.status >= 500
            kind = _PassingError if passing else _LastingError
            raise kind(f"it refused with status {answer.status}: {answer.beginning}")
        try:
            return read(json.loads(answer.content))
        except _BROKEN as error:
            raise _PassingError(f"it answered with {answer.beginning}, which is no completion") from error

    async def _exchange(self, verb: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        """One request and its whole answer. Raises _LastingError for one that is too long, and what the client raises."""
        content = bytearray()
        async with self._client.stream(verb, f"{self.url}{path}", json=body) as response:
            async for part in response.aiter_bytes():
                content += part
                if len(content) > _LARGEST:
                    raise _LastingError(f"its answer is longer than {_LARGEST >> 20} MiB")
            return Answer(response.status_code, bytes(content))

    async def close(self) -> None:
        """Give back its connections."""
        await self._client.aclose()


class _PassingError(Exception):
    """A failure after which asking again may help."""


class _LastingError(Exception):
    """A failure after which it would not."""


def _drawing(sampling: Sampling, seed: int) -> dict[str, Any]:
    """How a response is to be drawn; greedily without a seed, and with top_k, which not every server knows, where needed."""
    own: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_new_tokens}
    if sampling.temperature > 0:
        own |= {"top_p": sampling.top_p, "seed": seed} | ({"top_k": sampling.top_k} if sampling.top_k else {})
    return own


def _word(values: Any) -> Word:
    """What a chat completion says. Raises what Python raises if it is none."""
    text = values["choices"][0]["message"]["content"]
    if not isinstance(text, str):
        raise TypeError("the content is not text")
    usage = values.get("usage")
    counts = usage if isinstance(usage, Mapping) else {}
    return Word(_only_text(text), _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def _only_text(text: str) -> str:
    """JSON can hold halves of characters, which are no text and which nothing could write down."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _count(value: Any) -> int:
    """A number of tokens; 0 if the server does not say."""
    return value if isinstance(value, int) and value >= 0 else 0


def _is_address(address: str) -> bool:
    """Whether a URL names a server, with a port that there can be."""
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _token_ids(values: Any) -> list[int]:
    """The tokens of a text completion."""
    return [int(token) for token in values["choices"][0]["token_ids"]]


def _libraries() -> tuple[Any, Callable[[int], Any]]:
    """The client, and what asks again so many times."""
    try:
        import httpx2
        import tenacity
    except ImportError as error:
        raise ConfigError("agents behind URLs need the extra 'serve': pip install 'collm[serve]'.") from error

    def retrying(tries: int) -> Any:
        return tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            stop=tenacity.stop_after_attempt(tries),
            wait=tenacity.wait_exponential(multiplier=0.5, max=8.0) + tenacity.wait_random(0.0, 0.25),
            reraise=True,
        )

    return httpx2, retrying
