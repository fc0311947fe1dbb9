"""Heatmaps as pictures: their colours say what raises and what lowers the risk, on one scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nevus.assess.heatmaps import Heatmaps, common_scale, overlaid, read_heatmaps
from nevus.core.errors import RunError

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


def test_one_cell_cannot_set_the_scale() -> None:
    heatmaps = np.ones((10, 8, 8), dtype=np.float16)
    heatmaps[0, 0, 0] = 1000
    assert common_scale(heatmaps) == 1.0


cells = hnp.arrays(np.float16, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.floats(width=16))


@given(heatmap=cells, scale=st.floats(0, 100))
def test_any_heatmap_makes_a_picture(heatmap: Heatmaps, scale: float) -> None:
    picture = overlaid(GREY, heatmap, scale)
    assert picture.dtype == np.uint8
    assert picture.shape == GREY.shape


def test_a_damaged_file_is_refused_and_an_absent_one_is_no_heatmap(tmp_path: Path) -> None:
    path = tmp_path / "test_heatmaps.npy"
    assert read_heatmaps(path, 5) is None
    np.save(path, np.zeros((5, 4, 4), dtype=np.float16))
    assert read_heatmaps(path, 5) is not None
    whole = path.read_bytes()
    for damaged in (b"", b"junk", whole[:40], whole[:-10]):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"test_heatmaps\.npy is not a whole file.*nevus train"):
            read_heatmaps(path, 5)
    np.save(path, np.zeros((5, 4, 4)))
    with pytest.raises(RunError, match="float64"):
        read_heatmaps(path, 5)
