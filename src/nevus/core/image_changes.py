"""Changes of an image that cameras and clinics make and that leave the diagnosis as it is, a row each.

Owns what each change does, its words, and how many decisions it may flip. The changes work on prepared pixels, so that
the same change means the same for pictures of every size; lengths are shares of the side. They are drawn by other code
than the augmentation of training, so that no model is tested with its own training. Pillow and NumPy are enough.

References:
    [1] Young, Fernandez, Shapiro, Soenksen, Hernandez et al., Stress testing reveals gaps in clinic readiness of
        image-based diagnostic artificial intelligence models, npj Digital Medicine 4, 10 (2021).
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from nevus.core.preprocess import Pixels

# From uint8 [S, S, 3], RGB, and a source of chance to the changed image, of the same shape.
Function = Callable[[Pixels, np.random.Generator], Pixels]

# What red, green and blue give to the brightness of a colour (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_MIDDLE_GREY = 128.0
_INK = (20, 20, 20)
# Fine lines are drawn so many times larger and brought down, so that they are smooth.
_FINER = 4


@dataclass(frozen=True, slots=True)
class Change:
    """A change of an image that leaves the diagnosis as it is.

    Attributes:
        name: in files.
        title: in tables.
        words: what it does and where it comes from, a sentence.
        function: does it.
        most_flipped: the largest share of decisions that it may flip.
    """

    name: str
    title: str
    words: str
    function: Function
    most_flipped: float = 0.10

    def apply(self, pixels: Pixels, image: str) -> Pixels:
        """The changed image; what is left to chance is drawn from the names of the change and of the image.

        Args:
            pixels: uint8 [S, S, 3], RGB.
            image: its name. The same name gives the same change on every machine.

        Returns:
            uint8 [S, S, 3], RGB.
        """
        seed = hashlib.sha256(f"{self.name}\0{image}".encode("utf-8", "surrogateescape")).digest()[:8]
        return self.function(pixels, np.random.default_rng(int.from_bytes(seed)))


def with_ruler(pixels: Pixels, quarter_turns: int = 0) -> Pixels:
    """The image with the black ticks of a ruler along its lower edge, or along another.

    Args:
        pixels: uint8 [S, S, 3], RGB.
        quarter_turns: by how many the ruler is turned against the clock: 1 for the right edge, 2 for the upper.
    """
    size = pixels.shape[0]
    ticks = Image.new("L", (_FINER * size, _FINER * size), 0)
    draw, large = ImageDraw.Draw(ticks), _FINER * size
    thickness = max(1, large // 160)
    for number, x in enumerate(range(large // 20, large, large // 40)):
        height = large // 8 if number % 5 == 0 else large // 16
        draw.rectangle((x, large - height, x + thickness, large), fill=255)
    mask = np.asarray(ticks.resize((size, size), Image.Resampling.BOX), dtype=np.float32)
    return _inked(pixels, np.rot90(mask, quarter_turns) / np.float32(255), _INK)


def with_dark_corners(pixels: Pixels, radius: float = 1.08, rim: float = 0.08) -> Pixels:
    """The image as a dermatoscope with a round field shows it: black outside of a circle, with a soft rim.

    Args:
        pixels: uint8 [S, S, 3], RGB.
        radius: of the circle where it is half as bright, in half sides of the image.
        rim: width of the rim, in half sides.
    """
    size = pixels.shape[0]
    y, x = np.indices((size, size)) + 0.5
    distance = np.hypot(y - size / 2, x - size / 2) / (size / 2)
    light = np.clip((radius - distance) / rim + 0.5, 0, 1)[..., np.newaxis]
    return np.asarray(np.rint(pixels * light), dtype=np.uint8)


def with_hairs(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    """The image with twelve dark, bent hairs across it, most of them in one direction."""
    size = pixels.shape[0]
    large = _FINER * size
    mask = Image.new("L", (large, large), 0)
    draw = ImageDraw.Draw(mask)
    direction = generator.uniform(0, math.pi)
    along = np.linspace(0, 1, 12)
    for _ in range(12):
        start, length = generator.uniform(0, 1, 2), generator.uniform(0.3, 0.9)
        angles = direction + generator.normal(0, 0.4) + generator.normal(0, 0.5) * along
        steps = np.stack([np.cos(angles), np.sin(angles)], axis=1) * length / len(along)
        places = (start + np.cumsum(steps, axis=0)) * large
        draw.line([tuple(place) for place in places], fill=255, width=max(1, round(large / 128)), joint="curve")
    cover = np.asarray(mask.resize((size, size), Image.Resampling.BOX)) * np.float32(0.85 / 255)
    level = generator.uniform(15, 50)
    return _inked(pixels, cover, (level, 0.8 * level, 0.7 * level))


def _inked(pixels: Pixels, cover: NDArray[np.float32], colour: Sequence[float]) -> Pixels:
    """The image with a colour laid over it; `cover`, [S, S] in [0, 1], says how much of it."""
    share = cover[..., np.newaxis]
    return np.asarray(np.rint(pixels * (1 - share) + np.asarray(colour, dtype=np.float32) * share), dtype=np.uint8)


def _turned(pixels: Pixels, degrees: float, mirrored_outside: bool) -> Pixels:
    """The image turned about its centre; outside of it lies its mirror image, or black."""
    size = pixels.shape[0]
    # A square that is turned by 45 degrees reaches a fifth of its side beyond the old edges.
    margin = math.ceil(0.22 * size) if mirrored_outside else 0
    padded = Image.fromarray(_padded(pixels, margin))
    turned = padded.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=(0, 0, 0))
    return np.asarray(turned.crop((margin, margin, margin + size, margin + size)))


def _framed(pixels: Pixels, width: float, height: float) -> Pixels:
    """What a frame in the middle shows, enlarged or reduced to the image's size; width and height in sides of it."""
    size = pixels.shape[0]
    margin = max(0, math.ceil((max(width, height) - 1) / 2 * size))
    padded = _padded(pixels, margin)
    half_width, half_height, centre = width * size / 2, height * size / 2, padded.shape[0] / 2
    box = (centre - half_width, centre - half_height, centre + half_width, centre + half_height)
    return np.asarray(Image.fromarray(padded).resize((size, size), Image.Resampling.BILINEAR, box=box))


