"""An environment of its own for CoMLRL: made once with the torch that we run, and kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from collm.errors import BenchError

COMLRL = "1.4.3"
CACHE = Path("~/.cache/collm/bench").expanduser()
_ASK = (
    "import importlib.metadata as m, json; "
    "print(json.dumps({n: m.version(n) for n in ('comlrl', 'torch', 'transformers')}))"
)


def find_or_make(given: Path | None, say: Callable[[str], None]) -> Path:
    """The Python of an environment with CoMLRL: the given one, or one in the cache, made if it is not complete.

    Raises BenchError if the given one lacks it or has another torch than ours, or if pip fails.
    """
    if given is not None:
        return _checked(_python(given), given)
    folder = CACHE / f"comlrl-{COMLRL}-torch-{version('torch').split('+')[0]}"
    python = _python(folder)
    if not (folder / "complete").exists():
        say(f"bench: making {folder} with CoMLRL {COMLRL} and torch {version('torch')}, once; this takes some minutes")
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _install(python)
        (folder / "complete").touch()
    return _checked(python, folder)


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _install(python: Path) -> None:
    """torch first, in exactly our version, so that nothing else chooses it; transformers in ours too."""
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    public, _, local = version("torch").partition("+")
    # A build for processors only, or for one CUDA version, has an index of its own; elsewhere the plain version will do.
    index = ["--extra-index-url", f"https://download.pytorch.org/whl/{local}"] if local else []
    try:
        _run([*pip, *index, f"torch=={public}+{local}" if local else f"torch=={public}"])
    except BenchError:
        if not local:
            raise
        _run([*pip, f"torch=={public}"])
    _run([*pip, f"torch=={public}", f"comlrl=={COMLRL}", f"transformers=={version('transformers')}"])


def _run(command: list[str]) -> None:
    found = subprocess.run(command, capture_output=True, text=True)
    if found.returncode:
        lines = [line for line in found.stderr.splitlines() if line.strip()]
        said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no message")
        raise BenchError(
            f"CoMLRL {COMLRL} could not be installed: `{' '.join(command[1:])}` said: {said} "
            f"Where there is no network, make an environment elsewhere and give it with --env PATH."
        )


def _checked(python: Path, folder: Path) -> Path:
    """The Python if its environment has what is measured. Raises BenchError otherwise."""
    if not python.exists():
        raise BenchError(f"--env {folder}: there is no {python}. Give the folder of a virtual environment.")
    found = subprocess.run([str(python), "-I", "-c", _ASK], capture_output=True, text=True)
    if found.returncode:
        last = found.stderr.strip().splitlines()[-1:]
        raise BenchError(f"{folder} lacks something: {' '.join(last)}. Needed: comlrl {COMLRL}, torch, transformers.")
    has = json.loads(found.stdout)
    ours = version("torch").split("+")[0]
    if has["comlrl"] != COMLRL or has["torch"].split("+")[0] != ours:
        raise BenchError(
            f"{folder} has comlrl {has['comlrl']} and torch {has['torch']}; needed are {COMLRL} and {ours}, so that both "
            "sides compute with the same library."
        )
    return python
