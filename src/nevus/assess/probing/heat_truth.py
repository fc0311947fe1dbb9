"""Whether heatmaps show what the model looks at: measures on images whose lesion is outlined.

Each function takes maps of any origin, so that a model's are judged like a centre Gaussian or like noise. Nothing
here knows how a map or a risk is made.

References:
    [1] Wang et al. (2020). Score-CAM. CVPR workshops. arXiv:1910.01279. (Energy-based pointing game.)
    [2] Zhang et al. (2018). Top-down neural attention by excitation backprop. IJCV 126. (Pointing game.)
    [3] Petsiuk, Das, Saenko (2018). RISE. BMVC. arXiv:1806.07421. (Deletion and insertion.)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.stats import rankdata

from nevus.core.preprocess import Pixels

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# From uint8 [N, S, S, 3], RGB, to the risk, [N].
Risk = Callable[[Pixels], NDArray[np.floating]]

# Steps of a deletion or insertion curve.
NUM_STEPS = 10


def enlarged(maps: NDArray[np.floating], size: int) -> Floats:
    """Maps [N, h, w] as float64 [N, size, size], by bilinear interpolation."""
    large = [Image.fromarray(one.astype(np.float32)).resize((size, size), Image.Resampling.BILINEAR) for one in maps]
    return np.stack([np.asarray(one, dtype=np.float64) for one in large])


def share_inside(maps: Floats, masks: Bools) -> Floats:
    """Float64 [N]: the share of each map's positive heat that lies on the lesion [1]; NaN without positive heat.

    Args:
        maps: float64 [N, S, S], signed.
        masks: bool [N, S, S], True on the lesion.
    """
    heat = np.maximum(maps, 0)
    total = heat.sum(axis=(1, 2))
    inside = (heat * masks).sum(axis=(1, 2))
    return np.asarray(np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0))


def hits(maps: Floats, masks: Bools) -> Bools:
    """Bool [N]: whether the hottest place of each map lies on the lesion (pointing game [2])."""
    hottest = maps.reshape(len(maps), -1).argmax(axis=1)
    return np.asarray(masks.reshape(len(masks), -1)[np.arange(len(maps)), hottest])


def curve_areas(risk: Risk, pixels: Pixels, maps: Floats) -> tuple[Floats, Floats]:
    """The mean risk while the hottest places are blurred one after the other, and while a blurred image gets them back.

    A map that tells the truth makes the risk fall early in the first (deletion: low is good) and rise early in the
    second (insertion: high is good) [3].

    Args:
        risk: of the model.
        pixels: uint8 [N, S, S, 3], RGB.
        maps: float64 [N, S, S].

    Returns:
        The areas under the deletion and the insertion curves, float64 [N] in [0, 1] each.
    """
    blurred = np.stack([_blurred(image) for image in pixels])
    # The rank of each place among all of its image, 0 for the hottest, as a share.
    order = (-maps).reshape(len(maps), -1).argsort(axis=1, kind="stable")
    ranks = np.empty(order.shape)
    np.put_along_axis(ranks, order, np.arange(order.shape[1]) / order.shape[1], axis=1)
    ranks = ranks.reshape(maps.shape)
    deletion, insertion = [], []
    for step in range(NUM_STEPS + 1):
        taken = (ranks < step / NUM_STEPS)[..., np.newaxis]
        deletion.append(risk(np.where(taken, blurred, pixels)))
        insertion.append(risk(np.where(taken, pixels, blurred)))
    return _area(deletion), _area(insertion)


def _area(curve: list[NDArray[np.floating]]) -> Floats:
    """By the trapezoidal rule."""
    points = np.array(curve, dtype=np.float64)
    return np.asarray((points[:-1] + points[1:]).sum(axis=0) / (2 * NUM_STEPS), dtype=np.float64)


def centre_gaussian(num_images: int, size: int) -> Floats:
    """Maps that know nothing but that lesions are in the middle; its standard deviation is a quarter of the side."""
    distance = (np.arange(size) + 0.5) / size - 0.5
    bell = np.exp(-(distance**2) / (2 * 0.25**2))
    return np.broadcast_to(np.outer(bell, bell), (num_images, size, size))


def random_maps(num_images: int, map_size: tuple[int, int], size: int, seed: int) -> Floats:
    """Maps of signed noise, as coarse as the model's own."""
    return enlarged(np.random.default_rng(seed).normal(size=(num_images, *map_size)), size)


def rank_correlation(first: Floats, second: Floats) -> Floats:
    """Float64 [N]: Spearman's correlation of each pair of maps, [N, h, w] both; NaN where one is constant."""
    flat = [maps.reshape(len(maps), -1) for maps in (first, second)]
    ranks = [rankdata(maps, axis=1) for maps in flat]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    norm = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    product = (centred[0] * centred[1]).sum(axis=1)
    return np.asarray(np.divide(product, norm, out=np.full(len(first), np.nan), where=norm > 0))


def _blurred(image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(image.shape[0] / 10)))
