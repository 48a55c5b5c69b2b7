"""``collm serve DIR/agent_0``: one exported agent as an OpenAI-compatible endpoint."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from collm.commands.common import key_of, note, parse
from collm.options import Range, check
from collm.serving.exported import AgentCard
from collm.serving.server import Address, serve, vllm_command


@dataclasses.dataclass(frozen=True)
class ServeCommand:
    """Serve one exported agent. Ctrl-C or SIGTERM stops it when the requests under way are answered.

    It answers at URL/v1/chat/completions, says who it is at URL/agent and that it is well at URL/health.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """The agent's folder, from collm export."""
    port: Annotated[int, Range(0, 65_535)] = 8001
    """Where it listens; 0 takes a free port."""
    host: str = "127.0.0.1"
    """Which address: by default this machine alone; 0.0.0.0 for everybody, and then with a key."""
    key_variable: str | None = None
    """The environment variable with the key that requests have to bring."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What serves: transformers' server (pip install 'collm[serve]'), or vLLM (pip install 'collm[vllm]')."""
    device: str = "auto"
    """Where the model lives: auto, cpu or cuda."""
    threads: Annotated[int, Range(1, 1024)] | None = None
    """Processor threads; by default what torch finds."""


def main(arguments: Sequence[str]) -> int:
    command = parse(ServeCommand, "serve", arguments)
    check(command)
    address, key = Address(command.host, command.port), key_of(command.key_variable, "--key-variable")
    if command.engine == "vllm":
        words = vllm_command(command.folder, address, key)
        address.bind().close()
        os.execv(words[0], words)
    from collm import machine  # torch, which takes seconds to load: nobody who asks for help waits for it

    machine.prepare("cpu", command.threads)
    serve(command.folder, address, key, command.device, _say_ready)
    note("stopped.")
    sys.stdout.flush()
    os._exit(0)  # a model that is still at work cannot be interrupted, and nobody waits for its answer any more


def _say_ready(card: AgentCard, url: str) -> None:
    print(f"{card.task}, {card.name} ({card.role}) answers at {url}", flush=True)
