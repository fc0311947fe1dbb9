"""The check of images looks at the square alone, and says what it says of the whole image."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from nevus.core.modelfile import golden_pixels
from nevus.core.picture import Picture
from nevus.serve.quality import MIN_SIDE, QUALITY_MODEL, REFUSALS, SIDE, QualityCheck


def test_sides_are_those_of_the_graph() -> None:
    onnx = pytest.importorskip("onnx")
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(QUALITY_MODEL).graph.initializer}
    assert constants["size"].tolist() == [SIDE, SIDE]
    assert constants["min_side"].item() == MIN_SIDE


@pytest.mark.parametrize(("height", "width"), [(96, 128), (700, 300), (300, 1000), (128, 128)])
def test_the_square_has_the_margins_of_the_whole_within_rounding(height: int, width: int) -> None:
    pixels = golden_pixels(height, width)
    session = onnxruntime.InferenceSession(QUALITY_MODEL, providers=["CPUExecutionProvider"])
    square = Picture(Image.fromarray(pixels)).square(SIDE)
    (whole,), (small,) = (session.run(["margins"], {"pixels": each[np.newaxis]})[0] for each in (pixels, square))
    np.testing.assert_allclose(small[1:], whole[1:], atol=0.05)


def test_an_image_that_is_too_small_is_told_by_its_own_sides() -> None:
    check = QualityCheck()
    for height, width in ((MIN_SIDE - 1, 200), (200, MIN_SIDE - 1)):
        assert check.refusal(Picture(Image.fromarray(golden_pixels(height, width)))) is REFUSALS[0]
    assert check.refusal(Picture(Image.fromarray(golden_pixels(MIN_SIDE, MIN_SIDE)))) is not REFUSALS[0]
