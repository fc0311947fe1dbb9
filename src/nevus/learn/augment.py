"""Augmentation: flips, rotation and zoom as one affine warp, so that pixels are interpolated once.

Drawing is NumPy's and a pure function of its seed; warping is TensorFlow's. What
lies outside an image is its own reflection, never black, so that a network cannot
learn from corners that only augmented images have.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nevus.learn.recipe import Recipe


def draw_transforms(
    recipe: Recipe, image_size: int, num_images: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draws one warp an image.

    Args:
        recipe: gives the ranges; angles, scales and flips are uniform in them.
        image_size: side of the images in pixels.
        num_images: how many to draw.
        generator: the source of chance.

    Returns:
        float32 [num_images, 8], for `warp`.
    """
    angles = generator.uniform(-recipe.rotation, recipe.rotation, num_images)
    scales = generator.uniform(1 - recipe.zoom, 1 + recipe.zoom, num_images)
    flips = generator.integers(0, 2, (num_images, 2)) * recipe.flip
    return transforms(image_size, angles, scales, flips)


def transforms(
    image_size: int, angles: NDArray[np.float64], scales: NDArray[np.float64], flips: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The warps that flip, then scale, then rotate each of N images about its centre.

    Args:
        image_size: side of the images in pixels.
        angles: [N] in turns, counter-clockwise as seen.
        scales: [N], above 1 to enlarge.
        flips: [N, 2] of 0 or 1: mirror left to right, mirror top to bottom.

    Returns:
        float32 [N, 8]: a, b, c, d, e, f, 0, 0, which take the pixel x, y of the output from
        a x + b y + c, d x + e y + f of the input, as `tf.raw_ops.ImageProjectiveTransformV3` wants them.
    """
    cosine, sine = np.cos(2 * math.pi * angles) / scales, np.sin(2 * math.pi * angles) / scales
    mirror_x, mirror_y = (1 - 2 * flips).T
    a, b = mirror_x * cosine, -mirror_x * sine
    d, e = mirror_y * sine, mirror_y * cosine
    centre = (image_size - 1) / 2
    c, f = centre - (a + b) * centre, centre - (d + e) * centre
    zero = np.zeros_like(a)
    return np.stack([a, b, c, d, e, f, zero, zero], axis=1).astype(np.float32)


def warp(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Warps images with bilinear interpolation, reflected at their borders.

    Args:
        images: float32 [N, S, S, 3] in [0, 255].
        matrices: float32 [N, 8], from `transforms`.

    Returns:
        float32 [N, S, S, 3] in [0, 255].
    """
    # Not keras.ops.image.affine_transform, which gives the same pixels as fast but is of the backend that trains:
    # inside tf.data it must be TensorFlow's whatever that is.
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=matrices,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
