"""``collm export RUN DIR``: the trained agents of a run as folders that leave home."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from collm.commands.common import note, parse, print_json


@dataclasses.dataclass(frozen=True)
class ExportCommand:
    """Write every agent of a run to a folder of its own: weights, tokenizer with chat template, generation settings, a model
    card; and a team.json that says who sits where."""

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    out: Annotated[Path, tyro.conf.Positional]
    """The folder to write, which must be new or empty."""
    merge: bool = False
    """Merge LoRA adapters into whole models."""
    checkpoint: str | None = None
    """Which checkpoint, e.g. update-00000010. Default: the newest."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


def main(arguments: Sequence[str]) -> int:
    command = parse(ExportCommand, "export", arguments)
    # What reads models takes seconds to load: nobody who asks for help or mistypes an option waits for it.
    from collm.serving.export import export_team, team_command

    found = export_team(command.run, command.out, command.merge, command.checkpoint)
    for line in found.notes:
        note(line)
    together = team_command(found.folder, found.cards)
    if command.json:
        folders = [str(found.folder / card.name) for card in found.cards]
        print_json({"team": str(found.folder), "agents": folders, "together": together})
        return 0
    cards = found.cards
    for card in cards:
        print(f"collm serve {found.folder / card.name} --port {8001 + card.agent}    # {card.role}")
    urls = " ".join(f"http://127.0.0.1:{8001 + card.agent}" for card in cards)
    print(f"collm play {cards[0].task} --agents {urls}")
    if together:
        print(f"\nall from one base, with vLLM:\n{together}")
        print(f"collm play {cards[0].task} --agents {' '.join(f'http://127.0.0.1:8000#{card.name}' for card in cards)}")
    uploads = "\n".join(f"hf upload NAME/{found.folder.name}-{card.agent} {found.folder / card.name}" for card in cards)
    print(f"\nto share them on the hub:\n{uploads}")
    return 0
