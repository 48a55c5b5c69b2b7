"""Checkpoints: safetensors and JSON, never pickle; whole or not there at all; verified before they are used.

A checkpoint is a folder ``update-00000020`` with ``tensors.safetensors``, ``state.json`` and
``manifest.json``, the last with size and SHA-256 of the other two. It is built in a hidden folder, forced to
the disk and renamed into place, so a process killed at any moment leaves the earlier ones as they were.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from collm.errors import CheckpointError
from collm.training.files import sync_folder, write_durably
from collm.training.metrics import to_plain

FORMAT = 1
TENSORS = "tensors.safetensors"
STATE = "state.json"
MANIFEST = "manifest.json"

_NAME = re.compile(r"update-(\d{8,})(\.replaced)?")
_PARTIAL = ".partial"
_DISCARDED = ".discarded"
_REPLACED = ".replaced"
_FLOAT = "$float"


def save(
    folder: Path, update: int, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any], keep: int = 2
) -> Path:
    """Write the checkpoint of ``update`` into ``folder`` and return its path.

    One that exists already under this number is replaced. Afterwards the newest ``keep`` remain; those with a
    higher number go as well (see :func:`discard_after`). ``state`` may hold nested dictionaries, lists,
    strings, booleans, None, integers of any size and floats, NaN and infinities included, which all come back
    exactly; tuples come back as lists, NumPy scalars as Python numbers.

    Raises CheckpointError if the disk does not take it (earlier checkpoints stay), TypeError if ``state``
    holds something that JSON cannot, and ValueError for a ``keep`` below 1 or a negative ``update``.
    """
    if keep < 1 or update < 0:
        raise ValueError(f"keep = {keep} must be at least 1 and update = {update} at least 0.")
    folder = Path(folder)
    path = folder / f"update-{update:08d}"
    partial = folder / f".{path.name}{_PARTIAL}"
    text = json.dumps(to_plain(state, _tag), allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clean(folder)
        _write(partial, update, tensors, text)
        _rename_into_place(partial, path)
        discard_after(folder, update)
        for old in available(folder)[keep:]:
            _remove(old)
    except (OSError, SafetensorError) as error:
        # A full disk is the likely reason, and half a checkpoint would keep it full.
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"{path} could not be written: {error}. Earlier checkpoints in {folder} are as they were."
        ) from error
    return path


def load(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors, on the CPU, and the state of the checkpoint at ``path``, after checking every byte.

    Raises CheckpointError that names the file and says whether it is missing, cut short or altered.
    """
    path = Path(path)
    verify(path)
    try:
        tensors = load_file(path / TENSORS)
        state = json.loads((path / STATE).read_text(encoding="utf-8"), object_hook=_untag)
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error
    return tensors, state


def verify(path: Path) -> None:
    """Raise CheckpointError unless every file of the checkpoint is as it was written."""
    path = Path(path)
    if not path.is_dir():
        others = ", ".join(other.name for other in available(path.parent)) or "none"
        raise CheckpointError(f"{path} is missing. Checkpoints in {path.parent}: {others}.")
    try:
        files = _read_manifest(path / MANIFEST)["files"]
        for name in (TENSORS, STATE):
            _verify_file(path / name, files[name])
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from error


