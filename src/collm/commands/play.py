"""``collm play TASK``: watch one episode, turn by turn, the agents side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import tyro
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from collm import machine
from collm.commands.common import note, parse, peek, print_json, say_notes
from collm.errors import ConfigError
from collm.models.loading import load_raw
from collm.models.policy import Policy
from collm.options import Range
from collm.randomness import integer
from collm.rollout.collector import Episode, Job, collect
from collm.rollout.sampling import Sampling
from collm.tasks.minecraft.export import check_path, export
from collm.tasks.protocol import Problem, Task, replay, team_rewards
from collm.tasks.registry import default_options, make_task, task_class
from collm.training.load import load_team

TaskOptions = TypeVar("TaskOptions")


@dataclasses.dataclass(frozen=True)
class PlayCommand(Generic[TaskOptions]):
    """Watch a team play one problem: a run's, the raw model's, or the task's canonical best plan."""

    task: TaskOptions
    """The task's own options (those of the run with --run)."""
    task_name: Annotated[str, tyro.conf.Positional] = "str-build"
    """Which task."""
    run: Path | None = None
    """Play the trained team of this run."""
    team: Literal["model", "best"] = "model"
    """Who plays when there is no run: the raw model, or the task's canonical best plan."""
    model: str = "tiny"
    """The raw model."""
    problem: str | None = None
    """Which problem, e.g. a word. Default: the first of the test split."""
    greedy: bool = False
    """Always take the most likely token."""
    seed: Annotated[int, Range(0)] = 0
    """Seed of the sampled decoding."""
    png: Path | None = None
    """Also write the outcome as a picture."""
    export: Path | None = None
    """Also write the outcome for the game: NAME.schem (needs collm[minecraft]) or NAME.mcfunction."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


def main(arguments: Sequence[str]) -> int:
    command, task, policies, sampling = _parsed(arguments)
    if command.png is not None and command.png.suffix.lower() != ".png":
        raise ConfigError(f"--png {command.png}: the name must end in .png.")
    if command.export is not None:
        check_path(command.export)
    say_notes(task, policies)
    problem = task.problem(command.problem) if command.problem is not None else task.problems("test")[0]
    episode = _play(command, task, problem, policies, sampling)
    if command.png is not None:
        _write_picture(task, episode, command.png)
    if command.export is not None:
        _write_export(task, episode, command.export)
    if command.json:
        print_json(_record(task, episode))
    else:
        show(task, episode)
    return 0


def _parsed(arguments: Sequence[str]) -> tuple[PlayCommand[Any], Task, list[Policy], Sampling]:
    run = peek(arguments, "--run")
    names = [argument for argument in arguments[:1] if not argument.startswith("-")]
    if run is not None:
        if peek(arguments, "--team") == "best":
            raise ConfigError("--team best and --run exclude each other.")
        config, task, policies = load_team(Path(run))
        if names and names[0] != config.task_name:
            raise ConfigError(f"the run {run} plays '{config.task_name}', not '{names[0]}'.")
        default = PlayCommand(task=config.task, task_name=config.task_name)
        command = parse(_form(type(config.task)), "play", arguments, default)
        if command.task != config.task:
            raise ConfigError("--task.* cannot be used with --run: a team plays the task it was trained on.")
        return command, task, policies, config.sampling
    name = names[0] if names else "str-build"
    own = default_options(name)
    command = parse(_form(type(own)), "play", arguments, PlayCommand(own, name))
    if command.task_name != name:
        task_class(command.task_name)
        raise ConfigError(f"name the task first: collm play {command.task_name} …")
    machine.prepare()
    task = make_task(command.task_name, command.task)
    policies = [load_raw(command.model)] * task.agents if command.team == "model" else []
    return command, task, policies, Sampling()


def _form(task_options: type) -> type[PlayCommand[Any]]:
    return PlayCommand[task_options]  # type: ignore[valid-type]


def _play(
    command: PlayCommand[Any], task: Task, problem: Problem, policies: list[Policy], sampling: Sampling
) -> Episode:
    if not policies:
        return _best(task, problem)
    chosen = sampling.greedy() if command.greedy else sampling
    return collect(task, policies, [Job(problem, 0)], chosen, ("play", command.seed)).episodes[0]


def _best(task: Task, problem: Problem) -> Episode:
    """The canonical plan as an episode."""
    plan = task.best_plan(problem)
    if plan is None:
        raise ConfigError(f"the task '{task.name}' has no canonical plan for {problem.id} under these options.")
    seed = integer("play", "best")
    start = task.reset(problem, seed)
    episode = Episode(Job(problem, 0), seed, start.state, [start.observations])
    for actions in plan:
        step = task.step(problem, episode.state, actions)
        episode.state = step.state
        episode.actions.append(tuple(actions))
        episode.rewards.append(team_rewards(step, task.agents))
        if step.observations is None:
            break
        episode.observations.append(step.observations)
    return episode


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


def _record(task: Task, episode: Episode) -> dict[str, Any]:
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
