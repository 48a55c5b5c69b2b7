"""``collm bench``: what training costs on this machine, and with ``--vs comlrl`` what it costs with CoMLRL."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from rich.console import Console

from collm import machine, options
from collm.analysis.folder import begin, write_tables
from collm.bench import limits, memory, rates, sweeps, target
from collm.bench.environment import COMLRL, find_or_make
from collm.bench.models import SHAPES
from collm.bench.plan import Bench
from collm.bench.report import draw, summary, tables
from collm.bench.side.worker import Record
from collm.commands.common import note, parse, print_json
from collm.config import resolve, with_changes
from collm.errors import ConfigError, unknown_name
from collm.options import Range
from collm.training.metrics import to_json

Part = Literal["limits", "rates", "memory", "sweeps", "target"]
Growth = Literal["agents", "turns", "tokens", "episodes"]
Work = Literal["maac_default", "maac_same_update", "iac", "magrpo"]


@dataclasses.dataclass(frozen=True)
class BenchCommand:
    """Measure speed, memory and scaling of training; with --vs comlrl in turn with CoMLRL on equal work."""

    vs: Literal["comlrl"] | None = None
    """Measure this library too, in an environment of its own, which is made once."""
    parts: tuple[Part, ...] = ("limits", "rates", "memory", "sweeps", "target")
    """What to measure: the machine's limits; rates on equal work; peak memory; growth with agents, turns, length and
    batch; time until a held-out score."""
    methods: tuple[Work, ...] = ("maac_default", "maac_same_update", "iac", "magrpo")
    """The works of --parts rates: MAAC with 96 and with 8 episodes per update, IAC, MAGRPO in trees."""
    rounds: Annotated[int, Range(1, 1000)] = 5
    """Updates of each side, in turn, after one to warm up."""
    quick: bool = False
    """Small sizes: a look in a minute or two, not a result."""
    shape: str = "0.8M"
    """The model of rates and sweeps: 0.8M, 100M, Qwen3-0.6B, Qwen3-1.7B or Qwen3-4B, with random weights."""
    memory_shape: str = "100M"
    """The model of --parts memory."""
    ours: tuple[str, ...] = ()
    """Settings of our trainings as KEY=VALUE, e.g. run.token_budget=8192."""
    sweeps: tuple[Growth, ...] = ("agents", "turns", "tokens", "episodes")
    """What grows in --parts sweeps."""
    sweep_theirs: bool = False
    """Sweep CoMLRL too (hours on two cores)."""
    target: Annotated[float, Range(-100, 100)] = 80.0
    """The held-out score of --parts target: StrBuild, quick preset, which begins near 35. Times to the tens below it stand
    beside."""
    target_budget: Annotated[float, Range(0, open_low=True)] = 240.0
    """Seconds of training after which a run is given up; the ratio is then a lower bound."""
    target_lrs: tuple[Annotated[float, Range(0, 1, open_low=True)], ...] = (3e-4, 1e-4)
    """Learning rates that CoMLRL is tried with at the first seed; its best counts."""
    target_ours: tuple[str, ...] = ()
    """Settings of our training in --parts target as KEY=VALUE, over the quick preset's."""
    target_seeds: tuple[Annotated[int, Range(0)], ...] = (0, 1)
    """Seeds of --parts target."""
    threads: Annotated[int, Range(1, 1024)] | None = None
    """Processor threads of either side; by default what torch finds."""
    device: str = "cpu"
    """Where both sides have their models: cpu, or cuda."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """The weights of CoMLRL's models: float32 on a cpu and bfloat16 on cuda, unless this says otherwise."""
    env: Path | None = None
    """An environment that has CoMLRL, instead of one made in ~/.cache/collm/bench."""
    out: Path | None = None
    """The folder of results; a stopped benchmark goes on with the same one. By default a new one under runs/."""
    json: bool = False
    """Print exactly one JSON object on standard output."""


