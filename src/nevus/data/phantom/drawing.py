"""From latents and nuisance to pixels: skin, lesion, hair, ruler marks, light and lens.

Shapes live in the plane of the lesion, in units of half the image's side, and a view
maps that plane onto pixels; so views of one lesion show the same lesion, and a
phantom looks alike at every image size. Colours follow Beer and Lambert: light that
passed a pigment of density d is exp(-d * absorbance) of what it was. This module
decides nothing about classes and writes no files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ConfigError
from nevus.core.preprocess import Pixels
from nevus.data.phantom.fields import (
    SUPERSAMPLING,
    Field,
    Plane,
    canvas_for,
    coverage,
    pixel_centres,
    rgb,
    sigmoid,
    smooth_noise,
    transmitted,
)
from nevus.data.phantom.latents import Latents, Nuisance, Stream, draw_latents, draw_nuisance, random_stream, separation

MIN_SIZE, MAX_SIZE = 16, 1024

# sRGB in [0, 1]. Skin from fair to dark.
_SKIN = np.stack([rgb(0.95, 0.80, 0.76), rgb(0.84, 0.64, 0.52), rgb(0.45, 0.30, 0.23)])
_HAIR, _INK = rgb(0.20, 0.13, 0.09), rgb(0.12, 0.12, 0.12)
# Colours of parts of a lesion, relative to the skin around it.
_BLUE_GREY, _WHITE, _BLACK = rgb(0.44, 0.60, 0.82), rgb(1.06, 1.12, 1.16), rgb(0.12, 0.10, 0.10)
# Absorbance per unit of density in R, G, B.
_MELANIN, _HAEMOGLOBIN = rgb(0.52, 0.92, 1.35), rgb(0.28, 1.05, 0.80)
_MAX_GLOBULES = 48


@dataclass(frozen=True, slots=True)
class Phantom:
    """One generated image, and all that is true of it.

    Attributes:
        image: uint8 [image_size, image_size, 3], RGB.
        mask: bool [image_size, image_size], True on the lesion.
        malignant: the class.
        latents: what carries the class.
        nuisance: what does not.
    """

    image: Pixels
    mask: NDArray[np.bool_]
    malignant: bool
    latents: Latents
    nuisance: Nuisance


def phantom(
    seed: int, image_size: int, malignant: bool, *, difficulty: float = 0.5, lesion: int = 0, view: int = 0
) -> Phantom:
    """Draws one phantom in memory; the same arguments give the same pixels.

    Args:
        seed: of the whole population, 0 or more.
        image_size: side of the square in pixels, 16 to 1024.
        malignant: the class to draw from.
        difficulty: 0 (classes far apart) to 1 (mostly overlapping); see `bayes_roc_auc`.
        lesion: number of the lesion in the population, 0 or more.
        view: number of the photograph of that lesion: other pose, light, hair and lens.

    Raises:
        ConfigError: an argument is out of range.
    """
    check_arguments(image_size, difficulty, seed, lesion, view)
    latents = draw_latents(seed, lesion, malignant, difficulty)
    nuisance = draw_nuisance(seed, lesion, view)
    plane = Plane(nuisance, image_size)
    scene = random_stream(seed, Stream.SCENE, lesion, view)

    image = _skin(nuisance, image_size, scene)
    image, mask = _lesion(image, plane, latents, nuisance, random_stream(seed, Stream.TEXTURE, lesion))
    image = _hairs(image, nuisance, scene)
    if nuisance.ruler:
        image = _ruler(image, scene)
    image = _camera(image, nuisance, scene)
    pixels = np.rint(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Phantom(pixels, mask, malignant, latents, nuisance)


def check_arguments(image_size: int, difficulty: float, seed: int, lesion: int = 0, view: int = 0) -> None:
    """Raises ConfigError where an argument of `phantom` is out of range."""
    separation(difficulty)
    if not MIN_SIZE <= image_size <= MAX_SIZE:
        raise ConfigError(f"image_size: expected {MIN_SIZE} to {MAX_SIZE}. Received: {image_size!r}.")
    for name, value in (("seed", seed), ("lesion", lesion), ("view", view)):
        if value < 0:
            raise ConfigError(f"{name}: expected 0 or more. Received: {value!r}.")


def _skin(nuisance: Nuisance, image_size: int, scene: np.random.Generator) -> Field:
    """float32 [S, S, 3]: the patient's tone, mottled."""
    tone = rgb(*(np.interp(nuisance.skin_tone, (0.0, 0.5, 1.0), channel) for channel in _SKIN.T))
    blood = 0.035 * smooth_noise(4, image_size, scene) + 0.012 * smooth_noise(40, image_size, scene)
    melanin = 0.025 * smooth_noise(3, image_size, scene) + 0.012 * smooth_noise(20, image_size, scene)
    return tone * transmitted(blood, _HAEMOGLOBIN) * transmitted(melanin, _MELANIN)


