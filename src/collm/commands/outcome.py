"""What a person sees at the end of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_ROWS = (("final", "final", ".2f", 1.0), ("iou", "IoU %", ".1f", 100.0), ("score", "score", ".1f", 1.0))


def print_summary(summary: dict[str, Any]) -> None:
    """Raw, trained, difference, and where the pictures are."""
    console = Console(highlight=False)
    raw, trained = summary["raw"], summary["trained"]
    table = Table(title=f"{summary['problems']} held-out problems, seed {summary['seed']}", title_justify="left")
    headings = ("", f"raw ({raw['decoding']})", f"trained ({trained['decoding']})", "difference", "95 % interval")
    for heading in headings:
        table.add_column(heading, justify="left" if not heading else "right")
    for key, label, form, scale in _ROWS:
        if key in raw:
            a, b = scale * raw[key], scale * trained[key]
            low, high = (format(scale * end, f"+{form}") for end in summary["changes"][key]["ci95"])
            table.add_row(label, format(a, form), format(b, form), format(b - a, f"+{form}"), f"{low} to {high}")
    for agent, (a, b) in enumerate(zip(raw["contribution"], trained["contribution"], strict=True)):
        table.add_row(f"contribution {agent}", f"{a:.2f}", f"{b:.2f}", f"{b - a:+.2f}", "")
    console.print(table)
    console.print("Intervals: paired bootstrap over problems. They describe this trained team, not the method.")
    for caveat in summary["caveats"]:
        console.print(f"Note: {caveat}", markup=False)
    console.print(f"{summary['env_steps']} env steps in {summary['seconds']:.0f} s of training")
    run = Path(summary["run"])
    for name in ("before_after.png", "curves.png", "samples", "summary.json"):
        if (run / name).exists():
            console.print(f"  {run / name}", soft_wrap=True)
    console.print(f"watch them: collm play {summary['task']} --run {run}", soft_wrap=True)
