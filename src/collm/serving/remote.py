"""One agent that lives elsewhere, behind its own URL: who it is, and its answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urldefrag, urlsplit

from collm.errors import CollmError, ConfigError, unknown_name
from collm.options import Range
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Silence, Word
from collm.serving.exported import AgentCard

if TYPE_CHECKING:
    import httpx2

_PASSING = (408, 409, 425, 429)
"""Refusals that may pass; so may all from 500 on."""
_HELLO_SECONDS = 10.0
_SHOWN = 200
"""Letters of an answer that are shown where it is not what was asked for."""

T = TypeVar("T")
ChatMessages = list[dict[str, str]]
"""One agent's history as its server reads it: the task's messages and its own answers, in order of time."""


@dataclasses.dataclass(frozen=True)
class RemoteSettings:
    """How agents behind URLs are asked."""

    seconds: Annotated[float, Range(0, open_low=True)] = 60.0
    """Time limit of one request. An agent that does not answer in time is silent at this turn: it may still be at work, so
    it is not asked again."""
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


class RemoteAgent:
    """One OpenAI-compatible chat endpoint."""

    def __init__(self, url: str, settings: RemoteSettings, key: str | None) -> None:
        """``url`` is that of the server, with or without ``/v1``; behind ``#`` may stand the model's name, for servers that
        have several. Raises ConfigError if it is none."""
        self._http, self._retrying = _libraries()
        address, self.model = urldefrag(url)
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"--agents {url}: expected http://HOST:PORT, with #MODEL behind it where there are several."
            )
        self.url = address.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.settings = settings
        self._client = self._http.Client(headers=headers, timeout=settings.seconds)

    def meet(self) -> AgentCard | None:
        """Look up the model's name, and ask who it is: its card, if it is an exported agent that shows one.

        Raises AgentError if nobody answers there, or not in the protocol; ConfigError for a model that it has not.
        """
        models = self._hello("/v1/models")
        try:
            names = [str(one["id"]) for one in models.json()["data"]]
        except (ValueError, TypeError, KeyError) as error:
            raise AgentError(self._stranger(models)) from error
        if not names:
            raise AgentError(f"{self.url} answers, but has no model. Start it with one.")
        if self.model and self.model not in names:
            raise unknown_name(f"model at {self.url}", self.model, names)
        self.model = self.model or names[0]
        card = self._hello("/agent", may_miss=True)
        if card.status_code != 200:
            return None
        try:
            return AgentCard.read(card.json())
        except (ValueError, TypeError):
            return None

    def _hello(self, path: str, may_miss: bool = False) -> httpx2.Response:
        try:
            response = self._client.get(f"{self.url}{path}", timeout=_HELLO_SECONDS)
        except self._http.HTTPError as error:
            raise AgentError(
                f"no agent answers at {self.url} ({error or type(error).__name__}). Start it: collm serve DIR/agent_0 "
                "--port PORT; or mend --agents."
            ) from error
        if response.status_code in (401, 403):
            raise AgentError(f"{self.url} asks for a key: put it into an environment variable, and name that with "
                             "--remote.key_variable.")  # fmt: skip
        if response.status_code != 200 and not may_miss:
            raise AgentError(self._stranger(response))
        return response

    def _stranger(self, response: httpx2.Response) -> str:
        return (
            f"{self.url} answers, but not as an OpenAI-compatible endpoint: {response.url.path} gave status "
            f"{response.status_code} and {response.text[:40]!r}. Mend --agents."
        )

    def ask(self, messages: ChatMessages, sampling: Sampling, seed: int) -> Word | Silence:
        """Its answer to a conversation, or why there is none."""
        return self._asked("/v1/chat/completions", {"messages": messages, **_drawing(sampling, seed)}, _word)

    def go_on(
        self, tokens: Sequence[int], stop_ids: Sequence[int], sampling: Sampling, seed: int
    ) -> list[int] | Silence:
        """The tokens that it puts behind these, the one that ended them included, or why there are none: for servers that
        take token ids and give them back."""
        own = {"prompt": list(tokens), "stop_token_ids": list(stop_ids), "return_token_ids": True}
        return self._asked("/v1/completions", {**own, **_drawing(sampling, seed)}, _token_ids)

    def _asked(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T | Silence:
        try:
            found: T = self._retrying(self.settings.tries)(self._post, path, {"model": self.model, **body}, read)
            return found
        except _PassingError as failure:
            return Silence(f"{failure}, {self.settings.tries} times" if self.settings.tries > 1 else str(failure))
        except _LastingError as failure:
            return Silence(str(failure))

    def _post(self, path: str, body: dict[str, Any], read: Callable[[Any], T]) -> T:
        try:
            response = self._client.post(f"{self.url}{path}", json=body)
        except self._http.ConnectError as error:
            raise _PassingError(f"nobody answers at {self.url}") from error
        except self._http.TimeoutException as error:
            raise _LastingError(f"no answer in {self.settings.seconds:g} s") from error
        except self._http.HTTPError as error:
            raise _PassingError(f"the answer broke off ({error or type(error).__name__})") from error
        if response.status_code != 200:
            passing = response.status_code in _PASSING or response.status_code >= 500
            kind = _PassingError if passing else _LastingError
            raise kind(f"it refused with status {response.status_code}: {' '.join(response.text.split())[:_SHOWN]!r}")
        try:
            return read(response.json())
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise _PassingError(f"it answered with {response.text[:40]!r}, which is no completion") from error

    def close(self) -> None:
        """Give back its connections."""
        self._client.close()


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
    usage = values.get("usage") or {}
    return Word(text, int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0)))


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
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            stop=tenacity.stop_after_attempt(tries),
            wait=tenacity.wait_exponential(multiplier=0.5, max=8.0) + tenacity.wait_random(0.0, 0.25),
            reraise=True,
        )

    return httpx2, retrying
