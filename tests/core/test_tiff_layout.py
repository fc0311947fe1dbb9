"""TIFF files in many layouts come out exact, or rejected with what to do; never as another picture."""

from __future__ import annotations

import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bad_inputs import PICTURE
from nevus.core.errors import ImageError
from nevus.core.preprocess import decode

GREY = np.asarray(Image.fromarray(PICTURE).convert("L"))


def tiff(samples: np.ndarray, order: str = "<", **tags: int) -> bytes:
    """A TIFF file of one strip per plane; samples are [H, W], [H, W, 3], or [3, H, W] with `planes=2`."""
    planes = tags.get("planes", 1)
    height, width = samples.shape[1:] if planes == 2 else samples.shape[:2]
    number = 1 if samples.ndim == 2 else 3
    data = [
        plane.astype(samples.dtype.newbyteorder(order)).tobytes() for plane in (samples if planes == 2 else [samples])
    ]
    if tags.get("compression") == 8:
        data = [zlib.compress(plane) for plane in data]
    places = 8 + np.cumsum([0, *map(len, data)])
    sample_format = tags.get("sample_format", {"u": 1, "i": 2, "f": 3}[samples.dtype.kind])
    entries = {
        256: [width], 257: [height], 258: [8 * samples.dtype.itemsize] * number, 259: [tags.get("compression", 1)],
        262: [tags.get("photometric", 1 if number == 1 else 2)], 273: places[:-1].tolist(), 277: [number],
        278: [height], 279: [len(plane) for plane in data], 284: [planes], 317: [tags.get("predictor", 1)],
        339: [sample_format] * number,
    }  # fmt: skip
    start = int(places[-1])
    directory, long = struct.pack(order + "H", len(entries)), b""
    after = start + 2 + 12 * len(entries) + 4
    for tag, values in entries.items():
        packed = struct.pack(f"{order}{len(values)}L", *values)
        if len(values) > 1:
            value, long = struct.pack(order + "L", after + len(long)), long + packed
        else:
            value = packed
        directory += struct.pack(order + "HHL", tag, 4, len(values)) + value
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    return head + struct.pack(order + "L", start) + b"".join(data) + directory + bytes(4) + long


@pytest.mark.parametrize(
    ("dtype", "planes", "compression", "order"), list(itertools.product(["u1", "u2"], [1, 2], [1, 8], "<>"))
)
def test_colour_in_any_layout_is_exact_or_rejected(dtype: str, planes: int, compression: int, order: str) -> None:
    samples = PICTURE.astype(dtype) * (257 if dtype == "u2" else 1)
    if planes == 2:
        samples = np.moveaxis(samples, -1, 0)
    data = tiff(samples, order, planes=planes, compression=compression)
    if (dtype, planes, compression) == ("u2", 2, 1):
        with pytest.raises(ImageError, match=r"16 bits in separate planes, uncompressed, .* save it as PNG"):
            decode(data)
    else:
        np.testing.assert_array_equal(np.asarray(decode(data)), PICTURE)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_grey_with_white_as_0_is_exact_or_rejected(dtype: str) -> None:
    scale = {"u1": 1, "u2": 257, "f4": 1 / 255}[dtype]
    data = tiff(((255 - GREY.astype(int)) * scale).astype(dtype), photometric=0)
    if dtype == "u1":
        np.testing.assert_array_equal(np.asarray(decode(data))[..., 0], GREY)
    else:
        with pytest.raises(ImageError, match="in which white is 0"):
            decode(data)


@pytest.mark.parametrize(
    ("samples", "tags", "words"),
    [
        (GREY.astype("i2"), {}, "signed values"),
        ((GREY.astype(int) - 128).astype("i1"), {}, "signed values"),
        (GREY.astype("u4") * 16843009, {}, "integers of 32 bits"),
        (PICTURE, {"photometric": 6}, "YCbCr colours, uncompressed"),
        (PICTURE, {"predictor": 2}, "a predictor"),
        (GREY.astype("f4") * 257, {}, "pixel values of 0 to .*; expected 0 to 1 or 0 to 255"),
        (GREY.astype("f4") - 100, {}, "pixel values of -.*; expected 0 to 1 or 0 to 255"),
    ],
)
def test_what_pillow_gets_wrong_is_rejected(samples: np.ndarray, tags: dict[str, int], words: str) -> None:
    with pytest.raises(ImageError, match=words):
        decode(tiff(samples, **tags))
