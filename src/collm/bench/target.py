"""Seconds of training until a held-out score is first reached: the same task, reward and first model on both sides."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from collm.bench.driver import Side
from collm.bench.plan import Bench
from collm.bench.ratios import Ratio
from collm.bench.side.worker import Record
from collm.bench.workload import Workload
from collm.config import resolve, with_changes
from collm.errors import BenchError
from collm.models.chat import ChatFormat
from collm.models.loading import model_path
from collm.tasks.protocol import Task
from collm.tasks.registry import make_task

_GROWTH = 1.05
"""Held-out problems are played when the clock of training has grown by this, on both sides, off the clock."""
_SHARED = ("task.", "sampling.")
"""Settings of ours that hold for both sides."""
_EPISODES = 8
"""Episodes per update of CoMLRL: its buffer."""


@dataclasses.dataclass(frozen=True)
class Aim:
    """What is to be reached."""

    score: float
    """Mean held-out score, 0 to 100."""
    budget: float
    """Seconds of training after which a side is given up."""
    lrs: tuple[float, ...]
    """Learning rates of CoMLRL, actor and critic alike; its best counts."""
    seeds: tuple[int, ...]
    ours: Mapping[str, Any]
    """Settings of our training over those of the quick preset."""
    problems: int = 96
    """Held-out problems."""


class World:
    """The task behind CoMLRL's callbacks, which ask for it over the pipe: one episode at a time."""

    def __init__(self, task: Task, chat: ChatFormat) -> None:
        self.task, self.chat = task, chat
        self.problems = list(task.problems("train"))

    def __call__(self, ask: Record) -> Record:
        if "begin" in ask:
            if ask["agent"] == 0:
                self.problem = self.problems[ask["begin"] % len(self.problems)]
                start = self.task.reset(self.problem, ask["begin"])
                self.state, self.seen = start.state, start.observations
            return {"text": self._text(self.chat.opening(self.seen[ask["agent"]]))}
        if "act" in ask:
            step = self.task.step(self.problem, self.state, ask["actions"])
            self.state, self.seen = step.state, step.observations or ()
            return {"reward": step.reward, "ended": step.ended}
        return {"texts": [self._text(self.chat.following(observation, None)) for observation in self.seen]}

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.chat.tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False))


def measure(bench: Bench, aim: Aim) -> Record:
    """Our run and CoMLRL's at every seed. At the first seed CoMLRL has all its learning rates; its best goes on."""
    found: Record = {"aim": dataclasses.asdict(aim), "ours": [], "theirs": []}
    lrs = aim.lrs
    with bench.ours() as ours:
        for seed in aim.seeds:
            _load_ours(bench, ours, aim, seed)
            found["ours"].append({"seed": seed, **_reach(bench, ours, aim, lambda: ours.request("round"), ours, None)})
            if bench.python is None:
                continue
            runs = [{"seed": seed, "lr": lr, **_run_theirs(bench, ours, aim, seed, lr)} for lr in lrs]
            found["theirs"] += runs
            lrs = (min(runs, key=_rank)["lr"],)
    if found["theirs"]:
        best = [run for run in found["theirs"] if run["lr"] == lrs[0]]
        found["lr"] = lrs[0]
        found["ratio"] = ratio(found["ours"], best).record()
        found["levels"] = by_level(found)
    return found


def _rank(run: Record) -> tuple[bool, float, float]:
    """Reached before not reached, sooner before later; among those that were given up, the highest score."""
    return run["censored"], run["seconds"] if not run["censored"] else 0.0, -run["best"]


def ratio(ours: Sequence[Record], theirs: Sequence[Record]) -> Ratio:
    """Their seconds over ours, seed by seed. Raises BenchError if our side was given up: there is no bound then."""
    lost = [run["seed"] for run in ours if run["censored"]]
    if lost:
        raise BenchError(
            f"our team did not reach the target within the budget at seeds {lost}, so there is no ratio. Set a lower "
            "--target or a larger --target-budget."
        )
    pairs = tuple(other["seconds"] / mine["seconds"] for mine, other in zip(ours, theirs, strict=True))
    return Ratio(pairs, any(run["censored"] for run in theirs))


