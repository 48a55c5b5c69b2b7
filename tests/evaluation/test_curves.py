"""The curves: which points are drawn, that smoothing does not bend a trend, and that any run can be drawn."""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from collm.evaluation.curves import draw_curves, points, smooth


def record(update: int, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "update": update,
        "env_steps": update * 256,
        "score": 20.0 + update,
        "contribution": [0.5, 0.4],
        "critic": {"loss": 0.1, "explained_variance": 0.02 * update},
        "policy": {"kl": 0.01, "clip_fraction": 0.1},
    }
    return values | changes


def test_points_are_the_finite_values_with_their_env_steps() -> None:
    records = [
        record(1),
        record(2, critic={"explained_variance": None}),
        record(3, critic=None),
        record(4, critic={"explained_variance": math.nan}),
        {"score": 1.0, "critic": {"explained_variance": 1.0}},
        record(5),
    ]
    steps, values = points(records, "critic", "explained_variance")
    assert steps.tolist() == [256, 1280]
    assert values.tolist() == [0.02, 0.1]
    assert points(records, "contribution", 1)[1].tolist() == [0.4] * 5
    assert points(records, "contribution", 2)[1].tolist() == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 100])
def test_smoothing_keeps_the_length_and_straight_lines(count: int) -> None:
    line = 3.0 + 0.5 * np.arange(count)
    np.testing.assert_allclose(smooth(line), line)


def test_smoothing_averages_the_neighbours() -> None:
    values = np.zeros(20)
    values[10] = 3.0
    np.testing.assert_allclose(smooth(values)[8:13], [0, 1, 1, 1, 0], atol=1e-12)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"update": 0, "raw": {"score": 20.0}}],
        [record(1)],
        [record(1, score=None, critic=None, policy=None, contribution=None)],
        [record(n, validation={"score": 20.0 + n}, raw={"score": 20.0}) for n in range(30)],
        [record(1, contribution=[0.5]), record(2, contribution=[0.2] * 8)],
    ],
    ids=["none", "only raw", "one", "nulls", "all", "changing agents"],
)
def test_any_records_give_a_whole_picture_and_nothing_else(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    path = tmp_path / "curves.png"
    draw_curves(records, path, "title")
    with Image.open(path) as image:
        image.load()
        assert image.size == (1650, 780)
    assert list(tmp_path.iterdir()) == [path]


def test_the_curves_are_in_the_picture(tmp_path: Path) -> None:
    def pixels(records: list[dict[str, Any]]) -> np.ndarray:
        draw_curves(records, tmp_path / "curves.png", "title")
        return np.asarray(Image.open(tmp_path / "curves.png").convert("RGB"))

    plain = [record(n) for n in range(10)]
    validated = [*plain[:9], record(9, validation={"score": 25.0})]
    orange = (pixels(validated)[:, :800] == (0xD5, 0x5E, 0x00)).all(axis=-1).sum()
    assert orange > 50
    assert (pixels(plain)[:, :800] == (0xD5, 0x5E, 0x00)).all(axis=-1).sum() == 0


def test_drawing_leaves_the_global_state_of_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    draw_curves([record(1)], tmp_path / "curves.png", "title")
    assert dict(mpl.rcParams) == before
