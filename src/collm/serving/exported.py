"""What an exported team says of itself: ``agent.json`` in each agent's folder, ``team.json`` above them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from collm.errors import ConfigError
from collm.training.metrics import to_json

AGENT, TEAM = "agent.json", "team.json"
_FORMAT = 1
_AGAIN = "Copy the folder again, or export it again: collm export RUN DIR"


@dataclasses.dataclass(frozen=True)
class AgentCard:
    """Who an exported agent is. Nothing in it is of a partner."""

    task: str
    options: Mapping[str, Any]
    """The task's options."""
    agent: int
    """Its place in the team, from 0."""
    agents: int
    """How many the task has."""
    role: str
    method: str
    seed: int
    sampling: Mapping[str, Any]
    """How it was trained to draw its responses."""
    base: str
    """The model it started from."""
    adapter: bool
    """Whether its folder is a LoRA adapter on ``base``, and not a model of its own."""
    precision: str
    """The numbers it was trained to compute with: fp32 or bf16."""

    @property
    def name(self) -> str:
        """What it is called in a team: its folder, and its model in requests."""
        return f"agent_{self.agent}"

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> AgentCard:
        """The card in a JSON object that may hold more. Raises ValueError, naming what is wrong, if there is none."""
        kinds = {name: get_origin(kind) or kind for name, kind in get_type_hints(cls).items()}
        for name, kind in kinds.items():
            if name not in values:
                raise ValueError(f"it has no '{name}'")
            if not isinstance(values[name], kind):
                raise ValueError(f"its '{name}' is {values[name]!r:.40}")
        return cls(**{name: values[name] for name in kinds})


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_agent(folder: Path, card: AgentCard) -> None:
    """Seal a folder: its card, with the checksum of every file that is there."""
    files = {name: digest(folder / name) for name in _files(folder)}
    _write(folder / AGENT, {"format": _FORMAT, **dataclasses.asdict(card), "files": files})


def _files(folder: Path) -> list[str]:
    """The names of what is in an agent's folder, but for the hidden marks of file managers and hubs."""
    inside = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.as_posix() for path in inside if not any(part.startswith(".") for part in path.parts)]


def read_agent(folder: Path) -> AgentCard:
    """The card of an agent's folder, after checking every file. Raises ConfigError for what is missing or was altered."""
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder. Make one from a run: collm export RUN DIR")
    if (folder / TEAM).is_file():
        raise ConfigError(f"{folder} is a whole team. Name one agent: {folder / 'agent_0'}")
    if not (folder / AGENT).is_file():
        raise ConfigError(
            f"{folder} is not an exported agent: it has no {AGENT}. Make one from a run: collm export RUN DIR"
        )
    values = _read(folder / AGENT)
    files = values.get("files")
    if not isinstance(files, dict):
        raise ConfigError(f"{folder / AGENT} lists no files. {_AGAIN}")
    strangers = sorted(set(_files(folder)) - set(files) - {AGENT})
    if strangers:
        raise ConfigError(f"{folder / strangers[0]} is none of the agent's files. Move it away, or {_AGAIN.lower()}")
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise ConfigError(f"{path} is missing. {_AGAIN}")
        if digest(path) != expected:
            raise ConfigError(f"{path} is not the file that was exported: its checksum differs. {_AGAIN}")
    return _card(values, folder / AGENT)


def write_team(folder: Path, cards: list[AgentCard], values: Mapping[str, Any]) -> None:
    """The team's own page: who sits where, and the checksum of each agent's card, which has those of its files."""
    first = cards[0]
    agents = [{"folder": card.name, "role": card.role, "sha256": digest(folder / card.name / AGENT)} for card in cards]
    own = {"format": _FORMAT, "task": first.task, "options": first.options, **values, "agents": agents}
    _write(folder / TEAM, own)


def read_team(folder: Path) -> list[AgentCard]:
    """The cards of a team in order, after checking every file of every agent that is there.

    Raises ConfigError for a folder that is no team, for files that were altered, and for agents that are not the team's.
    """
    if not (folder / TEAM).is_file():
        raise ConfigError(f"{folder} is not an exported team: it has no {TEAM}. Make one: collm export RUN DIR")
    cards = []
    for place, own in enumerate(_read(folder / TEAM)["agents"]):
        path = folder / own["folder"]
        card = read_agent(path)
        if digest(path / AGENT) != own["sha256"] or card.agent != place:
            raise ConfigError(f"{path} is not the agent that {folder / TEAM} lists: its checksum differs. {_AGAIN}")
        cards.append(card)
    return cards


def _card(values: Mapping[str, Any], path: Path) -> AgentCard:
    try:
        return AgentCard.read(values)
    except ValueError as error:
        raise ConfigError(f"{path} is no card of an agent: {error}. {_AGAIN}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}. {_AGAIN}") from error
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        found = values.get("format") if isinstance(values, dict) else None
        raise ConfigError(f"{path} has the format {found}, and this version reads {_FORMAT}. {_AGAIN}")
    return values


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(to_json(values, indent=2) + "\n", encoding="utf-8")
