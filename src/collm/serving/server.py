"""One exported agent behind an OpenAI-compatible endpoint: transformers' own server, behind a door that knows who is inside.

The door lets through what one agent needs (chat and text completions, the list of its one model, its card, its health), asks
for the key if there is one, and breaks control marks of the chat template in what it is told, as training did.
"""

from __future__ import annotations

import dataclasses
import hmac
import importlib.util
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collm.errors import CollmError, ConfigError
from collm.models.chat import ChatFormat
from collm.serving.exported import AgentCard, read_agent

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_ANSWERS = ("/v1/chat/completions", "/v1/completions")
_TYPES = {"fp32": "float32", "bf16": "bfloat16"}
_OPEN = "/health"
"""The one path that needs no key."""


class ServingError(CollmError):
    """An agent that cannot be served."""


@dataclasses.dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int
    """0 takes a free one."""

    def bind(self) -> socket.socket:
        """Take the port, before anything slow is done. Raises ServingError if that is not possible."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
            # Until somebody listens, a second server could take the port too. Who asks early waits for the model.
            listener.listen(128)
        except (OSError, OverflowError) as error:
            listener.close()
            raise ServingError(
                f"{self.host}:{self.port} cannot be listened on: {error}. Take another --port (0 finds a free one), or an "
                "address of this machine as --host."
            ) from error
        return listener


def serve(
    folder: Path, address: Address, key: str | None, device: str, ready: Callable[[AgentCard, str], None]
) -> None:
    """Serve an agent until SIGINT or SIGTERM; requests under way are answered first.

    ``ready`` is called with the card and the URL when the model is loaded. Raises ConfigError for a folder that is no
    exported agent or was altered, ServingError for a port that is taken or a model that cannot be loaded.
    """
    uvicorn, engine_of = _libraries()
    card = read_agent(folder)
    with address.bind() as listener:
        # The server names its model after the path it is given, so it is given the folder's name.
        os.chdir(folder.absolute().parent)
        name = folder.absolute().name
        try:
            engine = engine_of(
                force_model=name, device=device, dtype=_TYPES[card.precision], log_level="error", non_blocking=True
            )
        except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
            first = str(error).strip().split("\n")[0]
            raise ServingError(f"the model in {folder} cannot be loaded: {first}") from error
        tokenizer = engine.tokenizer(name)
        app = Door(engine.server.config.app, card, name, ChatFormat(tokenizer, name), key)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=30))
        shown = f"[{address.host}]" if ":" in address.host else address.host
        ready(card, f"http://{shown}:{listener.getsockname()[1]}")
        # uvicorn raises the signal again when it has stopped, and stopping is what was asked for.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        server.run(sockets=[listener])


def vllm_command(folder: Path, address: Address, key: str | None) -> list[str]:
    """The command with which vLLM serves an agent. Raises ConfigError if it is not installed here."""
    card = read_agent(folder)
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError("--engine vllm needs vLLM: pip install 'collm[vllm]', or leave --engine out.")
    model = (
        [card.base, "--enable-lora", "--lora-modules", f"{card.name}={folder}"]
        if card.adapter
        else [str(folder), "--served-model-name", card.name]
    )
    where = ["--host", address.host, "--port", str(address.port), "--dtype", _TYPES[card.precision]]
    # Its module and not `vllm serve`, which looks for a distribution of that name: builds for processors have another.
    server = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    return [*server, "--model", *model, *where, *_key_flags(key)]


def _key_flags(key: str | None) -> list[str]:
    return ["--api-key", key] if key else []


def _libraries() -> tuple[Any, Any]:
    """uvicorn, and transformers' server as a class that does not start by itself."""
    try:
        import fastapi  # noqa: F401
        import openai  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ConfigError("serving needs the extra 'serve': pip install 'collm[serve]'.") from error
    from transformers.cli.serve import Serve

    class Engine(Serve):
        """Its application, and not its loop: the door is put before the application first."""

        def start_server(self) -> None:
            """Nothing yet."""

        def tokenizer(self, name: str) -> Any:
            """That of the model it has loaded."""
            return self._model_manager.load_model_and_processor(self._model_manager.process_model_name(name))[1]

    return uvicorn, Engine


class Door:
    """An ASGI application before the server's own."""

    def __init__(self, inside: ASGIApp, card: AgentCard, name: str, chat: ChatFormat, key: str | None) -> None:
        self.inside, self.card, self.name, self.chat, self.key = inside, card, name, chat, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inside(scope, receive, send)
            return
        from starlette.requests import Request
        from starlette.responses import JSONResponse

        request = Request(scope, receive)
        path, verb = request.url.path, scope["method"]
        if path == _OPEN:
            await self.inside(scope, receive, send)
        elif not self._may(request.headers.get("authorization", "")):
            await _refusal(401, "this agent asks for a key: Authorization: Bearer KEY")(scope, receive, send)
        elif path == "/agent":
            await JSONResponse(dataclasses.asdict(self.card))(scope, receive, send)
        elif path == "/v1/models":
            models = [{"id": self.name, "object": "model", "owned_by": "collm"}]
            await JSONResponse({"object": "list", "data": models})(scope, receive, send)
        elif path in _ANSWERS and verb == "POST":
            await self._answer(await request.body(), scope, send)
        else:
            await _refusal(404, f"an agent answers at {_ANSWERS[0]}")(scope, receive, send)

    def _may(self, authorization: str) -> bool:
        return self.key is None or hmac.compare_digest(authorization.encode(), f"Bearer {self.key}".encode())

    async def _answer(self, body: bytes, scope: Scope, send: Send) -> None:
        try:
            asked = self._harmless(json.loads(body))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            await _refusal(400, f"this is no request for a completion: {error}")(scope, _nothing, send)
            return
        if asked.get("model") not in (None, self.name, self.card.name):
            await _refusal(404, f"there is no model {asked['model']!r} here, only {self.name!r}")(scope, _nothing, send)
            return
        changed = json.dumps({**asked, "model": self.name}).encode()
        headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
        headers.append((b"content-length", str(len(changed)).encode()))
        await self.inside({**scope, "headers": headers}, _once(changed), send)

    def _harmless(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The request with texts that are only texts. The prompt of a text completion is the asker's own matter."""
        if "messages" not in asked:
            return asked
        return {**asked, "messages": [self._message(message) for message in asked["messages"]]}

    def _message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        content = message.get("content")
        if not isinstance(content, list):
            return {**message, "content": content if content is None else self.chat.harmless(content)}
        parts = [{**part, "text": self.chat.harmless(part["text"])} if "text" in part else part for part in content]
        return {**message, "content": parts}


def _refusal(status: int, message: str) -> Any:
    from starlette.responses import JSONResponse

    return JSONResponse({"error": {"message": message}}, status_code=status)


def _once(body: bytes) -> Receive:
    """A request whose body is this."""
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}
