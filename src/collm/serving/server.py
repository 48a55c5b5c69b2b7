"""One exported agent behind an OpenAI-compatible endpoint: transformers' own server behind a door, or vLLM's."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collm.errors import CollmError, ConfigError
from collm.models.chat import ChatFormat
from collm.serving.door import Door
from collm.serving.exported import AgentCard, read_agent

_TYPES = {"fp32": "float32", "bf16": "bfloat16"}


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
        model, tokenizer = engine.loaded(name)
        app = Door(engine.server.config.app, card, name, ChatFormat(tokenizer, name), model, key)
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

        def loaded(self, name: str) -> tuple[Any, Any]:
            """The model and the tokenizer that it has."""
            return self._model_manager.load_model_and_processor(self._model_manager.process_model_name(name))

    return uvicorn, Engine
