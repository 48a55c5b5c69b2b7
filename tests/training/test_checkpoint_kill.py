"""A process killed in the middle of a save leaves a newest checkpoint that loads, whenever it happens."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from collm.training import checkpoint


def save(folder: Path, update: int) -> Path:
    return checkpoint.save(folder, update, {"weight": torch.full((7, 5), float(update))}, {"update": update})


def assert_holds(path: Path, update: int) -> None:
    tensors, state = checkpoint.load(path)
    assert state["update"] == update
    assert (tensors["weight"] == update).all()


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


@pytest.mark.parametrize("update", [1, 2, 3], ids=["going back", "replacing", "adding"])
def test_a_kill_before_any_step_of_a_save_leaves_a_good_newest_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: int
) -> None:
    for fatal in range(1, 100):
        folder = tmp_path / str(fatal)
        save(folder, 1)
        save(folder, 2)
        with monkeypatch.context() as patch:
            _die_before_step(patch, fatal)
            try:
                save(folder, update)
                finished = True
            except Killed:
                finished = False
        newest = checkpoint.latest(folder)
        assert_holds(newest, update if finished else int(newest.name[7:15]))
        assert int(newest.name[7:15]) >= min(2, update)
        save(folder, 4)
        assert sorted(path.name for path in folder.iterdir()) == [
            f"update-{n:08d}" for n in (int(newest.name[7:15]), 4)
        ]
        if finished:
            break
    assert fatal > 8


def _die_before_step(patch: pytest.MonkeyPatch, fatal: int) -> None:
    """Make the ``fatal``-th file operation raise Killed; a deletion is killed half done."""
    count = 0

    def guard(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def guarded(*args: object, **options: object) -> object:
            nonlocal count
            count += 1
            if count == fatal:
                if name == "rmtree":
                    next(Path(str(args[0])).iterdir()).unlink()
                raise Killed
            return original(*args, **options)

        patch.setattr(owner, name, guarded)

    for owner, name in (
        (os, "fsync"),
        (Path, "rename"),
        (Path, "mkdir"),
        (shutil, "rmtree"),
        (checkpoint, "save_file"),
    ):
        guard(owner, name)


_SAVER = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from collm.training import checkpoint

folder = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    paths = checkpoint.available(folder)
    update = int(paths[0].name[7:15]) if paths else 0
    print(os.getpid(), flush=True)
    while True:
        update += random.choice((0, 1))
        tensors = {"weight": torch.full((random.choice((10, 200_000)),), float(update))}
        checkpoint.save(folder, update, tensors, {"update": update})
"""


def test_after_kill_nine_the_newest_checkpoint_always_loads(tmp_path: Path) -> None:
    kills = 8
    saver = subprocess.Popen(
        [sys.executable, "-c", _SAVER, str(tmp_path), str(kills)], stdout=subprocess.PIPE, text=True
    )
    assert saver.stdout is not None
    draw, before = random.Random(0), 0
    for line in (saver.stdout.readline() for _ in range(kills)):
        while not checkpoint.available(tmp_path):
            time.sleep(0.01)
        time.sleep(draw.uniform(0.05, 0.2))
        # Stopped first: what is looked at is what the kill leaves, and no other child runs meanwhile.
        os.kill(int(line), signal.SIGSTOP)
        time.sleep(0.01)
        tensors, state = checkpoint.load(checkpoint.latest(tmp_path))
        assert state["update"] >= before
        assert (tensors["weight"] == state["update"]).all()
        before = state["update"]
        os.kill(int(line), signal.SIGKILL)
    assert saver.wait(timeout=30) == 0
    assert before > 0
    save(tmp_path, before + 1)
    assert not list(tmp_path.glob(".*"))
