"""Everything that augmentation does to a batch: a warp, a map of colour, and what `Imaging` describes on top."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from nevus.core.preprocess import Pixels
from nevus.learn.training import camera, scene
from nevus.learn.training.augment import Variations, colours, draw, vary
from nevus.learn.training.recipe import Augmentation, Imaging

# In the order in which light meets them: the skin; then the camera, what is put over the picture and how it is stored.
_ON_SKIN = {"marker": scene.draw_marker, "hair": scene.draw_hairs}
_ON_PICTURE = {
    "ruler": scene.draw_ruler,
    "dark_corners": scene.darken_corners,
    "resolution": camera.lower_resolution,
    "blur": camera.blur,
    "noise": camera.add_noise,
    "jpeg": camera.compress,
}


def augmented(images: Pixels, augmentation: Augmentation, generator: np.random.Generator) -> Pixels:
    """Images varied as a recipe says, each differently.

    Args:
        images: uint8 [N, S, S, 3].
        augmentation: ranges and chances.
        generator: the source of chance.

    Returns:
        uint8 [N, S, S, 3].
    """
    size = images.shape[1]
    variations = draw(augmentation, size, len(images), generator)
    if augmentation.imaging is None:
        return vary(images, variations)
    variations = _stretched(variations, augmentation.imaging.aspect, size, generator)
    return _imaged(images, augmentation.imaging, variations, generator)


def resized(images: Pixels, side: int) -> Pixels:
    """Images, uint8 [N, S, S, 3], at a smaller side, each pixel the mean of those it covers; or as they are."""
    if side == images.shape[1]:
        return images
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images])


def _imaged(images: Pixels, imaging: Imaging, variations: Variations, generator: np.random.Generator) -> Pixels:
    number = len(images)
    happens = {
        name: generator.random(number) < getattr(imaging, name)
        for name in ("field", "outside", *_ON_SKIN, *_ON_PICTURE)
    }
    skins = camera.draw_skins(images, imaging.skin, generator) if imaging.skin else np.ones((number, 3))
    maps = camera.compose(colours(skins, np.zeros((number, 3))), variations.colours)
    maps = camera.compose(maps, camera.draw_colours(imaging, number, generator))
    result = np.empty_like(images)
    for index, image in enumerate(images):
        field = scene.field_of_view(image) if imaging.field or imaging.dark_corners else None
        warp = variations.warps[index]
        if field and happens["field"][index]:
            warp = _cropped_to(field, len(image), generator.uniform(0.6, 0.9)) @ np.vstack([warp, (0, 0, 1)])
        picture = _warp(image, warp, happens["outside"][index], generator)
        for name, change in _ON_SKIN.items():
            if happens[name][index]:
                picture = change(picture, generator)
        if imaging.gamma:
            picture = camera.change_gamma(picture, imaging.gamma, generator)
        picture = cv2.transform(picture, maps[index])
        for name, change in _ON_PICTURE.items():
            if happens[name][index] and not (name == "dark_corners" and field):
                picture = change(picture, generator)
        result[index] = picture
    return result


def _stretched(variations: Variations, aspect: float, size: int, generator: np.random.Generator) -> Variations:
    """Variations whose images are wider or higher besides: the logarithm of width over height changes by `aspect`."""
    number = len(variations.warps)
    half = np.exp(generator.uniform(-aspect, aspect, number) / 2)
    centre = (size - 1) / 2
    stretch = np.zeros((number, 3, 3))
    stretch[:, 0, 0], stretch[:, 1, 1], stretch[:, 2, 2] = 1 / half, half, 1
    stretch[:, 0, 2], stretch[:, 1, 2] = centre * (1 - 1 / half), centre * (1 - half)
    # Before the warp as the image is seen, so after it as places are traced back.
    bottom = np.broadcast_to(np.array([[[0.0, 0.0, 1.0]]]), (number, 1, 3))
    traced = stretch @ np.concatenate([variations.warps, bottom], axis=1)
    return replace(variations, warps=traced[:, :2])


def _cropped_to(field: tuple[float, float, float, float], size: int, share: float) -> NDArray[np.float64]:
    """float64 [2, 3]: takes a place in the crop to `share` of a field of view to that in the image."""
    x, y, half_width, half_height = field
    across, down = 2 * half_width * share / size, 2 * half_height * share / size
    centre = (size - 1) / 2
    return np.array([[across, 0, x - across * centre], [0, down, y - down * centre]])


def _warp(image: Pixels, warp: NDArray[np.float64], outside: bool, generator: np.random.Generator) -> Pixels:
    border, colour = cv2.BORDER_REFLECT, (0.0, 0.0, 0.0)
    if outside:
        kind = generator.integers(3)
        border = (cv2.BORDER_CONSTANT, cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE)[kind]
        colour = tuple(generator.uniform(0, 255, 3)) if kind == 1 else colour
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = image.shape[1], image.shape[0]
    return cv2.warpAffine(image, warp, size, flags=flags, borderMode=border, borderValue=colour).astype(np.uint8)
