"""Checkpoints come back bit for bit, survive a kill at any moment, and never pass damage over in silence."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from collm.errors import CheckpointError
from collm.training import checkpoint

FILES = ("tensors.safetensors", "state.json", "manifest.json")


def tensors_of(update: int) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((7, 5), float(update)), "step": torch.tensor(update)}


def save(folder: Path, update: int, keep: int = 2) -> Path:
    return checkpoint.save(folder, update, tensors_of(update), {"update": update}, keep)


def assert_holds(path: Path, update: int) -> None:
    tensors, state = checkpoint.load(path)
    assert state == {"update": update}
    assert all(torch.equal(tensors[name], value) for name, value in tensors_of(update).items())


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([0.1, -0.0, math.inf, math.nan, 1e-45]),
        torch.randn(3, 4).bfloat16(),
        torch.tensor([2**62 + 1, -1]),
        torch.tensor(0.1),
        torch.tensor([True, False]),
        torch.empty(0, 3),
        torch.arange(12.0).reshape(3, 4).T,
        torch.arange(12.0)[3:7],
        torch.randn(3, requires_grad=True),
    ],
    ids=["fp32", "bf16", "int64", "0-dim", "bool", "empty", "transposed", "slice", "parameter"],
)
def test_a_tensor_comes_back_bit_for_bit(tmp_path: Path, tensor: torch.Tensor) -> None:
    back = checkpoint.load(checkpoint.save(tmp_path, 1, {"x": tensor}, {}))[0]["x"]
    assert (back.dtype, back.shape) == (tensor.dtype, tensor.shape)
    as_bytes = [x.detach().contiguous().flatten().view(torch.uint8).tolist() for x in (back, tensor)]
    assert as_bytes[0] == as_bytes[1]


def test_tensors_that_share_storage_come_back_apart(tmp_path: Path) -> None:
    base = torch.arange(6.0)
    path = checkpoint.save(tmp_path, 1, {"a": base, "tied": base, "view": base[2:4], "t": base.view(2, 3).T}, {})
    back = checkpoint.load(path)[0]
    assert torch.equal(back["a"], base)
    assert torch.equal(back["tied"], base)
    assert torch.equal(back["view"], base[2:4])
    assert torch.equal(back["t"], base.view(2, 3).T)
    assert len({tensor.untyped_storage().data_ptr() for tensor in back.values()}) == 4


def test_the_state_comes_back_exactly(tmp_path: Path) -> None:
    state = {
        "floats": [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0],
        "inf": [math.inf, -math.inf],
        "generator": {
            "state": 2**127 + 1,
            "words": list(np.random.MT19937(0).state["state"]["key"].tolist()),
        },
        "text": "ü\n",
        "none": None,
        "flag": True,
    }
    back = checkpoint.load(checkpoint.save(tmp_path, 1, {}, state))[1]
    assert back == state
    assert math.copysign(1, back["floats"][-1]) == -1


def test_nan_numpy_scalars_and_tuples_in_the_state(tmp_path: Path) -> None:
    state = {
        "nan": np.float32("nan"),
        "f": np.float32(0.1),
        "i": np.int64(3),
        "b": np.bool_(True),
        "t": (1, 2),
    }
    path = checkpoint.save(tmp_path, 1, {}, state)
    back = checkpoint.load(path)[1]
    assert math.isnan(back.pop("nan"))
    assert back == {"f": float(np.float32(0.1)), "i": 3, "b": True, "t": [1, 2]}
    json.loads((path / "state.json").read_text(), parse_constant=lambda word: pytest.fail(f"not JSON: {word}"))


@pytest.mark.parametrize("state", [{"a": {"b": [torch.zeros(1)]}}, {"a": {1: "x"}}])
def test_a_state_that_json_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path, state: dict) -> None:
    with pytest.raises(TypeError, match=r"^a"):
        checkpoint.save(tmp_path, 1, {}, state)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("damage", "words"), [("missing", "is missing"), ("cut", "cut short"), ("altered", "altered")])
def test_a_damaged_file_is_named_with_what_is_wrong(tmp_path: Path, name: str, damage: str, words: str) -> None:
    file = save(tmp_path, 20) / name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[:-3])
    else:
        at = content.index(b"2")
        file.write_bytes(content[:at] + b"3" + content[at + 1 :])
    with pytest.raises(CheckpointError, match=words) as caught:
        checkpoint.load(file.parent)
    assert str(file) in str(caught.value)


def test_any_single_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    draw = random.Random(0)
    for name in FILES[:2]:
        content = (path / name).read_bytes()
        for _ in range(40):
            flipped = bytearray(content)
            flipped[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            (path / name).write_bytes(flipped)
            with pytest.raises(CheckpointError, match="altered"):
                checkpoint.load(path)
        (path / name).write_bytes(content)
    assert_holds(path, 1)


def test_a_missing_checkpoint_is_said_with_those_that_exist(tmp_path: Path) -> None:
    save(tmp_path, 10)
    with pytest.raises(CheckpointError, match=r"update-00000011 is missing.*: update-00000010"):
        checkpoint.load(tmp_path / "update-00000011")


def test_another_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    path = save(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"format 2.*reads format 1"):
        checkpoint.load(path)


def test_the_newest_are_kept_in_order_of_their_number(tmp_path: Path) -> None:
    for update in (8, 9, 10, 11):
        save(tmp_path, update, keep=3)
    assert [path.name for path in checkpoint.available(tmp_path)] == [f"update-{n:08d}" for n in (11, 10, 9)]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in checkpoint.available(tmp_path)}


def test_saving_an_update_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = checkpoint.save(tmp_path, 1, {}, {"again": True})
    assert checkpoint.load(path) == ({}, {"again": True})
    assert list(tmp_path.iterdir()) == [path]


def test_saving_removes_the_continuation_that_was_given_up(tmp_path: Path) -> None:
    for update in (10, 20):
        save(tmp_path, update)
    save(tmp_path, 12)
    assert [path.name for path in checkpoint.available(tmp_path)] == ["update-00000012", "update-00000010"]


def test_a_bad_newest_checkpoint_is_named_and_the_previous_good_one_offered(tmp_path: Path) -> None:
    for update in (10, 20, 30):
        save(tmp_path, update, keep=3)
    (tmp_path / "update-00000030" / "state.json").write_bytes(b"{")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.latest(tmp_path, run="runs/a")
    message = str(caught.value)
    assert "update-00000030" in message
    assert "state.json was cut short: 1 of " in message
    assert message.endswith("--resume runs/a --checkpoint update-00000020")
    (tmp_path / "update-00000020" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=r"Nor can update-00000020(.|\n)*--checkpoint update-00000010$"):
        checkpoint.latest(tmp_path)


def test_no_good_checkpoint_at_all(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint.latest(tmp_path / "checkpoints")
    (save(tmp_path, 1) / "state.json").unlink()
    with pytest.raises(CheckpointError, match="No good checkpoint is left"):
        checkpoint.latest(tmp_path)


def test_a_full_disk_is_reported_and_leaves_the_earlier_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_durably", full)
    with pytest.raises(CheckpointError, match=r"update-00000002 could not be written.*No space left"):
        save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["update-00000001"]
    assert_holds(checkpoint.latest(tmp_path), 1)
