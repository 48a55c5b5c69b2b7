"""Servers for tests: ones that misbehave, and one that writes down what passes through."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

Reply = Callable[[dict[str, Any], BaseHTTPRequestHandler], None]
"""What a station does with a request for a completion."""


class Station:
    """An OpenAI-compatible endpoint on loopback that answers as it is told to, and keeps the bodies it got."""

    def __init__(self, reply: Reply, port: int = 0) -> None:
        self.reply = reply
        self.bodies: list[bytes] = []
        station = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/v1/models":
                    send(self, {"object": "list", "data": [{"id": "station"}]})
                else:
                    send(self, {"detail": "Not Found"}, 404)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                station.bodies.append(body)
                station.reply(json.loads(body), self)

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def send(handler: BaseHTTPRequestHandler, values: Any, status: int = 200) -> None:
    """Answer with JSON."""
    send_bytes(handler, json.dumps(values).encode(), status)


def send_bytes(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, promised: int | None = None) -> None:
    """Answer with these bytes, and maybe the promise of more."""
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body) if promised is None else promised))
    handler.end_headers()
    handler.wfile.write(body)
    if promised is not None:
        handler.close_connection = True


def completion(text: str) -> dict[str, Any]:
    """What a server answers that says this."""
    message = {"role": "assistant", "content": text}
    return {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


def says(text: str | Callable[[dict[str, Any]], str], seconds: float = 0.0) -> Reply:
    """Always this, after a while."""

    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)
        send(handler, completion(text if isinstance(text, str) else text(body)))

    return reply


def passes_on_to(url: str) -> Reply:
    """What the server at this URL answers."""

    def reply(body: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        request = Request(f"{url}/v1/chat/completions", json.dumps({**body, "model": None}).encode())
        request.add_header("content-type", "application/json")
        with urlopen(request) as response:
            send_bytes(handler, response.read(), response.status)

    return reply


@contextlib.contextmanager
def stations(*replies: Reply) -> Iterator[list[Station]]:
    """One station per reply."""
    found = [Station(reply) for reply in replies]
    try:
        yield found
    finally:
        for station in found:
            station.close()


class Served:
    """``collm serve`` as a process of its own."""

    def __init__(self, folder: Path, port: int = 0, *flags: str) -> None:
        command = [sys.executable, "-m", "collm", "serve", str(folder), "--port", str(port), "--threads", "1", *flags]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def ready(self) -> str:
        """Its URL, once it has loaded its model."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert " answers at " in line, self.process.communicate()[1]
        return line.split()[-1]

    def close(self) -> None:
        """End it and what it has started, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> tuple[int, str]:
        """Ask it to stop; its exit status and what it said."""
        self.process.terminate()
        error = self.process.communicate(timeout=30)[1]
        return self.process.returncode, error


@contextlib.contextmanager
def served(folders: Sequence[Path]) -> Iterator[list[str]]:
    """The URLs of these agents, each in a process of its own."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(contextlib.closing(Served(folder))) for folder in folders]
        yield [one.ready() for one in running]