def main(arguments: Sequence[str]) -> int:
    command = parse(BenchCommand, "bench", arguments)
    options.check(command)
    changes, target_changes = _checked(command)
    threads = machine.prepare(command.device, command.threads)
    python = find_or_make(command.env, note) if command.vs else None
    settings = {**_settings(command), "threads": threads}
    out = begin(command.out or _free(), settings)
    note(f"bench: writing {out}" + ("; --quick: a look, not a result" if command.quick else ""))
    cuda = command.device.startswith("cuda")
    dtype = ("bfloat16" if cuda else "float32") if command.dtype == "auto" else command.dtype
    with tempfile.TemporaryDirectory() as models:
        bench = Bench(
            out, Path(models), python, command.device, threads, dtype, changes, command.rounds, command.quick, note
        )
        try:
            results = dict(_results(command, bench, target_changes))
        except KeyboardInterrupt:
            note(f"bench: stopped. The same command with --out {out} goes on where it was.")
            return 130
    found = summary(settings, results)
    figures = draw(results, out)
    shown = tables(found)
    write_tables(out, shown)
    (out / "bench.json").write_text(to_json(found) + "\n")
    if command.json:
        print_json(found)
        return 0
    console = Console(highlight=False)
    for table in shown:
        table.show(console)
    console.print(f"{out}/bench.json, table.md{''.join(f', {figure.name}' for figure in figures)}")
    return 0


def _checked(command: BenchCommand) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of --ours and of --target-ours. Raises ConfigError for what means nothing."""
    for shape in (command.shape, command.memory_shape):
        if shape not in SHAPES:
            raise unknown_name("shape", shape, SHAPES)
    for name, given in (("--env", command.env is not None), ("--sweep-theirs", command.sweep_theirs)):
        if given and not command.vs:
            raise ConfigError(f"{name} means something only with --vs comlrl.")
    for name in ("parts", "methods", "sweeps", "target_lrs", "target_seeds"):
        if not getattr(command, name):
            raise ConfigError(f"--{name.replace('_', '-')} names none.")
    return _changes("--ours", command.ours), _changes("--target-ours", command.target_ours)


def _changes(flag: str, given: Sequence[str]) -> dict[str, Any]:
    """Settings from KEY=VALUE. Raises ConfigError for anything else."""
    changes = {}
    for text in given:
        key, found, value = text.partition("=")
        if not found:
            raise ConfigError(f"{flag} {text}: expected KEY=VALUE, such as run.token_budget=8192.")
        changes[key] = yaml.safe_load(value)
    options.check(with_changes(resolve("str-build"), changes))
    return changes


def _settings(command: BenchCommand) -> dict[str, Any]:
    """What results depend on: a folder of results is one of these, whatever parts of them it has yet."""
    left_out = ("parts", "methods", "sweeps", "out", "json", "env", "threads")
    given = {key: value for key, value in dataclasses.asdict(command).items() if key not in left_out}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    return {"bench": "collm", **plain, "comlrl": COMLRL if command.vs else None}


def _free() -> Path:
    number = 1
    while (path := Path("runs") / f"bench-{number}").exists():
        number += 1
    return path


def _results(command: BenchCommand, bench: Bench, target_changes: dict[str, Any]) -> Iterator[tuple[str, Record]]:
    """Every asked part under its name, kept as soon as it is there."""
    quick = command.quick
    if "limits" in command.parts:
        machine_limits = bench.kept("limits", lambda: limits.measure(command.device, bench.threads, quick))
        yield "limits", machine_limits
    if "rates" in command.parts:
        for method in command.methods:
            work = (rates.QUICK if quick else rates.WORKLOADS)[method]
            found = bench.kept(method, lambda work=work: rates.measure(bench, work, command.shape))  # type: ignore[misc]
            if "limits" in command.parts and not work.tree:
                reply = found["ours"]["rounds"][-1]
                found["nearness"] = limits.nearness(machine_limits, work, command.shape, reply)
            yield method, found
    if "memory" in command.parts:
        work = memory.QUICK if quick else memory.WORKLOAD
        yield "memory", bench.kept("memory", lambda: memory.measure(bench, work, command.memory_shape))
    if "sweeps" in command.parts:
        theirs = command.sweep_theirs
        for name in command.sweeps:

            def sweep(name: str = name) -> Record:
                return sweeps.measure(bench, name, sweeps.works(name, command.shape, quick), command.shape, theirs)

            yield f"sweep_{name}", sweeps.with_work(bench.kept(f"sweep_{name}", sweep), quick)
    if "target" in command.parts:
        aim = target.Aim(
            command.target,
            command.target_budget,
            command.target_lrs,
            command.target_seeds,
            target_changes,
            16 if quick else 96,
        )
        yield "target", bench.kept("target", lambda: target.measure(bench, aim))
