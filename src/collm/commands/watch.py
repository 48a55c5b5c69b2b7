"""An episode as people want it: on the terminal, as a picture, for the game, as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from collm.commands.common import note
from collm.errors import ConfigError
from collm.rollout.path import Episode
from collm.tasks.minecraft.export import check_path, export
from collm.tasks.protocol import Task, replay


def check_paths(png: Path | None, exported: Path | None) -> None:
    """Raise ConfigError for a file name that cannot be written, before anything is played."""
    if png is not None and png.suffix.lower() != ".png":
        raise ConfigError(f"--png {png}: the name must end in .png.")
    if exported is not None:
        check_path(exported)


def write(task: Task, episode: Episode, png: Path | None, exported: Path | None) -> None:
    """Write the outcome to those files that were asked for."""
    if png is not None:
        _write_picture(task, episode, png)
    if exported is not None:
        _write_export(task, episode, exported)


def show(task: Task, episode: Episode) -> None:
    """Print the episode: at each turn what the agents wrote, side by side, and what stands then."""
    console = Console(highlight=False)
    problem = episode.job.problem
    console.rule(f"{task.name} · {problem.id}")
    for turn, actions in enumerate(episode.actions):
        width = max(24, (console.width - 2) // len(actions) - 1)
        panels = [
            Panel(Text(action or "(nothing)"), title=f"agent {agent}", width=width)
            for agent, action in enumerate(actions)
        ]
        console.print(Text(f"turn {turn + 1} of at most {task.turns}", style="bold"))
        console.print(Columns(panels, padding=(0, 1)))
        state = replay(task, problem, episode.actions[: turn + 1], episode.seed).state
        rewards = ", ".join(f"{reward:+.3f}" for reward in dict.fromkeys(episode.rewards[turn]))
        console.print(Text.from_ansi(task.as_text(problem, state)))
        console.print(f"reward {rewards} · final so far {task.final(problem, state):.3f}\n")
    components = task.components(problem, episode.state)
    console.print("  ".join(f"{name} {value:.2f}" for name, value in components.items()))
    score, paper = task.score(problem, episode.state), task.paper_score(problem, episode.state)
    console.print(Text(f"score {score:.1f} of 100 · paper score {paper:.1f}", style="bold"))


def _write_picture(task: Task, episode: Episode, path: Path) -> None:
    image = task.picture(episode.job.problem, episode.state)
    if image is None:
        raise ConfigError(f"the task '{task.name}' has no pictures; leave --png out.")
    try:
        image.save(path)
    except OSError as error:
        raise ConfigError(
            f"--png {path} cannot be written: {error.strerror or error}. Name a folder that exists."
        ) from error
    note(f"wrote {path}")


def _write_export(task: Task, episode: Episode, path: Path) -> None:
    blocks = task.as_blocks(episode.job.problem, episode.state)
    if blocks is None:
        raise ConfigError(f"the task '{task.name}' builds nothing in blocks; leave --export out.")
    export(blocks, path)
    note(f"wrote {path}")


def record(task: Task, episode: Episode) -> dict[str, Any]:
    """What was done and what it was worth."""
    problem, state = episode.job.problem, episode.state
    return {
        "task": task.name,
        "problem": problem.id,
        "actions": [list(actions) for actions in episode.actions],
        "rewards": [list(rewards) for rewards in episode.rewards],
        "final": task.final(problem, state),
        "score": task.score(problem, state),
        "paper_score": task.paper_score(problem, state),
        "components": dict(task.components(problem, state)),
    }
