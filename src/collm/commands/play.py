"""``collm play TASK``: watch one episode, turn by turn, the agents side by side; ``--agents`` plays with ones elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import tyro

from collm.commands.common import AGENTS, has, parse, peek, print_json, say_notes
from collm.commands.watch import check_paths, record, show, write
from collm.errors import ConfigError
from collm.options import Range
from collm.randomness import integer
from collm.rollout.path import Episode, Job
from collm.rollout.sampling import Sampling
from collm.tasks.protocol import Problem, Task, team_rewards
from collm.tasks.registry import default_options, make_task, task_class

if TYPE_CHECKING:
    from collm.models.policy import Policy

TaskOptions = TypeVar("TaskOptions")


@dataclasses.dataclass(frozen=True)
class PlayCommand(Generic[TaskOptions]):
    """Watch a team play one problem: a run's, the raw model's, or the task's canonical best plan.

    Agents that live elsewhere, each behind its own URL, are another form of it: collm play TASK --agents URL URL --help
    """

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
    if has(arguments, AGENTS):
        from collm.commands import play_remote

        return play_remote.main(arguments)
    command, task, policies, sampling = _parsed(arguments)
    check_paths(command.png, command.export)
    say_notes(task, policies)
    problem = task.problem(command.problem) if command.problem is not None else task.problems("test")[0]
    episode = _play(command, task, problem, policies, sampling)
    write(task, episode, command.png, command.export)
    if command.json:
        print_json(record(task, episode))
    else:
        show(task, episode)
    return 0


def _parsed(arguments: Sequence[str]) -> tuple[PlayCommand[Any], Task, list[Policy], Sampling]:
    run = peek(arguments, "--run")
    names = [argument for argument in arguments[:1] if not argument.startswith("-")]
    if run is not None:
        if peek(arguments, "--team") == "best":
            raise ConfigError("--team best and --run exclude each other.")
        from collm.training.load import load_team

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
    task = make_task(command.task_name, command.task)
    return command, task, _raw(command.model, task.agents) if command.team == "model" else [], Sampling()


def _raw(model: str, agents: int) -> list[Policy]:
    # What plays takes seconds to load: nobody who asks for help, or for the canonical plan, waits for it.
    from collm import machine
    from collm.models.loading import load_raw

    machine.prepare()
    return [load_raw(model)] * agents


def _form(task_options: type) -> type[PlayCommand[Any]]:
    return PlayCommand[task_options]  # type: ignore[valid-type]


def _play(
    command: PlayCommand[Any], task: Task, problem: Problem, policies: list[Policy], sampling: Sampling
) -> Episode:
    if not policies:
        return _best(task, problem)
    from collm.rollout.collector import collect

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
