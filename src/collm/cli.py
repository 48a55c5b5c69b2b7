"""The front door: ``collm COMMAND``. Errors that a person can mend are one message and an exit status, no traceback."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence

COMMANDS = {
    "train": "train a team on a task, or resume a run",
    "eval": "measure the team of a run on held-out problems",
    "baseline": "measure teams that are not trained: raw, parallel, pipeline, discussion",
    "compare": "methods × tasks × seeds on equal budgets, with intervals and a report",
    "report": "one page for a run, for several runs, or for a comparison",
    "play": "watch a team (or the canonical build) play one problem, turn by turn",
    "export": "write the agents of a run to folders of their own",
    "serve": "one exported agent as an OpenAI-compatible endpoint",
    "analyze": "measure bias, variance and cost of the methods' gradients, in a game or with a team",
    "bench": "measure speed, memory and scaling here, alone or in turn with CoMLRL on equal work",
    "tasks": "list the tasks",
    "methods": "list the methods",
    "doctor": "say what this machine can run, and how fast",
    "build-tiny": "make the embedded model again from the tasks' demonstrations",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; returns the exit status: 0, 1 for a failure, 2 for wrong usage, 130 after Ctrl-C."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from collm import __version__

        print(f"collm {__version__}")
        return 0
    return guarded(lambda: _command(arguments[0], arguments[1:]))


def _command(name: str, rest: list[str]) -> int:
    from collm.errors import unknown_name

    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    return int(importlib.import_module(f"collm.commands.{name.replace('-', '_')}").main(rest))


def guarded(work: Callable[[], int]) -> int:
    """Do what a process is for and return its exit status; errors that a person can mend are one message."""
    from collm.errors import CollmError, TaskError

    try:
        status = work()
        sys.stdout.flush()
        return status
    except CollmError as error:
        if isinstance(error, TaskError) and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        print(f"collm: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("collm: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"collm: {error}", file=sys.stderr)
        return 1


def usage() -> str:
    """The list of commands."""
    lines = [f"  {name:<11} {text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: collm COMMAND [options]   (collm COMMAND --help for its options)", "", *lines])
