"""One run from beginning to end: measure the raw team, train with checkpoints, measure again, leave pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from collm import machine, options
from collm.config import TrainConfig, from_saved, validated, with_changes
from collm.errors import CheckpointError, CollmError, OutOfMemoryError
from collm.evaluation.evaluate import Evaluation, evaluate
from collm.evaluation.samples import before_after, write_samples
from collm.evaluation.stats import paired_interval
from collm.models.policy import Policy, notes
from collm.rollout.sampling import Sampling
from collm.rules import caveats
from collm.tasks.protocol import Problem, Task
from collm.training import checkpoint
from collm.training.display import Display, SilentDisplay
from collm.training.loop import Trainer
from collm.training.metrics import MetricsLog, read
from collm.training.run_folder import RunFolder
from collm.training.setup import Parts, assemble
from collm.training.state import gather, memory_of, restore
from collm.training.team import untrained
from collm.training.trackers import group

SHOWN = ("final", "iou", "score", "contribution")
"""What is reported of a team before and after training (``iou`` where the task has it)."""
_SAMPLES = 6


class Interrupted(Exception):
    """The person asked to stop; the run was saved."""

    def __init__(self, run: Path) -> None:
        super().__init__(str(run))
        self.run = run


def train(
    config: TrainConfig[Any], out: Path | str, display: Display | None = None, task: Task | None = None
) -> dict[str, Any]:
    """Train a new run in folder ``out`` and return its summary. A task that is an object and no name is given as ``task``.

    Raises ConfigError if a tracker cannot be used, RunExistsError if the folder is in use, TaskError for an exception inside
    the task, DivergedError after several non-finite updates, Interrupted after Ctrl-C; whatever was learned is saved first.
    """
    group.require(config.run.trackers)
    folder = RunFolder.create(Path(out), config.task_name)
    with folder.lock():
        threads = machine.prepare(config.run.device, config.run.threads)
        config = dataclasses.replace(config, run=dataclasses.replace(config.run, threads=threads))
        parts = assemble(config, task)
        folder.write_config(options.to_mapping(config))
        return _Run(config, parts, folder, display or SilentDisplay()).to_the_end()


def resume(
    out: Path | str,
    display: Display | None = None,
    name: str | None = None,
    task: Task | None = None,
    trackers: Sequence[str] | None = None,
    project: str | None = None,
) -> dict[str, Any]:
    """Continue a run from its newest checkpoint, or from the one called ``name``; otherwise as ``train``.

    ``trackers`` and ``project`` replace those in the run's configuration, where they are given; a finished run is sent to
    them in whole. Raises CheckpointError if the checkpoint is damaged, naming the previous good one.
    """
    folder = RunFolder.open(Path(out))
    with folder.lock():
        saved = from_saved(folder.read_config(), task)
        config = _shown_in(saved, trackers, project)
        group.require(config.run.trackers)
        if config != saved:
            folder.write_config(options.to_mapping(config))
        machine.prepare(config.run.device, config.run.threads)
        run = _Run(config, assemble(config, task), folder, display or SilentDisplay())
        run.restore(name)
        return run.to_the_end()


def _shown_in(config: TrainConfig[Any], trackers: Sequence[str] | None, project: str | None) -> TrainConfig[Any]:
    """The configuration with other trackers, or another project."""
    given = {"run.trackers": trackers, "run.project": project}
    return validated(with_changes(config, {key: value for key, value in given.items() if value is not None}))


class _Run:
    """A trainer with its folder, log, trackers and display."""

    def __init__(self, config: TrainConfig[Any], parts: Parts, folder: RunFolder, display: Display) -> None:
        self.config, self.parts, self.folder, self.display = config, parts, folder, display
        self.trainer = Trainer(config, parts)
        self.log = MetricsLog(folder.metrics_path)
        self.trackers = group.Trackers(config, folder, display.note)
        self.saved_at = -1
        self.played = False  # whether a team was measured in this process

    def restore(self, name: str | None) -> None:
        """Put the run back to a checkpoint; a run that was stopped before its first one begins again."""
        if name is None and not checkpoint.available(self.folder.checkpoints):
            self.log.truncate(0)
            if memory_of(self.parts.task) is not None:  # what was met while measuring is not known here
                self.folder.raw_path.unlink(missing_ok=True)
            return
        path = (
            self.folder.checkpoints / name
            if name is not None
            else checkpoint.latest(self.folder.checkpoints, str(self.folder.path))
        )
        tensors, state = checkpoint.load(path)
        if state["model"] != self.parts.model_hash:
            raise CheckpointError(
                f"{path} was trained from the model {state['model']}, but '{self.config.model}' is now "
                f"{self.parts.model_hash}. Put the old model back, or begin a new run."
            )
        progress = self.trainer.progress
        restore(self.parts.learner, progress, self.parts.task, tensors, state)
        checkpoint.discard_after(self.folder.checkpoints, progress.update)
        self.log.truncate(int(state["metrics_offset"]))
        records = read(self.folder.metrics_path)
        progress.seconds = records[-1]["time"]["seconds"] if records else 0.0
        self.saved_at = progress.update

    def to_the_end(self) -> dict[str, Any]:
        """Measure, train what is left of the budget, measure, and write the summary."""
        for line in [*self.parts.task.notes(), *notes(self.parts.policies)]:
            self.display.note(line)
        with contextlib.closing(self.parts.engine), contextlib.closing(self.trackers):
            raw = self._raw()
            shown = {decoding: _shown(measured) for decoding, measured in raw.items()}
            self.trackers.begin(shown, read(self.folder.metrics_path))
            with _stop_request() as stop:
                self._train(raw, stop)
            return self._summarise(raw)

    def _raw(self) -> dict[str, Any]:
        """The untrained team on the test problems; measured once and kept."""
        path = self.folder.raw_path
        if path.is_file():
            with contextlib.suppress(json.JSONDecodeError):
                return dict(json.loads(path.read_text()))
        self.display.note("measuring the raw team on held-out problems …")
        fresh = self._untrained() if self.trainer.progress.update else self.parts.policies
        measured = {e.decoding: _kept(e) for e in self._evaluations(fresh, "before")}
        self.folder.write_json(path.name, measured)
        return measured

    def _untrained(self) -> list[Policy]:
        return untrained(self.config, self.parts.policies)

    def _evaluations(self, policies: list[Policy], when: str) -> Iterator[Evaluation]:
        """Sampled, then greedy, on the test problems; samples of the first are written."""
        config, task = self.config, self.parts.task
        problems = list(task.problems("test"))[: config.evaluation.test_problems]
        if not self.played:  # the first call of a process is slow, and is not what play takes
            self._measure(policies, problems[:1], config.sampling)
            self.played = True
        for sampling in (config.sampling, config.sampling.greedy()):
            evaluation = self._measure(policies, problems, sampling)
            if evaluation.decoding == "sampled":
                write_samples(task, evaluation.episodes[:_SAMPLES], self.folder.samples / when)
            yield evaluation

    def _measure(self, policies: list[Policy], problems: Sequence[Problem], sampling: Sampling) -> Evaluation:
        config, parts = self.config, self.parts
        key, longest = ("test", config.seed), config.rollout.max_history
        return evaluate(parts.task, policies, problems, sampling, key, longest, parts.engine)

    def _train(self, raw: dict[str, Any], stop: list[bool]) -> None:
        trainer, progress = self.trainer, self.trainer.progress
        title = f"{self.config.task_name} · {self.config.method} · seed {self.config.seed}"
        self.display.start(title, self.config.env_steps, progress.env_steps)
        self.display.update({"raw": {"score": raw["sampled"]["score"], "return": raw["sampled"]["return"]}})
        try:
            while not trainer.finished:
                record = self._step()
                self.log.append(record)
                self.trackers.record(record)
                self.display.update(record)
                stopping = stop[0]
                due = progress.update % self.config.run.checkpoint_every == 0
                if due or trainer.finished or stopping:
                    self._save()
                if stopping and not trainer.finished:
                    raise Interrupted(self.folder.path)
                self._check_health()
        finally:
            self.display.finish()

    def _check_health(self) -> None:
        try:
            self.trainer.check_health()
        except CollmError:
            self._save()
            raise

    def _step(self) -> dict[str, Any]:
        try:
            return self.trainer.step()
        except OutOfMemoryError as error:
            # Memory may run out in the middle of an update, so the team is not what any update left.
            raise OutOfMemoryError(
                f"{error} Then go on from the last checkpoint, with the new settings in {self.folder.path}/config.yaml: "
                f"collm train --resume {self.folder.path}"
            ) from error
        except CollmError:
            # A step runs the task's code before it learns, so the team is as the last update left it.
            self._save()
            raise

    def _save(self) -> None:
        progress = self.trainer.progress
        if progress.update == self.saved_at:
            return
        tensors, state = gather(self.parts.learner, progress, self.parts.task)
        state |= {"metrics_offset": self.log.sync(), "model": self.parts.model_hash}
        checkpoint.save(self.folder.checkpoints, progress.update, tensors, state, self.config.run.keep)
        self.saved_at = progress.update

    def _summarise(self, raw: dict[str, Any]) -> dict[str, Any]:
        self.display.note("measuring the trained team on the same problems …")
        trained = {e.decoding: _kept(e) for e in self._evaluations(self.parts.policies, "after")}
        better = max(raw.values(), key=lambda measured: float(measured["score"]))
        after = trained["sampled"]
        changes = {
            name: np.array(after["per_problem"][name]) - np.array(better["per_problem"][name])
            for name in after["per_problem"]
        }
        differences = changes["score"]
        progress = self.trainer.progress
        summary = {
            "run": str(self.folder.path),
            "task": self.config.task_name,
            "method": self.config.method,
            "preset": self.config.preset,
            "seed": self.config.seed,
            "model": self.config.model,
            "model_hash": self.parts.model_hash,
            "updates": progress.update,
            "env_steps": progress.env_steps,
            "seconds": round(progress.seconds, 3),
            "problems": len(differences),
            "raw": _shown(better),
            "trained": _shown(after),
            "improvement": _change(differences),
            "changes": {name: _change(values) for name, values in changes.items()},
            "improvement_describes": "this trained team, over held-out problems; not the method, whose unit is the seed",
            "caveats": [*caveats(self.config), *_left_out(read(self.folder.metrics_path))],
            "notes": [*self.parts.task.notes(), *notes(self.parts.policies)],
            "raw_decodings": {name: _shown(measured) for name, measured in raw.items()},
            "trained_decodings": {name: _shown(measured) for name, measured in trained.items()},
            "skipped_steps": self.parts.learner.skipped,
        }
        self.folder.write_json("trained.json", trained)
        self.folder.write_json("summary.json", summary)
        self._pictures(raw, trained)
        self.trackers.outcome(summary, (self.folder.before_after_path, self.folder.curves_path))
        return summary

    def _pictures(self, raw: dict[str, Any], trained: dict[str, Any]) -> None:
        """The curves, and one problem before and after: the one nearest to the mean scores of both teams."""
        from collm.evaluation.curves import draw_curves  # plotting takes a second to import: not before it is needed

        title = f"{self.config.task_name}, {self.config.method}, seed {self.config.seed}"
        line = {"env_steps": 0, "raw": {"score": raw["sampled"]["score"], "return": raw["sampled"]["return"]}}
        draw_curves([line, *read(self.folder.metrics_path)], self.folder.curves_path, title)
        task, config = self.parts.task, self.config
        scores = np.array([team["sampled"]["per_problem"]["score"] for team in (raw, trained)])
        typical = int(np.abs(scores - scores.mean(1, keepdims=True)).sum(0).argmin())
        problem = [task.problems("test")[typical]]
        after = self._measure(self.parts.policies, problem, config.sampling).episodes[0]
        before = self._measure(self._untrained(), problem, config.sampling).episodes[0]
        before_after(task, before, after, self.folder.before_after_path)


def _kept(evaluation: Evaluation) -> dict[str, Any]:
    """A summary with what is compared problem by problem."""
    per_problem = {name: evaluation.rows[name].tolist() for name in SHOWN if name in evaluation.rows}
    return {**evaluation.summary(), **evaluation.cost.summary(), "per_problem": per_problem}


def _left_out(records: list[dict[str, Any]]) -> list[str]:
    """What to say if returns were not known."""
    share = float(np.mean([record["advantage"]["left_out"] for record in records]))
    if share == 0:
        return []
    return [
        f"{share:.0%} of the responses did not learn, because their return was cut from outside, which favours episodes "
        "that end early. A larger rollout.max_history, or a smaller sampling.max_new_tokens, cuts fewer."
    ]


def _change(differences: np.ndarray) -> dict[str, Any]:
    return {"mean": float(differences.mean()), "ci95": list(paired_interval(differences))}


def _shown(measured: dict[str, Any]) -> dict[str, Any]:
    names = ("decoding", "return", *SHOWN, "paper_score", "paper", "hardened", "score_paper", "score_hardened", "valid")
    return {name: measured[name] for name in names if name in measured}


@contextlib.contextmanager
def _stop_request() -> Iterator[list[bool]]:
    """A flag that the first Ctrl-C (or SIGTERM) raises; the second Ctrl-C interrupts at once."""
    stop = [False]

    def ask(number: int, frame: Any) -> None:
        if stop[0] and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop[0] = True
        print("\nfinishing this update, then saving (Ctrl-C again stops at once) …", file=sys.stderr)

    try:
        old = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals are somebody else's
        yield stop
        return
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
