"""What lies on or around the skin in dermoscopic images, found or drawn: dark corners, hairs, rulers, ink.

Lengths are drawn for a side of 128 pixels and scaled to that of the image. Drawing is a function of the generator.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels

# OpenCV draws at places in fixed point, with so many bits behind the point.
_BITS = 4
# Corners below this level are dark, and a centre above them by `_CONTRAST` is lit.
_DARK, _CONTRAST = 60.0, 30.0


def field_of_view(image: Pixels) -> tuple[float, float, float, float] | None:
    """The lit field of an image whose corners are dark, such as the round one of many dermatoscopes.

    Args:
        image: uint8 [S, S, 3].

    Returns:
        Centre x and y and half of width and height, in pixels; None unless three corners or more are dark and the
        centre is not.
    """
    size = len(image)
    edge, middle = max(1, size // 16), slice(3 * size // 8, 5 * size // 8)
    corners = sorted(
        float(image[rows, columns].max(axis=2).mean())
        for rows in (slice(0, edge), slice(-edge, None))
        for columns in (slice(0, edge), slice(-edge, None))
    )
    dark = corners[2]
    if dark >= _DARK or image[middle, middle].max(axis=2).mean() <= dark + _CONTRAST:
        return None
    lit = image.max(axis=2) > max(40.0, dark + 20.0)
    columns, rows = (np.flatnonzero(lit.mean(axis=axis) > 0.12) for axis in (0, 1))
    if min(len(columns), len(rows)) < size // 6:
        return None
    return (
        (columns[0] + columns[-1]) / 2,
        (rows[0] + rows[-1]) / 2,
        (columns[-1] - columns[0] + 1) / 2,
        (rows[-1] - rows[0] + 1) / 2,
    )


def darken_corners(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Puts the image into a round field of view in the dark, with an edge that is mostly hard and sometimes soft."""
    size, unit = len(image), len(image) / 128
    hard = generator.random() < 0.7
    radius = (generator.uniform(0.52, 1.35) if hard else generator.uniform(0.8, 1.4)) * size / 2
    softness = (generator.uniform(1, 10) if hard else generator.uniform(20, 60)) * unit
    x, y = size / 2 + generator.normal(0, 4 * unit, 2)
    aspect, level = math.exp(generator.uniform(-0.25, 0.25)), generator.uniform(0, 25)
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    distance = np.hypot(columns - x, (rows - y) * aspect)
    lit = np.clip((radius - distance) / softness + 0.5, 0, 1)[:, :, None]
    return (image * lit + level * (1 - lit)).astype(np.uint8)


def draw_hairs(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Draws 4 to 19 dark hairs, most of them in one direction."""
    size, drawn = len(image), image.copy()
    colour = tuple(generator.uniform(5, 70) * np.array([1.0, 0.8, 0.7]))
    direction = generator.uniform(0, 2 * math.pi)
    along = np.linspace(0, 1, 12)
    for _ in range(generator.integers(4, 20)):
        start, length = generator.uniform(0, size, 2), generator.uniform(0.23, 0.86) * size
        angles = direction + generator.normal(0, 0.6) + generator.normal(0, 0.35) * 2 * along
        steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * length / len(along)
        _line(drawn, start + np.cumsum(steps, axis=0), colour, _thickness(size))
    return _blend(drawn, image, generator.uniform(0.5, 0.95))


def draw_ruler(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Draws the marks of a ruler along one side, dark or light."""
    size, unit, drawn = len(image), len(image) / 128, image.copy()
    level = generator.uniform(0, 90) if generator.random() < 0.75 else generator.uniform(200, 255)
    side, distance = generator.integers(4), generator.uniform(2, 26) * unit
    spacing, length = generator.uniform(3, 9, 2) * unit
    begin = generator.uniform(0, 50) * unit
    end = generator.uniform(begin + 30 * unit, size + 20 * unit)

    def place(along: float, inwards: float) -> tuple[float, float]:
        inwards = size - 1 - inwards if side % 2 else inwards
        return (along, inwards) if side < 2 else (inwards, along)

    strokes = [(place(begin, distance), place(end, distance))] if generator.random() < 0.5 else []
    for number, along in enumerate(np.arange(begin, min(end, size + 5), spacing)):
        reach = length * (1.8 if number % 5 == 0 else 1.0)
        strokes.append((place(along, distance), place(along, distance + reach)))
    for stroke in strokes:
        _line(drawn, np.array(stroke), (level,) * 3, _thickness(size))
    return _blend(drawn, image, generator.uniform(0.5, 0.95))


def draw_marker(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Draws a coloured disc that reaches in from the border, or strokes of ink away from the centre."""
    size, unit, drawn = len(image), len(image) / 128, image.copy()
    if generator.random() < 0.6:
        angle, distance = generator.uniform(0, 2 * math.pi), generator.uniform(62, 90) * unit
        centre = size / 2 + distance * np.array([math.cos(angle), math.sin(angle)])
        x, y = (round(value * 2**_BITS) for value in centre)
        radius = round(generator.uniform(18, 45) * unit * 2**_BITS)
        cv2.circle(drawn, (x, y), radius, tuple(generator.uniform(0, 255, 3)), -1, cv2.LINE_AA, _BITS)
    else:
        # Violet to blue, as gentian violet and surgical pens are.
        colour = tuple(generator.uniform((40, 20, 90), (120, 80, 190)))
        for _ in range(generator.integers(1, 4)):
            begin = generator.uniform(0, size, 2)
            end = begin + generator.normal(0, 18 * unit, 2)
            if np.hypot(*(begin - size / 2)) > 0.27 * size:
                _line(drawn, np.stack([begin, end]), colour, _thickness(size) * int(generator.integers(1, 4)))
    return _blend(drawn, image, generator.uniform(0.55, 1.0))


def _line(image: Pixels, places: NDArray[np.float64], colour: tuple[float, ...], thickness: int) -> None:
    points = np.rint(places * 2**_BITS).astype(np.int32)
    cv2.polylines(image, [points], False, colour, thickness, cv2.LINE_AA, _BITS)


def _thickness(size: int) -> int:
    return max(1, round(size / 128))


def _blend(drawn: Pixels, image: Pixels, opacity: float) -> Pixels:
    return cv2.addWeighted(drawn, opacity, image, 1 - opacity, 0).astype(np.uint8)
