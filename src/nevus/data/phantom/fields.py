"""The building blocks of a drawing: smooth fields over an image or over the plane of a lesion, pigments, line art.

A field is an array [S, S] over the pixels of an image of side S; images are float32
[S, S, 3], RGB, 0 black to 1 white, while they are drawn. Coordinates span [-1, 1]
whatever S is, so that a phantom looks alike at every size. Nothing here knows what a
lesion or a hair is.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from nevus.data.phantom.latents import Nuisance

# float32 in fact; arithmetic with Python floats keeps it, which the type checker cannot see.
Field = NDArray[np.floating[Any]]

# Lesion-plane fields are drawn on grids over [-_EXTENT, _EXTENT], beyond what any view shows.
_EXTENT = 2.4
SUPERSAMPLING = 4


class Plane:
    """The plane of the lesion as one view shows it.

    Attributes:
        image_size: side of the image in pixels, S.
        u: float32 [S, S], first coordinate of each pixel in the plane, in units of half the image's side.
        v: float32 [S, S], second coordinate.
    """

    def __init__(self, nuisance: Nuisance, image_size: int) -> None:
        self.image_size = image_size
        x, y = pixel_centres(image_size)
        # u = (cos * (x - shift_x) + sin * (y - shift_y)) / scale, and v likewise: image to lesion.
        self._cos = math.cos(nuisance.rotation) / nuisance.scale
        self._sin = math.sin(nuisance.rotation) / nuisance.scale
        self._shift = (nuisance.shift_x, nuisance.shift_y)
        dx, dy = x - nuisance.shift_x, y - nuisance.shift_y
        self.u: Field = self._cos * dx + self._sin * dy
        self.v: Field = self._cos * dy - self._sin * dx

    def noise(self, cells: int, texture: np.random.Generator) -> Field:
        """float32 [S, S]: smooth noise of about unit variance that varies `cells` times across [-1, 1]."""
        side = math.ceil(cells * _EXTENT)
        grid = Image.fromarray(texture.standard_normal((side, side), dtype=np.float32))
        # Pillow's affine transform samples the grid at each pixel's centre, in C: grid position of (u, v).
        step, cell = 2.0 / self.image_size, side / (2.0 * _EXTENT)
        a, b = self._cos * cell, self._sin * cell
        x, y = -1.0 - self._shift[0], -1.0 - self._shift[1]
        affine = (a * step, b * step, a * x + b * y + side / 2, -b * step, a * step, a * y - b * x + side / 2)
        size = (self.image_size, self.image_size)
        sampled = grid.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
        # Interpolation between cells lowers the variance by about a third.
        return np.asarray(sampled) * 1.25

    def to_pixels(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 [N, 2]: where points of the plane lie on a canvas of `canvas_for`."""
        norm = self._cos**2 + self._sin**2
        x = (self._cos * u - self._sin * v) / norm + self._shift[0]
        y = (self._sin * u + self._cos * v) / norm + self._shift[1]
        return (np.stack([x, y], axis=1) + 1.0) * (self.image_size * SUPERSAMPLING / 2)


def sigmoid(x: Field) -> Field:
    """The logistic function: a soft step from 0 to 1."""
    # By the hyperbolic tangent, which cannot overflow.
    tangent: Field = np.tanh(0.5 * x)
    return 0.5 + 0.5 * tangent


def transmitted(density: Field, absorbance: Field) -> Field:
    """float32 [S, S, 3]: the share of light left by a pigment of that density [S, S]."""
    return np.asarray(np.exp(-density[..., None] * absorbance))


def pixel_centres(image_size: int) -> tuple[Field, Field]:
    """x float32 [1, S] and y float32 [S, 1] in (-1, 1)."""
    line = ((np.arange(image_size, dtype=np.float32) + 0.5) * (2.0 / image_size)) - 1
    return line[None, :], line[:, None]


def smooth_noise(cells: int, image_size: int, scene: np.random.Generator) -> Field:
    """float32 [S, S]: smooth noise in the image's own plane."""
    grid = Image.fromarray(scene.standard_normal((cells + 2, cells + 2), dtype=np.float32))
    size = (image_size, image_size)
    return np.asarray(grid.resize(size, Image.Resampling.BICUBIC, box=(1, 1, cells + 1, cells + 1)))


def canvas_for(image_size: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty grey canvas, `SUPERSAMPLING` times as fine as the image, and the means to draw on it."""
    canvas = Image.new("L", (image_size * SUPERSAMPLING, image_size * SUPERSAMPLING))
    return canvas, ImageDraw.Draw(canvas)


def coverage(canvas: Image.Image) -> Field:
    """float32 [S, S] in [0, 1]: how much of each pixel is drawn on."""
    return np.asarray(canvas.reduce(SUPERSAMPLING), dtype=np.float32) / 255.0


def rgb(red: float, green: float, blue: float) -> Field:
    """float32 [3]: a colour, or one value for each channel."""
    return np.array((red, green, blue), dtype=np.float32)
