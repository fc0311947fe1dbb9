"""Heatmaps as pictures: their colours say what raises and what lowers the risk, on one scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from nevus.core.overlay import overlaid, side_by_side

GREY = np.full((8, 8, 3), 128, dtype=np.uint8)


def test_what_raises_the_risk_is_red_and_what_lowers_it_blue() -> None:
    heatmap = np.array([[4.0, -4.0]], dtype=np.float16)
    picture = overlaid(GREY, heatmap, scale=4.0).astype(int)
    (
        left,
        right,
    ) = picture[4, 0], picture[4, -1]
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60


def test_nothing_is_coloured_where_nothing_counts() -> None:
    for heatmap, scale in ((np.zeros((2, 2)), 1.0), (np.ones((2, 2)), 0.0)):
        picture = overlaid(GREY, heatmap.astype(np.float16), scale)
        assert (picture == picture[0, 0]).all()
        assert len(set(picture[0, 0].tolist())) == 1


cells = hnp.arrays(np.float16, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(width=16))


@given(heatmap=cells, scale=st.floats(0, 100))
def test_any_heatmap_makes_a_picture(heatmap: np.ndarray, scale: float) -> None:
    picture = overlaid(GREY, heatmap, scale)
    assert picture.dtype == np.uint8
    assert picture.shape == GREY.shape


@pytest.mark.parametrize("size", [(300, 200), (1, 5000), (5000, 1), (32, 32)])
def test_a_sheet_shows_image_overlay_and_scale(size: tuple[int, int]) -> None:
    heatmap = np.array([[2.0, -2.0]])
    sheet = np.asarray(side_by_side(Image.new("RGB", size, (128, 128, 128)), heatmap, 2.0, ["a line"])).astype(int)
    assert sheet.shape[1] < 2500
    red, blue = sheet[..., 0] > sheet[..., 2] + 60, sheet[..., 2] > sheet[..., 0] + 60
    # In the overlay, side by side, and in the scale, one above the other.
    assert red.any(axis=1).sum() > 200
    assert blue.any(axis=1).sum() > 200
    assert (sheet[:300, -100:] < 60).all(axis=2).any()