def _padded(pixels: Pixels, margin: int) -> Pixels:
    """The image with its mirror image around it."""
    return np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")


def _coloured(pixels: Pixels, gains: float | tuple[float, float, float], offset: float = 0.0) -> Pixels:
    return _rounded(pixels * np.asarray(gains, dtype=np.float32) + np.float32(offset))


def _contrasted(pixels: Pixels, factor: float) -> Pixels:
    return _coloured(pixels, factor, _MIDDLE_GREY * (1 - factor))


def _grey(pixels: Pixels) -> Pixels:
    return _rounded(np.repeat((pixels @ _LUMA)[..., np.newaxis], 3, axis=2))


def _blurred(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(pixels.shape[0] / 128)))


def _at_half_resolution(pixels: Pixels) -> Pixels:
    size = pixels.shape[0]
    small = Image.fromarray(pixels).resize((max(1, size // 2),) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((size, size), Image.Resampling.BILINEAR))


def _noisy(pixels: Pixels, generator: np.random.Generator) -> Pixels:
    return _rounded(pixels + np.float32(8) * generator.standard_normal(pixels.shape, dtype=np.float32))


def _compressed(pixels: Pixels) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=40)
    with Image.open(buffer) as image:
        return np.asarray(image)


def _rounded(values: NDArray[np.float32]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _always(function: Callable[..., Pixels], *arguments: object) -> Function:
    """A function of pixels as one that leaves nothing to chance."""
    return lambda pixels, _: np.ascontiguousarray(function(pixels, *arguments))


CHANGES = (
    Change(
        "mirror", "Mirrored", "Left and right exchanged, which makes no difference to a lesion.", _always(np.fliplr)
    ),
    Change("turn-90", "Turned by 90 degrees", "The camera was held upright instead of across.", _always(np.rot90)),
    Change(
        "turn-30",
        "Turned by 30 degrees",
        "The camera was tilted; the corners outside the picture are filled by mirroring.",
        _always(_turned, 30, True),
    ),
    Change(
        "turn-30-black",
        "Turned by 30 degrees, black corners",
        "The same tilt, with black corners outside the picture, as many programs leave them.",
        _always(_turned, 30, False),
    ),
    Change(
        "crop",
        "Cropped by a fifth",
        "Only the middle four fifths of each side, enlarged: the camera was closer.",
        _always(_framed, 0.8, 0.8),
    ),
    Change(
        "zoom-out",
        "Zoomed out",
        "The picture at .85 of its size, with its mirror image around it: the camera was further away.",
        _always(_framed, 1 / 0.85, 1 / 0.85),
    ),
    Change(
        "squash",
        "Squashed",
        "A quarter less high, as a 4:3 picture becomes if it is made square.",
        _always(_framed, 1.0, 1 / 0.75),
    ),
    Change("brighter", "Brighter", "A fifth more light.", _always(_coloured, 1.2)),
    Change("darker", "Darker", "A fifth less light.", _always(_coloured, 0.8)),
    Change(
        "more-contrast",
        "More contrast",
        "A quarter more contrast, as many cameras add automatically.",
        _always(_contrasted, 1.25),
    ),
    Change(
        "less-contrast",
        "Less contrast",
        "A quarter less contrast, as through too much gel.",
        _always(_contrasted, 0.75),
    ),
    Change("warmer", "Warmer", "A tenth more red and less blue, as in lamplight.", _always(_coloured, (1.1, 1.0, 0.9))),
    Change("cooler", "Cooler", "A tenth less red and more blue, as in daylight.", _always(_coloured, (0.9, 1.0, 1.1))),
    Change(
        "grey",
        "In grey",
        "All colour removed. Colour is informative about a lesion, so more decisions may flip.",
        _always(_grey),
        most_flipped=0.15,
    ),
    Change("blur", "Blurred", "Slightly out of focus: by a 128th of the side.", _always(_blurred)),
    Change(
        "half-resolution",
        "Half the resolution",
        "Reduced to half the side and enlarged again.",
        _always(_at_half_resolution),
    ),
    Change("noise", "Noise", "Noise of 8 grey levels, as in poor light.", _noisy),
    Change("jpeg", "JPEG", "Saved as a JPEG of quality 40, as messaging apps do.", _always(_compressed)),
    Change(
        "dark-corners",
        "Dark corners, hard edge",
        "A round field surrounded by black, as many dermatoscopes produce.",
        _always(with_dark_corners, 0.984, 0.031),
    ),
    Change(
        "dark-corners-soft",
        "Dark corners, soft edge",
        "The light falls off slowly towards the corners.",
        _always(with_dark_corners, 1.25, 0.625),
    ),
    Change(
        "ruler",
        "Ruler",
        "The ticks of a ruler along one of the edges.",
        lambda pixels, generator: with_ruler(pixels, int(generator.integers(4))),
    ),
    Change("hair", "Hair", "Twelve dark hairs across the picture.", with_hairs),
)
