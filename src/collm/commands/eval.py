"""``collm eval RUN``: measure the team of a run on held-out problems; ``--agents`` measures one that lives elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from collm.commands.common import AGENTS, has, parse, print_json, say_notes
from collm.errors import ConfigError
from collm.options import Range, check


@dataclasses.dataclass(frozen=True)
class EvalCommand:
    """Measure the team of a run on held-out problems: sampled at the training temperature, and greedy.

    Agents that live elsewhere, each behind its own URL, are another form of it: collm eval TASK --agents URL URL --help
    """

    run: Annotated[Path, tyro.conf.Positional]
    """The run's folder."""
    split: Literal["test", "validation", "train"] = "test"
    """Which problems."""
    problems: Annotated[int, Range(1)] = 128
    """At most this many of them."""
    seed: Annotated[int, Range(0)] = 0
    """Seed of the sampled decoding."""
    checkpoint: str | None = None
    """Which checkpoint, e.g. update-00000010. Default: the newest."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


def main(arguments: Sequence[str]) -> int:
    if has(arguments, AGENTS):
        from collm.commands import eval_remote

        return eval_remote.main(arguments)
    command = parse(EvalCommand, "eval", arguments)
    check(command)
    # What plays takes seconds to load: nobody who asks for help or mistypes an option waits for it.
    from collm.commands.scores import table
    from collm.evaluation.evaluate import evaluate
    from collm.training.load import load_team

    config, task, policies = load_team(command.run, command.checkpoint)
    say_notes(task, policies)
    problems = list(task.problems(command.split))[: command.problems]
    if not problems:
        raise ConfigError(f"the task has no problems in the split '{command.split}'.")
    key, longest = ("eval", command.seed), config.rollout.max_history
    found = [
        evaluate(task, policies, problems, sampling, key, longest)
        for sampling in (config.sampling, config.sampling.greedy())
    ]
    if command.json:
        print_json({"run": str(command.run), "split": command.split, **{e.decoding: e.in_full() for e in found}})
    else:
        Console(highlight=False).print(table(found, f"{len(problems)} {command.split} problems"))
    return 0
