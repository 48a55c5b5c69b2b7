"""Whether agents behind URLs act at the same time: python benchmarks/deployment.py

Trains a short team, exports it, serves both agents as processes of their own, and plays the same words one after the
other under each protocol. What a turn takes is set beside the agents' own times in the same run.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from marked import fill

import collm
from collm.rollout.path import Job
from collm.rollout.protocols import PROTOCOLS
from collm.serving.export import export_team
from collm.serving.remote import Asked, RemoteSettings
from collm.serving.seats import seated

PAGE = Path(__file__).parent.parent / "docs" / "deploy.md"
WORDS = 16


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run, team = Path(folder) / "run", Path(folder) / "team"
        values = {"seed": 0, "env_steps": 1440, "run": {"threads": 1}, "evaluation": {"every": 0, "test_problems": 8}}
        collm.train(collm.resolve("str-build", preset="quick", values=values), run)
        export_team(run, team)
        with served(team) as urls:
            rows = [row(name, turns(run, urls, name)) for name in ("parallel", "pipeline", "discussion")]
    text = "\n".join([_HEAD, *rows])
    PAGE.write_text(fill(PAGE.read_text(), "deployment", text))
    print(text)


_HEAD = (
    "| protocol | a turn, median | the slower agent's own time | both agents' together | turn / slower | turn / both |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: |"
)


@contextlib.contextmanager
def served(team: Path) -> Iterator[list[str]]:
    """Both agents, each with one thread of its own."""
    command = [sys.executable, "-m", "collm", "serve", "--port", "0", "--threads", "1"]
    running = [
        subprocess.Popen([*command, str(team / f"agent_{n}")], stdout=subprocess.PIPE, text=True) for n in range(2)
    ]
    try:
        yield [one.stdout.readline().split()[-1] for one in running if one.stdout]
    finally:
        for one in running:
            one.terminate()
            one.wait()


def turns(run: Path, urls: list[str], protocol: str) -> np.ndarray:
    """(turns, 3): seconds of a turn, of the agent that needed longer, and of both; the first word warms up."""
    config, task, _ = collm.load_team(run)
    found: list[list[float]] = []
    with seated(urls, RemoteSettings(), None) as seats:
        for number, problem in enumerate(task.problems("test")[: WORDS + 1]):
            _, asked = seats.play(PROTOCOLS[protocol], task, [Job(problem, 0)], config.sampling, ("deployment",))
            if number:
                found += [of_turn([one for one in asked if one.turn == turn]) for turn in {one.turn for one in asked}]
    return np.array(found)


def of_turn(asked: list[Asked]) -> list[float]:
    own = [sum(one.ended - one.started for one in asked if one.agent == agent) for agent in range(2)]
    return [max(one.ended for one in asked) - min(one.started for one in asked), max(own), sum(own)]


def row(name: str, found: np.ndarray) -> str:
    turn, slower, both = np.median(found, 0)
    ratios = np.median(found[:, :1] / found[:, 1:], 0)
    return f"| {name} | {turn:.2f} s | {slower:.2f} s | {both:.2f} s | {ratios[0]:.2f} | {ratios[1]:.2f} |"


if __name__ == "__main__":
    main()
