"""Augmentation: flips, rotation, zoom and shift as one warp, exposure and white balance as one map of colour.

What other cameras and clinics do comes on top where a recipe asks for it (`nevus.learn.training.imaging`). Both are
affine. So pixels are interpolated once, and rounded twice at most. Drawing is NumPy's and a pure
function of its seed; OpenCV applies what was drawn, an image at a time, in a tenth of the time that
TensorFlow's own warp takes (docs/experiments.md). What lies outside an image is its own reflection,
never black, so that a network cannot learn from corners that only augmented images have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels
from nevus.learn.training.recipe import Augmentation

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Variations:
    """One way to vary each of N images.

    Attributes:
        warps: float64 [N, 2, 3]: takes the pixel (x, y, 1) of the output to the place in the input that it shows.
        colours: float64 [N, 3, 4]: takes the colour (red, green, blue, 1) of the input to that of the output.
    """

    warps: Floats
    colours: Floats


def draw(augmentation: Augmentation, image_size: int, num_images: int, generator: np.random.Generator) -> Variations:
    """Draws one variation an image; every quantity is uniform in the range that the recipe gives.

    Args:
        augmentation: the ranges.
        image_size: side of the images in pixels.
        num_images: how many to draw.
        generator: the source of chance.
    """
    angles = generator.uniform(-augmentation.rotation, augmentation.rotation, num_images)
    largest = max(augmentation.zoom, augmentation.imaging.zoom_in if augmentation.imaging else 0.0)
    scales = generator.uniform(1 - augmentation.zoom, 1 + largest, num_images)
    flips = generator.integers(0, 2, (num_images, 2)) * augmentation.flip
    shifts = generator.uniform(-augmentation.shift, augmentation.shift, (num_images, 2)) * image_size
    exposures = generator.uniform(-1, 1, (2, num_images, 1)) + generator.uniform(-0.5, 0.5, (2, num_images, 3))
    gains, offsets = exposures * np.reshape([augmentation.gain, augmentation.offset], (2, 1, 1))
    return Variations(warps(image_size, angles, scales, flips, shifts), colours(1 + gains, offsets))


def warps(image_size: int, angles: Floats, scales: Floats, flips: NDArray[np.int64], shifts: Floats) -> Floats:
    """The warps that flip, then scale, then rotate each of N images about its centre, then shift it.

    Args:
        image_size: side of the images in pixels.
        angles: [N] in turns, counter-clockwise as seen.
        scales: [N], above 1 to enlarge.
        flips: [N, 2] of 0 or 1: mirror left to right, mirror top to bottom.
        shifts: [N, 2] in pixels of the input, along x and y.

    Returns:
        float64 [N, 2, 3], as in `Variations`.
    """
    cosine, sine = np.cos(2 * math.pi * angles) / scales, np.sin(2 * math.pi * angles) / scales
    mirror = 1 - 2 * flips
    linear = np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2) * mirror[:, :, None]
    centre = np.full(2, (image_size - 1) / 2)
    offset = centre - linear @ centre + shifts
    return np.concatenate([linear, offset[:, :, None]], axis=2)


def colours(gains: Floats, offsets: Floats) -> Floats:
    """The maps that multiply the channels of each of N images and add to them.

    Args:
        gains: [N, 3].
        offsets: [N, 3] in grey levels.

    Returns:
        float64 [N, 3, 4], as in `Variations`.
    """
    return np.concatenate([gains[:, :, None] * np.eye(3), offsets[:, :, None]], axis=2)


def vary(images: Pixels, variations: Variations) -> Pixels:
    """Applies variations, with bilinear interpolation, images reflected at their borders and levels held in range.

    Args:
        images: uint8 [N, S, S, 3].
        variations: of N images.

    Returns:
        uint8 [N, S, S, 3].
    """
    result = np.empty_like(images)
    size = images.shape[2], images.shape[1]
    unchanged = np.eye(3, 4)
    for image, warp, colour, place in zip(images, variations.warps, variations.colours, result, strict=True):
        cv2.warpAffine(
            image,
            warp,
            size,
            dst=place,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT,
        )
        if not np.array_equal(colour, unchanged):
            cv2.transform(place, colour, dst=place)
    return result