def by_level(found: Mapping[str, Any]) -> list[Record]:
    """The ratio at the target and at every tenth point of score below it that a side had to learn for, from the same curves.

    CoMLRL's seconds at a level are those of its fastest learning rate there; where none got there, the ratio is a bound.
    """
    start = max(run["curve"][0]["score"] for run in found["ours"])
    top = found["aim"]["score"]
    rows = []
    for level in [*(10.0 * tenth for tenth in range(-10, 11) if start < 10.0 * tenth < top), top]:
        ours = [_when(run, level) for run in found["ours"]]
        theirs = [
            min((_when(run, level) for run in found["theirs"] if run["seed"] == seed), key=lambda end: (end[1], end[0]))
            for seed in (run["seed"] for run in found["ours"])
        ]
        pairs = tuple(other / mine for (mine, _), (other, _) in zip(ours, theirs, strict=True))
        rows.append(
            {
                "level": level,
                "ours": [seconds for seconds, _ in ours],
                "theirs": [seconds for seconds, _ in theirs],
                **Ratio(pairs, any(censored for _, censored in theirs)).record(),
            }
        )
    return rows


def _when(run: Record, level: float) -> tuple[float, bool]:
    """Seconds until a run first measured a level, and False; or all its seconds, and True."""
    for point in run["curve"]:
        if point["score"] >= level:
            return float(point["seconds"]), False
    return float(run["seconds"]), True


def _load_ours(bench: Bench, ours: Side, aim: Aim, seed: int) -> None:
    ours.request(
        "load",
        name="str-build",
        preset="quick",
        method=Workload().method,
        values={"evaluation": {"every": 0}},
        model="tiny",
        device=bench.device,
        threads=bench.threads,
        changes={**bench.changes, **aim.ours},
        seed=seed,
    )


def _run_theirs(bench: Bench, ours: Side, aim: Aim, seed: int, lr: float) -> Record:
    """One run of CoMLRL's MAAC on the task and at the temperature of ours; its weights go to our evaluator now and then."""
    shared = {key: value for key, value in {**bench.changes, **aim.ours}.items() if key.startswith(_SHARED)}
    config = with_changes(resolve("str-build", preset="quick"), shared)
    task = make_task("str-build", config.task)
    folder = model_path("tiny")
    chat = ChatFormat(AutoTokenizer.from_pretrained(folder))
    world = World(task, chat)
    work = {
        **Workload(
            agents=task.agents, turns=task.turns, tokens=config.sampling.max_new_tokens, episodes=_EPISODES
        ).theirs(),
        **bench.place(folder),
        "dtype": "float32",
        "lr": lr,
        "critic_lr": lr,
        "gamma": task.gamma,
        "temperature": config.sampling.temperature,
        "stop_ids": list(chat.stop_ids),
        "suppress": [chat.tokenizer.pad_token_id],
        "seed": seed,
    }
    with bench.theirs() as theirs:
        assert theirs is not None
        side = theirs
        side.request("load", workload=work, texts=None, threads=bench.threads, device=bench.device)
        return _reach(bench, ours, aim, lambda: side.request("round", world), side, bench.models / "theirs")


def _reach(bench: Bench, judge: Side, aim: Aim, train: Callable[[], Record], side: Side, folder: Path | None) -> Record:
    """Train until the score is reached or the budget is spent; ``judge`` measures the weights in ``folder``, or its own."""

    def score() -> float:
        saved: dict[str, Any] = side.request("save", folder=str(folder)) if folder is not None else {}
        reply = judge.request("evaluate", problems=aim.problems, folders=saved.get("folders"))
        return float(reply["score"])

    clock, env_steps, measured = 0.0, 0, 0.0
    curve = [{"seconds": 0.0, "env_steps": 0, "score": score()}]
    if curve[0]["score"] >= aim.score:
        raise BenchError(f"the raw team scores {curve[0]['score']:.1f} already. Set a --target above that.")
    while curve[-1]["score"] < aim.score and clock < aim.budget:
        reply = train()
        clock, env_steps = clock + reply["seconds"], env_steps + reply["env_steps"]
        if clock >= measured * _GROWTH or clock >= aim.budget:
            measured = clock
            curve.append({"seconds": clock, "env_steps": env_steps, "score": score()})
            bench.say(f"  {side.name}: {clock:.1f} s, {env_steps} env steps, score {curve[-1]['score']:.1f}")
    return {
        "seconds": clock,
        "env_steps": env_steps,
        "best": max(point["score"] for point in curve),
        "censored": curve[-1]["score"] < aim.score,
        "curve": curve,
    }
