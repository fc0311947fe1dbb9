"""How cameras and clinics change an image: colours as affine maps, then gamma, resolution, blur, noise and JPEG."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels
from nevus.learn.training.recipe import Imaging

Floats = NDArray[np.float64]

# What red, green and blue give to the brightness of a colour (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114])
_MIDDLE_GREY = 128.0
# A pixel is dark where no channel is above this level.
_DARK = 40


def draw_colours(imaging: Imaging, num_images: int, generator: np.random.Generator) -> Floats:
    """Colour temperature, contrast and saturation of each of N images, as affine maps.

    Returns:
        float64 [N, 3, 4], each from the colour (red, green, blue, 1) to that of the output.
    """
    warmth = generator.normal(0, 1, (num_images, 1)) * imaging.temperature
    contrast = 1 + generator.uniform(-imaging.contrast, imaging.contrast, (num_images, 1))
    gains = np.exp(warmth * np.array([1.0, 0.0, -1.0])) * contrast
    saturation = 1 + generator.uniform(-imaging.saturation, imaging.saturation, num_images)
    saturation = np.where(generator.random(num_images) < imaging.grey, 0.0, saturation)[:, None, None]
    # A grey stays a grey under the change of saturation, so the offset of the contrast is added after it.
    mixing = saturation * np.eye(3) + (1 - saturation) * _LUMA
    offsets = np.repeat(_MIDDLE_GREY * (1 - contrast), 3, axis=1)
    return np.concatenate([mixing * gains[:, None, :], offsets[:, :, None]], axis=2)


def draw_skins(images: Pixels, chance: float, generator: np.random.Generator) -> Floats:
    """Moves the skin of some images of a batch towards that of another, so that its colour tells no source.

    The skin is taken to be what is lighter than 70 % of an image, in each channel.

    Args:
        images: uint8 [N, S, S, 3].
        chance: of an image.
        generator: the source of chance.

    Returns:
        float64 [N, 3]: by what to multiply the channels.
    """
    skins = np.stack([_skin(image) for image in images])
    others = skins[generator.permutation(len(images))]
    strength = generator.uniform(0.3, 1.0, (len(images), 1)) * (generator.random((len(images), 1)) < chance)
    return np.clip(others / np.maximum(skins, 20.0), 0.5, 2.0) ** strength


def _skin(image: Pixels) -> Floats:
    pixels = image[::4, ::4].reshape(-1, 3)
    lit = pixels[pixels.max(axis=1) > _DARK]
    return np.quantile(lit, 0.7, axis=0) if len(lit) else np.full(3, 180.0)


def compose(first: Floats, second: Floats) -> Floats:
    """The affine colour map, float64 [N, 3, 4], that does `first` and then `second`, both float64 [N, 3, 4]."""
    return np.concatenate(
        [second[:, :, :3] @ first[:, :, :3], second[:, :, :3] @ first[:, :, 3:] + second[:, :, 3:]], axis=2
    )


def change_gamma(image: Pixels, amount: float, generator: np.random.Generator) -> Pixels:
    """Levels to the power of gamma, whose logarithm is uniform within `amount` either way."""
    gamma = math.exp(generator.uniform(-amount, amount))
    return cv2.LUT(image, (255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)).astype(np.uint8)


def lower_resolution(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Down to 35 to 80 % of the side and up again."""
    size = len(image)
    side = max(1, round(size * generator.uniform(0.35, 0.8)))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def blur(image: Pixels, generator: np.random.Generator) -> Pixels:
    """A Gaussian blur with a standard deviation of .4 to 1.5 pixels of 128."""
    return cv2.GaussianBlur(image, (0, 0), generator.uniform(0.4, 1.5) * len(image) / 128).astype(np.uint8)


def add_noise(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Gaussian noise with a standard deviation of 2 to 10 grey levels."""
    noise = generator.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + np.float32(generator.uniform(2, 10)) * noise, 0, 255).astype(np.uint8)


def compress(image: Pixels, generator: np.random.Generator) -> Pixels:
    """JPEG at a quality of 25 to 85."""
    quality = int(generator.integers(25, 86))
    # OpenCV takes the channels for blue, green and red, which exchanges how finely red and blue are coded.
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), dtype=np.uint8)[:, :, ::-1]