def _lesion(
    skin: Field, plane: Plane, latents: Latents, nuisance: Nuisance, texture: np.random.Generator
) -> tuple[Field, NDArray[np.bool_]]:
    """The skin with the lesion on it, and the lesion's mask."""
    asymmetry, border, colour, structure = (
        _level(z) for z in (latents.asymmetry, latents.border, latents.colour, latents.structure)
    )
    # A and B: the outline. Low odd harmonics make it lopsided, high ones notched.
    inside = _outline(plane, nuisance, asymmetry, border, texture)
    softness = 0.20 - 0.15 * border
    cover = sigmoid(inside / softness * 4.0)

    # A and C: pigment, heavier on one side, uneven.
    angle = texture.uniform(0.0, math.tau)
    tilt = (plane.u * math.cos(angle) + plane.v * math.sin(angle)) / nuisance.radius
    uneven = plane.noise(5, texture) * (0.08 + 0.22 * colour)
    density = nuisance.pigment * np.exp((0.6 * asymmetry) * tilt + uneven)

    # D: the network, regular or torn; globules, few and alike or many and of all sizes.
    density += _network(plane, nuisance, structure, texture)
    density += 0.9 * _globules(plane, nuisance, structure, texture)

    density = np.clip(density, 0.05, 3.0) * cover
    red = nuisance.redness
    image = skin * transmitted(density * (1 - red), _MELANIN) * transmitted(density * red, _HAEMOGLOBIN)

    # C: further colours in patches that grow with the latent; dark and light ones, so that the mean says little.
    for paint, opacity in ((_BLACK, 0.8), (_WHITE, 0.65), (_BLUE_GREY, 0.75)):
        clouds = plane.noise(5, texture) + 0.4 * plane.noise(16, texture)
        patch = sigmoid((clouds - (2.6 - 2.2 * colour)) * 4.0)
        image += (opacity * patch * cover)[..., None] * (paint * skin - image)
    return image, inside > 0.0


def _outline(plane: Plane, nuisance: Nuisance, asymmetry: float, border: float, texture: np.random.Generator) -> Field:
    """float32 [S, S]: distance inside the lesion's edge over its radius, negative outside."""
    angles = np.linspace(0.0, math.tau, 720, endpoint=False)

    def harmonics(orders: range, amplitude: float) -> NDArray[np.float64]:
        waves = [texture.normal() * np.cos(k * angles + texture.uniform(0.0, math.tau)) for k in orders]
        return np.asarray(amplitude / math.sqrt(len(orders)) * np.sum(waves, axis=0))

    log_radius = harmonics(range(1, 4), 0.06 + 0.36 * asymmetry) + harmonics(range(6, 15), 0.01 + 0.07 * border)
    radius = nuisance.radius * np.exp(np.clip(log_radius, -0.6, 0.45))
    stretch = math.sqrt(nuisance.elongation)
    u, v = plane.u * stretch, plane.v / stretch
    turn = np.arctan2(v, u) * (len(angles) / math.tau)
    at_angle = radius.astype(np.float32)[turn.astype(np.int32) % len(angles)]
    ragged = plane.noise(7, texture) + 0.7 * plane.noise(15, texture)
    distance: Field = (at_angle - np.sqrt(u * u + v * v)) / nuisance.radius
    return distance + (0.02 + 0.16 * border) * ragged


def _network(plane: Plane, nuisance: Nuisance, structure: float, texture: np.random.Generator) -> Field:
    """float32 [S, S]: melanin density of a honeycomb of lines; warped and patchy as `structure` grows."""
    wave = math.tau / nuisance.network_period
    warp = 0.5 + 1.2 * structure
    a = plane.u * wave + warp * plane.noise(5, texture)
    b = plane.v * wave + warp * plane.noise(5, texture)
    half, height = 0.5, math.sqrt(0.75)
    # Three plane waves at 120 degrees add up to a hexagonal lattice of bright holes.
    holes = np.cos(a) + np.cos(half * a + height * b) + np.cos(half * a - height * b)
    lines = sigmoid(-2.0 * holes)
    patches: Field = np.clip(1.0 + structure * plane.noise(4, texture), 0.0, 2.0)
    return (0.10 + 0.45 * structure) * nuisance.network_strength * lines * patches