def available(folder: Path) -> list[Path]:
    """The checkpoints in ``folder``, newest first, good or not; none if there is no such folder.

    One that was set aside for its successor and never got one, because the process was killed at that moment,
    counts as what it is: a checkpoint.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found: dict[int, Path] = {}
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and (int(match[1]) not in found or not match[2]):
            found[int(match[1])] = path
    return [found[update] for update in sorted(found, reverse=True)]


def latest(folder: Path, run: str | None = None) -> Path:
    """The newest checkpoint in ``folder``, verified.

    Raises CheckpointError if there is none, and also if the newest is bad: nothing is passed over in silence.
    The error then says what is wrong and how to go on from the newest good one. ``run`` is how the person
    calls the run; by default the folder above.
    """
    folder = Path(folder)
    run = run or str(folder.parent)
    paths = available(folder)
    if not paths:
        raise CheckpointError(
            f"{folder} holds no checkpoint: the run {run} ended before its first save. Begin it again."
        )
    problems = []
    for path in paths:
        try:
            verify(path)
        except CheckpointError as error:
            problems.append(str(error))
        else:
            if problems:
                raise CheckpointError(_offer(paths, problems, path, run))
            return path
    raise CheckpointError(_offer(paths, problems, None, run))


def discard_after(folder: Path, update: int) -> None:
    """Remove the checkpoints of later updates than ``update``.

    They belong to a continuation that was given up by resuming from an earlier one: the metrics they were
    saved with are no longer there. Resuming calls this before it cuts the metrics back.
    """
    for path in available(folder):
        if _update_of(path) > update:
            _remove(path)


def _write(partial: Path, update: int, tensors: Mapping[str, torch.Tensor], state: str) -> None:
    partial.mkdir()
    save_file(_separate(tensors), partial / TENSORS)
    with (partial / TENSORS).open("rb") as file:
        os.fsync(file.fileno())
    write_durably(partial / STATE, state.encode())
    files = {
        name: {"bytes": (partial / name).stat().st_size, "sha256": _sha256(partial / name)} for name in (TENSORS, STATE)
    }
    manifest: dict[str, Any] = {"format": FORMAT, "update": update, "files": files}
    manifest["sha256"] = _self_digest(manifest)
    write_durably(partial / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
    sync_folder(partial)


def _separate(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Contiguous CPU tensors with a storage each: safetensors refuses tied weights and views."""
    seen: set[int] = set()
    separate = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.untyped_storage().data_ptr() in seen:
            tensor = tensor.clone()
        seen.add(tensor.untyped_storage().data_ptr())
        separate[name] = tensor
    return separate


def _rename_into_place(partial: Path, path: Path) -> None:
    # No portable call swaps two folders: the one to be replaced steps aside under a name `available` knows.
    aside = path.with_name(path.name + _REPLACED)
    if path.exists():
        path.rename(aside)
    partial.rename(path)
    sync_folder(path.parent)
    if aside.exists():
        _remove(aside)


def _clean(folder: Path) -> None:
    """Finish or undo what an interrupted save left behind."""
    for ending in (_PARTIAL, _DISCARDED):
        for path in list(folder.glob(f".update-*{ending}")):
            shutil.rmtree(path)
    for aside in list(folder.glob(f"update-*{_REPLACED}")):
        original = aside.with_suffix("")
        if original.exists():
            _remove(aside)
        else:
            aside.rename(original)


def _remove(path: Path) -> None:
    # Renamed first: a deletion that is interrupted must not leave half a folder under a checkpoint's name.
    discarded = path.with_name(f".{path.name}{_DISCARDED}")
    path.rename(discarded)
    shutil.rmtree(discarded)


def _update_of(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except ValueError:
        raise CheckpointError(f"{path} was cut short or altered: it is not valid JSON.") from None
    if isinstance(manifest, dict) and manifest.get("format", FORMAT) != FORMAT:
        raise CheckpointError(
            f"{path} has format {manifest['format']}, and this version of CoLLM reads format {FORMAT}: "
            "use the version that wrote it."
        )
    if not isinstance(manifest, dict) or manifest.pop("sha256", None) != _self_digest(manifest):
        raise CheckpointError(f"{path} was altered: its checksum does not match.")
    return manifest


def _self_digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _verify_file(path: Path, expected: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is missing.")
    size = path.stat().st_size
    if size < expected["bytes"]:
        raise CheckpointError(f"{path} was cut short: {size} of {expected['bytes']} bytes.")
    if size > expected["bytes"]:
        raise CheckpointError(f"{path} was altered: {size} bytes instead of {expected['bytes']}.")
    if _sha256(path) != expected["sha256"]:
        raise CheckpointError(f"{path} was altered: its checksum does not match the manifest.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _offer(paths: list[Path], problems: list[str], good: Path | None, run: str) -> str:
    lines = [f"the newest checkpoint, {paths[0].name}, cannot be used: {problems[0]}"]
    lines += [f"Nor can {path.name}: {problem}" for path, problem in zip(paths[1:], problems[1:], strict=False)]
    if good is None:
        lines.append(f"No good checkpoint is left in {paths[0].parent}; the run has to begin again.")
    else:
        lines.append(f"{good.name} is good; to go on from it: --resume {run} --checkpoint {good.name}")
    return "\n".join(lines)


def _tag(value: float) -> dict[str, str]:
    """NaN and infinities as an object: JSON has no number for them, and null would lose which it was."""
    return {_FLOAT: repr(value)}


def _untag(mapping: dict[str, Any]) -> Any:
    return float(mapping[_FLOAT]) if mapping.keys() == {_FLOAT} else mapping
