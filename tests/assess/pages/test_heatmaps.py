"""Heatmaps of the test images: one scale, and a file that is read with care."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nevus.assess.pages.heatmaps import common_scale, read_heatmaps
from nevus.core.errors import RunError


def test_one_cell_cannot_set_the_scale() -> None:
    heatmaps = np.ones((10, 8, 8), dtype=np.float16)
    heatmaps[0, 0, 0] = 1000
    assert common_scale(heatmaps) == 1.0


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