def _globules(plane: Plane, nuisance: Nuisance, structure: float, texture: np.random.Generator) -> Field:
    """float32 [S, S] in [0, 1]: dots; more of them, and of more sizes, as `structure` grows."""
    angle = texture.uniform(0.0, math.tau, _MAX_GLOBULES)
    distance = 0.9 * nuisance.radius * np.sqrt(texture.uniform(0.0, 1.0, _MAX_GLOBULES))
    sizes = 0.022 * np.exp((0.1 + 0.4 * structure) * texture.standard_normal(_MAX_GLOBULES))
    count = round(4 + (_MAX_GLOBULES - 4) * structure**1.5)
    centres = plane.to_pixels(distance * np.cos(angle), distance * np.sin(angle))
    radii = sizes * nuisance.scale * plane.image_size * SUPERSAMPLING / 2
    canvas, draw = canvas_for(plane.image_size)
    for (x, y), radius in zip(centres[:count], radii[:count], strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return coverage(canvas)


def _hairs(image: Field, nuisance: Nuisance, scene: np.random.Generator) -> Field:
    """The image with hairs on it: arcs from edge to edge, mostly of one direction."""
    canvas, draw = canvas_for(image.shape[0])
    side = canvas.width
    direction = scene.uniform(0.0, math.tau)
    t = np.linspace(-1.3, 1.3, 16)
    for _ in range(nuisance.num_hairs):
        turn = direction + scene.normal(0.0, 0.45)
        along, across = np.array([math.cos(turn), math.sin(turn)]), np.array([-math.sin(turn), math.cos(turn)])
        bend = scene.uniform(-1.0, 1.0) + scene.normal(0.0, 0.35) * t**2 + scene.normal(0.0, 0.15) * t
        points = (t[:, None] * along + bend[:, None] * across + 1.0) * (side / 2)
        draw.line(points.ravel().tolist(), fill=255, width=max(1, round(side * scene.uniform(0.004, 0.011))))
    return image + (coverage(canvas) * nuisance.hair_darkness)[..., None] * (_HAIR - image)


def _ruler(image: Field, scene: np.random.Generator) -> Field:
    """The image with a row of ruler marks along a line near one edge."""
    canvas, draw = canvas_for(image.shape[0])
    side = canvas.width
    turn = scene.uniform(0.0, math.tau)
    along, inward = np.array([math.cos(turn), math.sin(turn)]), np.array([-math.sin(turn), math.cos(turn)])
    start = (1.0 - scene.uniform(0.78, 0.92) * inward) * (side / 2)
    for mark in range(-12, 13):
        foot = start + mark * 0.11 * along * (side / 2)
        tip = foot + (0.12 if mark % 5 == 0 else 0.07) * inward * (side / 2)
        draw.line((*foot.tolist(), *tip.tolist()), fill=255, width=max(1, side // 110))
    return image + (coverage(canvas) * 0.8)[..., None] * (_INK - image)


def _camera(image: Field, nuisance: Nuisance, scene: np.random.Generator) -> Field:
    """The image under uneven light, white balance, dark corners and sensor noise."""
    size = image.shape[0]
    x, y = pixel_centres(size)
    slope_x, slope_y = scene.normal(0.0, 0.04), scene.normal(0.0, 0.04)
    light = nuisance.exposure * (1 + slope_x * x + slope_y * y)
    depth = (nuisance.vignette - np.hypot(x, y)) / nuisance.vignette_softness
    light = light * sigmoid(depth * 4.0)
    gains = rgb(1.0 + nuisance.warmth, 1.0, 1.0 - nuisance.warmth)
    noise = scene.standard_normal((size, size, 3), dtype=np.float32) * 0.008
    return np.asarray(image * light[..., None] * gains + noise)


def _level(z: float) -> float:
    """A latent as a share in (0, 1): monotone, so nothing of it is lost, and bounded, so every value can be drawn."""
    return 1.0 / (1.0 + math.exp(-1.2 * z))
