"""How familiar an image is: the distance of its pooled features to prototypes of the training images, as a share.

The pooled features are what the last dense layer sees. Their roots are whitened by the training images' covariance,
the directions that vary little left out, and compared with the centres of clusters of the training images; the squared
distance to the nearest one becomes the share of the validation images that are farther. docs/familiarity.md compares
this with other measures. Here is the arithmetic in NumPy; exported files have nodes of their own for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nevus.core.familiarity import FamiliarityLimit

# Added to a feature below the root, so that rounding near 0 stays small.
ROOT_OFFSET = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """From pooled features to familiarity.

    Attributes:
        centre: float32 [K], the mean of the training images' roots.
        directions: float32 [K, R], the whitening.
        prototypes: float32 [P, R], whitened centres of clusters of the training images.
        distances: float32 [Q + 1], increasing: squared distances of validation images.
        shares: float32 [Q + 1], decreasing from 1 to 0: of the validation images, those that are farther.
        limit: below which an image is unfamiliar.
    """

    centre: NDArray[np.float32]
    directions: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    distances: NDArray[np.float32]
    shares: NDArray[np.float32]
    limit: FamiliarityLimit

    @property
    def pieces(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """The line as a sum: each piece's farther end, slope and share, float32 [Q] each.

        The familiarity of a squared distance d is the sum over the pieces of share * clip((end - d) * slope, 0, 1).
        """
        return self.distances[1:], np.reciprocal(np.diff(self.distances)), -np.diff(self.shares)

    def of(self, pooled: NDArray[np.floating]) -> NDArray[np.float64]:
        """float64 [N] in [0, 1], of pooled features [N, K]."""
        squared = squared_distances(roots(pooled) - self.centre, self.directions, self.prototypes)
        return np.interp(squared, self.distances.astype(np.float64), self.shares)


def roots(pooled: NDArray[np.floating]) -> NDArray[np.float64]:
    """float64 of the same shape: square roots that keep their sign, with `ROOT_OFFSET` so that none is steep at 0."""
    exact = pooled.astype(np.float64)
    return exact / np.sqrt(np.abs(exact) + ROOT_OFFSET)


def squared_distances(
    centred: NDArray[np.float64], directions: NDArray[np.floating], prototypes: NDArray[np.floating]
) -> NDArray[np.float64]:
    """float64 [N]: of each image, [N, K], to the nearest prototype."""
    whitened = centred @ directions.astype(np.float64)
    apart = [((whitened - prototype) ** 2).sum(axis=1) for prototype in prototypes.astype(np.float64)]
    return np.asarray(np.min(apart, axis=0))
