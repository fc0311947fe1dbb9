"""Small pictures within a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from nevus.core.preprocess import Pixels

THUMBNAIL_SIZE = 112


def thumbnail(pixels: Pixels) -> Pixels:
    """An image, uint8 [height, width, 3], reduced so that no side is longer than `THUMBNAIL_SIZE`."""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    return np.asarray(image)


def jpeg_uri(content: bytes) -> str:
    """The content of a JPEG file within a page."""
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")


def data_uri(pixels: Pixels) -> str:
    """An image, uint8 [height, width, 3], as a JPEG within a page."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=80)
    return jpeg_uri(buffer.getvalue())


def small_picture(pixels: Pixels) -> str:
    """An image, uint8 [height, width, 3], as a small JPEG within a page."""
    return data_uri(thumbnail(pixels))
