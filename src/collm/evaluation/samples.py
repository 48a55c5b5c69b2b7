"""Sample episodes for people: what every agent saw and wrote, as text, and what came of it, as a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from collm.rollout.path import Episode
from collm.rollout.referee import inside_task
from collm.tasks.minecraft.render import side_by_side
from collm.tasks.protocol import Task

_LONGEST_NAME = 100
"""Characters of a problem's id in the name of its file."""


def transcript(task: Task, episode: Episode) -> str:
    """The episode as plain text, turn by turn and agent by agent."""
    problem, state = episode.job.problem, episode.state
    lines = [f"problem {problem.id}", f"final {task.final(problem, state):.3f}, score {task.score(problem, state):.1f}"]
    for turn, actions in enumerate(episode.actions):
        for agent, action in enumerate(actions):
            lines.append(f"\n=== turn {turn}, agent {agent}: sees")
            lines += [f"[{message.role}] {message.content}" for message in episode.observations[turn][agent]]
            lines += [f"--- turn {turn}, agent {agent}: writes", action]
        lines.append(f"\n=== turn {turn}: rewards {', '.join(f'{reward:.3f}' for reward in episode.rewards[turn])}")
    return "\n".join(lines) + "\n"


def write_samples(task: Task, episodes: Sequence[Episode], folder: Path) -> None:
    """Write ``NAME.txt`` and, where the task has pictures, ``NAME.png`` for every episode."""
    folder.mkdir(parents=True, exist_ok=True)
    for episode in episodes:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", episode.job.problem.id)[:_LONGEST_NAME]
        (folder / f"{name}.txt").write_text(transcript(task, episode))
        with inside_task(task, episode.job.problem, len(episode.actions)):
            image = task.picture(episode.job.problem, episode.state)
        if image is not None:
            image.save(folder / f"{name}.png")


def before_after(task: Task, before: Episode, after: Episode, path: Path) -> bool:
    """Draw one problem before and after training side by side; False if the task has no pictures."""
    problem = before.job.problem
    pictures = [task.picture(problem, episode.state) for episode in (before, after)]
    if any(picture is None for picture in pictures):
        return False
    titles = [
        f"{name} training: score {task.score(problem, episode.state):.0f}"
        for name, episode in (("before", before), ("after", after))
    ]
    side_by_side(pictures, titles).save(path)  # type: ignore[arg-type]
    return True
