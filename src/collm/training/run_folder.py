"""The folder of a run: what it holds, who may begin one and who may write to it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from collm.errors import ConfigError, RunExistsError
from collm.training.files import sync_folder, write_durably
from collm.training.metrics import to_json

CONFIG = "config.yaml"
LOCK = ".lock"
"""The file that whoever writes to the folder holds."""


class RunFolder:
    """One run on the disk. Make it with :meth:`create` for a new run or :meth:`open` for an existing one."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: Path, task: str = "TASK") -> RunFolder:
        """Begin a run in ``path``, which must not exist or hold no file.

        ``task`` is only for the message. Raises RunExistsError with the two ways on if the folder is in use,
        or if a file has this name.
        """
        run = cls(path)
        if run.path.exists() and not run.path.is_dir():
            raise RunExistsError(is_a_file(run.path))
        if run._is_used():
            raise RunExistsError(run._refusal(task))
        make_folder(run.path)
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run; raises ConfigError if ``path`` is not one."""
        run = cls(path)
        if not run.path.is_dir():
            raise ConfigError(f"{path}: there is no such run folder.")
        if not run.config_path.is_file():
            raise ConfigError(f"{path} is not a run folder: it has no {CONFIG}.")
        return run

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.path / CONFIG

    @property
    def metrics_path(self) -> Path:
        """One record per update."""
        return self.path / "metrics.jsonl"

    @property
    def raw_path(self) -> Path:
        """What the team scored before training."""
        return self.path / "raw.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> Path:
        """The folder of sample episodes, as text and pictures."""
        return self.path / "samples"

    @property
    def curves_path(self) -> Path:
        """The learning curves."""
        return self.path / "curves.png"

    @property
    def before_after_path(self) -> Path:
        """One problem before and after training."""
        return self.path / "before_after.png"

    @property
    def summary_path(self) -> Path:
        """The outcome: raw, trained and the difference."""
        return self.path / "summary.json"

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the resolved configuration, which makes the folder a run that :meth:`open` accepts."""
        self.checkpoints.mkdir(exist_ok=True)
        self.samples.mkdir(exist_ok=True)
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        write_atomically(self.config_path, text.encode())

    def read_config(self) -> dict[str, Any]:
        """The configuration as it was written; raises ConfigError if the file cannot be read as one."""
        try:
            config = yaml.safe_load(self.config_path.read_bytes())
        except FileNotFoundError:
            raise ConfigError(f"{self.path} is not a run folder: it has no {CONFIG}.") from None
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.config_path} is not valid YAML: {error}") from None
        if not isinstance(config, dict):
            raise ConfigError(f"{self.config_path}: expected keys and values, found {type(config).__name__}.")
        return config

    def write_json(self, name: str, mapping: Mapping[str, Any]) -> Path:
        """Write the file ``name`` of this run, whole or not at all; non-finite numbers become null."""
        path = self.path / name
        write_atomically(path, to_json(mapping, indent=2).encode() + b"\n")
        return path

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run while writing to it. The lock dies with the process, however it ends.

        Raises RunExistsError, naming the other process, if someone else holds it.
        """
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunExistsError(self._held_message(os.pread(descriptor, 32, 0).decode())) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            # The file stays after release: were it removed, two processes could lock two files of one name.
            yield
        finally:
            os.close(descriptor)

    def _held_message(self, holder: str) -> str:
        who = f"process {holder}" if holder else "another process"
        return f"{self.path} is being written by {who}. Wait for it to end, or stop it, before going on here."

    def _is_used(self) -> bool:
        # A process killed before it wrote anything leaves the lock and perhaps empty folders: no run yet.
        return any(entry.name != LOCK and not entry.is_dir() for entry in self.path.rglob("*"))

    def _refusal(self, task: str) -> str:
        another = f"--out {next_free(self.path)}"
        if not self.config_path.is_file():
            return f"{self.path} exists and is not empty. Begin the run under another name: {another}"
        return (
            f"{self.path} holds a run already. Either go on with the run that is there: "
            f"collm train {task} --resume {self.path}\n"
            f"or begin a new one under another name: {another}"
        )


def default_path(task: str, method: str, seed: int) -> Path:
    """A path under ``runs/`` that does not exist yet, named after what the run trains."""
    path = Path("runs") / f"{task}-{method}-seed{seed}"
    return next_free(path) if path.exists() else path


def is_a_file(path: Path) -> str:
    """What to say of a file that stands where a folder is to be made."""
    return f"{path} is a file, not a folder. Name another folder: --out {next_free(path)}"


def make_folder(path: Path, advice: str = "Name another folder: --out runs/NAME") -> Path:
    """Make a folder that a person asked for. Raises ConfigError, with what to do, if that is not possible."""
    if path.exists() and not path.is_dir():
        raise ConfigError(is_a_file(path))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}. {advice}") from error
    if not os.access(path, os.W_OK):
        raise ConfigError(f"{path} cannot be written to. {advice}")
    return path


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """A JSON object that was written whole. Raises ConfigError, with what to do, if it is not one."""
    try:
        found = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}). {advice}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds no JSON object. {advice}")
    return found


def next_free(path: Path) -> Path:
    """A path beside this one, with a number, that does not exist."""
    path = path if path.name else path.resolve()
    number = 2
    while (free := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return free


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    write_durably(partial, data)
    partial.replace(path)
    sync_folder(path.parent)
