"""``collm doctor``: what this machine can run, and how fast."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from collm.commands.common import parse, print_json


@dataclasses.dataclass(frozen=True)
class DoctorCommand:
    """Say what this machine can run, and measure how fast it plays and learns with the quick preset."""

    json: bool = False
    """Print exactly one JSON object on standard output."""


def main(arguments: Sequence[str]) -> int:
    command = parse(DoctorCommand, "doctor", arguments)
    # What measures takes seconds to load: nobody who asks for help or mistypes an option waits for it.
    from collm.commands.doctor_report import speed, this_machine

    report = {**this_machine(), **speed()}
    if command.json:
        print_json(report)
        return 0
    for name, value in report.items():
        print(f"{name.replace('_', ' '):<24} {value}")
    print(f"\nready: collm train str-build --preset quick   (about {report['quick_preset_minutes']} minutes here)")
    return 0
