"""The door before an agent's server: what is asked reaches the model only if one agent can be asked that.

It lets through chat and text completions, says who is inside and that it is well, asks for the key if there is one, breaks
control marks of the chat template in what the agent is told, as training did, and refuses what the model could not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hmac
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from collm.models.chat import ChatFormat
from collm.serving.exported import AgentCard

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_ANSWERS = ("/v1/chat/completions", "/v1/completions")
_OPEN = "/health"
"""The one path that needs no key."""
_LARGEST = 16 << 20
"""Bytes of a request: more than the longest context needs."""
_WHOLE = (("max_tokens", 1), ("max_completion_tokens", 1), ("top_k", 0), ("seed", 0))
_NUMBERS = (("temperature", 0.0, 100.0), ("top_p", 0.0, 1.0))


class _Refused(Exception):
    """A request that is answered here, with a status and what is wrong."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Door:
    """An ASGI application before the server's own."""

    def __init__(
        self, inside: ASGIApp, card: AgentCard, name: str, chat: ChatFormat, model: Any, key: str | None
    ) -> None:
        """``model`` is what the server has loaded: its context and how it draws its answers are asked of it."""
        self.inside, self.card, self.name, self.chat, self.model, self.key = inside, card, name, chat, model, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.inside(scope, receive, send)
            return
        from starlette.requests import ClientDisconnect

        # Who asked has gone, or the server is stopped and waits no longer: there is nobody to tell.
        with contextlib.suppress(ClientDisconnect, asyncio.CancelledError):
            await self._through(scope, receive, send)

    async def _through(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request
        from starlette.responses import JSONResponse

        request = Request(scope, receive)
        answer: ASGIApp | None
        try:
            answer = self._here(request)
            if answer is None and request.url.path in _ANSWERS:
                body = json.dumps(self._checked(request.url.path, await _asked(request))).encode()
                scope, receive = {**scope, "headers": _headers(scope, body)}, _once(body, receive)
        except _Refused as error:
            answer = JSONResponse({"error": {"message": str(error)}}, status_code=error.status)
        await (answer or self.inside)(scope, receive, send)

    def _here(self, request: Request) -> Response | None:
        """What the door answers itself; None for what the server answers."""
        from starlette.responses import JSONResponse

        path = request.url.path
        if path == _OPEN:
            return None
        if not self._may(request.headers.get("authorization", "")):
            raise _Refused(401, "this agent asks for a key: Authorization: Bearer KEY")
        if path == "/agent":
            return JSONResponse({**dataclasses.asdict(self.card), "tokens": False})
        if path == "/v1/models":
            models = [{"id": self.name, "object": "model", "owned_by": "collm"}]
            return JSONResponse({"object": "list", "data": models})
        if path not in _ANSWERS:
            raise _Refused(404, f"an agent answers at {_ANSWERS[0]}")
        if request.scope["method"] != "POST":
            raise _Refused(405, f"{path} is asked with POST")
        return None

    def _may(self, authorization: str) -> bool:
        return self.key is None or hmac.compare_digest(authorization.encode(), f"Bearer {self.key}".encode())

    def _checked(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The request as the server is to get it. Raises _Refused for one that this model cannot answer."""
        if asked.get("model") not in (None, self.name, self.card.name):
            raise _Refused(404, f"there is no model {asked['model']!r} here, only {self.name!r}")
        _check_numbers(asked)
        if path == _ANSWERS[0]:
            asked = {**asked, "messages": self._messages(asked.get("messages"))}
            text = self._as_text(asked["messages"])
        elif isinstance(asked.get("prompt"), str):
            text = asked["prompt"]
        else:
            raise _Refused(400, "prompt: expected a text; token ids are for vLLM (collm serve --engine vllm)")
        self._check_length(text, asked.get("max_tokens") or asked.get("max_completion_tokens") or 0)
        if asked.get("top_k") is not None:  # which the server does not know by this name
            own = {**self.model.generation_config.to_dict(), "top_k": asked.pop("top_k")}
            asked["generation_config"] = json.dumps(own)
        return {**asked, "model": self.name}

    def _messages(self, given: Any) -> list[dict[str, Any]]:
        """The conversation, in texts that are only texts."""
        if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
            raise _Refused(400, "messages: expected a list of {role, content}")
        return [{**one, "content": self._content(one)} for one in given]

    def _content(self, message: Mapping[str, Any]) -> Any:
        content = message.get("content")
        if not isinstance(message.get("role"), str):
            raise _Refused(400, "messages: every one needs a role")
        if content is None or isinstance(content, str):
            return content and self.chat.harmless(content)
        if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
            raise _Refused(400, "messages: expected a text, or a list of parts, as content")
        return [{**part, "text": self.chat.harmless(str(part["text"]))} if "text" in part else part for part in content]

    def _as_text(self, messages: list[dict[str, Any]]) -> str:
        """The conversation as the model reads it."""
        template = self.chat.tokenizer.apply_chat_template
        try:
            return str(template(messages, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # whatever a template raises for roles and parts that it does not know
            raise _Refused(400, f"messages: the chat template does not take them ({error})") from error

    def _check_length(self, text: str, new: int) -> None:
        """Refuse what is longer than the model's context: it would be at work for a long time, and answer nonsense."""
        most = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        long = len(self.chat.tokenizer(text, add_special_tokens=False).input_ids)
        if most is not None and long + new > most:
            raise _Refused(400, f"{long} tokens and {new} new ones are more than this model's {most}")


def _check_numbers(asked: Mapping[str, Any]) -> None:
    for name, least in _WHOLE:
        value = asked.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise _Refused(400, f"{name} = {value!r}: expected a whole number of at least {least}")
    for name, low, high in _NUMBERS:
        value = asked.get(name)
        if value is not None and (not isinstance(value, int | float) or not low <= value <= high):
            raise _Refused(400, f"{name} = {value!r}: expected a number from {low:g} to {high:g}")


async def _asked(request: Request) -> dict[str, Any]:
    """The JSON object that is asked. Raises _Refused if there is none."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST:
            raise _Refused(413, f"a request has at most {_LARGEST >> 20} MiB")
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, f"this is no JSON: {error}") from error
    if not isinstance(asked, dict):
        raise _Refused(400, "expected a JSON object")
    return asked


def _headers(scope: Scope, body: bytes) -> list[tuple[bytes, bytes]]:
    """Those of the request, for another body."""
    changed = {b"content-length": str(len(body)).encode(), b"content-type": b"application/json"}
    kept = [pair for pair in scope["headers"] if pair[0] not in (*changed, b"transfer-encoding")]
    return [*kept, *changed.items()]


def _once(body: bytes, receive: Receive) -> Receive:
    """A request whose body is this; what follows is what the asker does."""
    sent = False

    async def received() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received
