"""Agents that live elsewhere: each behind its own URL, told its own history and nothing else."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urldefrag, urlsplit

from collm.errors import CollmError, ConfigError, unknown_name
from collm.options import Range
from collm.randomness import Key, integer
from collm.rollout.sampling import Sampling
from collm.rollout.talk import Seat, Silence, Word
from collm.serving.exported import AgentCard

if TYPE_CHECKING:
    import httpx2

_PASSING = (408, 409, 425, 429)
"""Refusals that may pass; so may all from 500 on."""
_HELLO_SECONDS = 10.0
_SHOWN = 200
"""Letters of an answer that are shown where it is not what was asked for."""

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


class AgentError(CollmError):
    """An agent that cannot take its seat."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """One request, for what it took."""

    turn: int
    agent: int
    started: float
    """Seconds on the monotonic clock."""
    ended: float


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

    def card(self) -> AgentCard | None:
        """Who it is, if it is an exported agent with a card; and the model's name is looked up.

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
        body: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            "temperature": sampling.temperature,
            "max_tokens": sampling.max_new_tokens,
        }
        if sampling.temperature > 0:
            body |= {"top_p": sampling.top_p, "seed": seed} | ({"top_k": sampling.top_k} if sampling.top_k else {})
        try:
            found: Word = self._retrying(self.settings.tries)(self._post, body)
            return found
        except _PassingError as failure:
            return Silence(f"{failure}, {self.settings.tries} times" if self.settings.tries > 1 else str(failure))
        except _LastingError as failure:
            return Silence(str(failure))

    def _post(self, body: dict[str, Any]) -> Word:
        try:
            response = self._client.post(f"{self.url}/v1/chat/completions", json=body)
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
        return self._word(response)

    def _word(self, response: httpx2.Response) -> Word:
        try:
            values = response.json()
            text = values["choices"][0]["message"]["content"]
            usage = values.get("usage") or {}
            word = Word(text, int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0)))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise _PassingError(f"it answered with {response.text[:40]!r}, which is no completion") from error
        if not isinstance(text, str):
            raise _PassingError(f"it answered with {text!r:.40} and not with text")
        return word

    def close(self) -> None:
        """Give back its connections."""
        self._client.close()


class _PassingError(Exception):
    """A failure after which asking again may help."""


class _LastingError(Exception):
    """A failure after which it would not."""


class RemoteVoices:
    """Agents behind URLs as voices. All that is asked at a stage is asked at once, of different agents side by side."""

    def __init__(
        self, agents: Sequence[RemoteAgent], sampling: Sampling, key: tuple[Key, ...], settings: RemoteSettings
    ) -> None:
        self.agents, self.sampling, self.key = agents, sampling, key
        self.histories: list[ChatMessages] = []
        """(seats,): what each agent was told and has said, in each episode."""
        self.asked: list[Asked] = []
        self._pools = [ThreadPoolExecutor(settings.together) for _ in agents]

    def begin(self, seats: Sequence[Seat]) -> None:
        self.histories = [[] for _ in seats]

    def fits(self, seat: Seat) -> bool:
        """Its server knows."""
        return True

    def speak(self, seats: Sequence[Seat], turn: int) -> list[Word | Silence]:
        """A silent agent has read nothing: what it was to read comes with its next observation."""
        waiting: list[Future[Word | Silence]] = [
            self._pools[seat.agent].submit(self._ask, seat, self._told(seat), turn) for seat in seats
        ]
        said = [future.result() for future in waiting]
        for seat, word in zip(seats, said, strict=True):
            if isinstance(word, Word):
                answer = {"role": "assistant", "content": word.text}
                self.histories[seat.number] = [*self._told(seat), answer]
        return said

    def _told(self, seat: Seat) -> ChatMessages:
        shown = [{"role": message.role, "content": message.content} for message in seat.observation()]
        return self.histories[seat.number] + shown

    def _ask(self, seat: Seat, messages: ChatMessages, turn: int) -> Word | Silence:
        seed = integer(*self.key, seat.job.problem.id, seat.job.sample, turn, seat.agent, seat.given) % 2**31
        started = time.monotonic()
        found = self.agents[seat.agent].ask(messages, self.sampling, seed)
        self.asked.append(Asked(turn, seat.agent, started, time.monotonic()))
        return found

    def close(self) -> None:
        """Wait for nobody any more."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)


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
