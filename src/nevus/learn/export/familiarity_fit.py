"""Fits how familiar an image is: prototypes to training images, scale and limit to validation images.

`familiarity` is what is fitted; the choice of this measure and of its sizes is told in docs/familiarity.md.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from nevus.core.dataset import Dataset
from nevus.core.familiarity import UNFAMILIAR_SHARE, FamiliarityLimit
from nevus.core.files import sha256_of
from nevus.core.preprocess import Pixels
from nevus.core.runs import Run
from nevus.learn.export.familiarity import Familiarity, roots, squared_distances
from nevus.learn.export.samples import pixels_of, spread
from nevus.learn.networks.activation_map import tap
from nevus.learn.networks.tensors import FEATURES
from nevus.learn.training.predict import load_model

# With 96 features, what is kept takes 31 KB.
MAX_DIRECTIONS, MAX_PROTOTYPES = 48, 64
# Fewer training images than this for each direction, or for each prototype, would describe themselves.
_IMAGES_PER_DIRECTION, _IMAGES_PER_PROTOTYPE = 8, 20
# Towards 1, what the standardised features vary by on average: no direction counts for more than ten times another.
SHRINKAGE = 0.1
# Among the roots of standardised features, one that varies by less than this share of the median is left out.
_LEAST_SPREAD = 0.01
# Or by less than this share of its size: of such a root, scaled up, rounding would be a large part.
_ROUNDING = 1e-3
# More training and validation images change the answer little.
MAX_TRAINING_IMAGES, MAX_VALIDATION_IMAGES = 4096, 4096
# Groups of validation images below which 2 % of them cannot be told.
LEAST_GROUPS = 20
# Shares of the validation images that are farther, at which the distance is kept; between them it is a line.
_SHARES = np.array([0, 0.005, 0.01, UNFAMILIAR_SHARE, 0.03, 0.05, 0.075, *np.linspace(0.1, 1, 19)])

_BATCH_SIZE = 32


def fit(training: NDArray[np.floating], validation: NDArray[np.floating], groups: Sequence[str]) -> Familiarity | None:
    """Fits the measure to training images, and its scale and limit to validation images.

    Args:
        training: [N, K], pooled features.
        validation: [M, K], of images that were not trained on.
        groups: of the M images; each group counts once, its images sharing its weight.

    Returns:
        The measure; None if there are fewer than `LEAST_GROUPS` groups, or no feature varies.
    """
    sizes = Counter(groups)
    seen = roots(training)
    centre, spread_of = seen.mean(axis=0), seen.std(axis=0)
    least = np.maximum(_LEAST_SPREAD * np.median(spread_of), _ROUNDING * np.maximum(np.abs(centre), _ROUNDING))
    varies = spread_of > least
    if len(sizes) < LEAST_GROUPS or not varies.any() or not np.isfinite(seen).all():
        return None
    scale = np.divide(1.0, spread_of, out=np.zeros_like(spread_of), where=varies)
    _, values, vectors = np.linalg.svd((seen - centre) * scale, full_matrices=False)
    most = max(1, min(MAX_DIRECTIONS, len(seen) // _IMAGES_PER_DIRECTION))
    variances = (1 - SHRINKAGE) * values[:most] ** 2 / len(seen) + SHRINKAGE
    directions = scale[:, None] * vectors[:most].T / np.sqrt(variances)
    prototypes = _prototypes((seen - centre) @ directions)
    squared = squared_distances(roots(validation) - centre, directions, prototypes)
    distances, shares = _farther(squared, np.array([1 / sizes[group] for group in groups]))
    limit = FamiliarityLimit(UNFAMILIAR_SHARE, "val", len(groups), len(sizes))
    return Familiarity(
        centre.astype(np.float32),
        directions.astype(np.float32),
        prototypes.astype(np.float32),
        distances.astype(np.float32),
        shares.astype(np.float32),
        limit,
    )


def familiarity_of(run: Run, dataset: Dataset) -> Familiarity | None:
    """The measure of a run's network, or None as of `fit`; of the same network and images it is fitted once.

    Args:
        run: trained.
        dataset: the one that it was trained on.
    """
    return _fitted(run.directory, sha256_of(run.model_keras), dataset.directory, dataset.fingerprint)


@lru_cache(maxsize=16)
def _fitted(run: Path, network: str, dataset: Path, fingerprint: str) -> Familiarity | None:
    """Of folders; the fingerprints tell whether what is in them is still the same."""
    tapped, images = tap(load_model(Run(run))), Dataset(dataset)
    training = spread(images, "train", MAX_TRAINING_IMAGES)
    validation = spread(images, "val", MAX_VALIDATION_IMAGES)
    if len({row.group for row in validation}) < LEAST_GROUPS or not training:
        return None
    return fit(
        pooled_features(tapped, pixels_of(images, training)),
        pooled_features(tapped, pixels_of(images, validation)),
        [row.group for row in validation],
    )


def pooled_features(tapped: keras.Model, pixels: Pixels) -> NDArray[np.float32]:
    """float32 [N, K]: what the last dense layer of a network sees of images, uint8 [N, S, S, 3]."""
    batches = [
        np.asarray(tapped.predict_on_batch(pixels[start : start + _BATCH_SIZE].astype(np.float32))[FEATURES])
        for start in range(0, len(pixels), _BATCH_SIZE)
    ]
    return np.concatenate([maps.astype(np.float32).mean(axis=(1, 2)) for maps in batches])


def _prototypes(whitened: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres of clusters, [P, R], of images [N, R]."""
    most = max(1, min(MAX_PROTOTYPES, len(whitened) // _IMAGES_PER_PROTOTYPE))
    with warnings.catch_warnings():
        # Fewer different images than clusters: some centres are the same, which does no harm.
        warnings.simplefilter("ignore", ConvergenceWarning)
        centres: NDArray[np.float64] = KMeans(most, n_init=1, random_state=0).fit(whitened).cluster_centers_
    return centres


def _farther(
    squared: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances, increasing, and the share of the validation images that are farther than each, from 1 to 0."""
    order = np.argsort(-squared)
    before = np.cumsum(weights[order]) - weights[order]
    at_shares = np.interp(_SHARES, before / before[-1], squared[order])[::-1]
    # Of equal distances one stays, with the largest share; in single precision, as the files keep them.
    distances, first = np.unique(at_shares.astype(np.float32), return_index=True)
    shares = _SHARES[::-1][first]
    if len(distances) == 1:
        distances = np.array([distances[0], distances[0] + 1])
        shares = np.array([1.0, 0.0])
    shares[-1] = 0.0
    return distances.astype(np.float64), shares
