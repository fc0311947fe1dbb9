"""How much each image weighs in training, so that no class, or no class of any source, outweighs another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.core.dataset import Dataset
from nevus.core.errors import DataError
from nevus.core.manifest import ManifestRow

SOURCE_AND_CLASS = "source-and-class"

# A source and a class; the source is empty where sources do not count.
Cell = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Balance:
    """The weights of images, whose mean over split train is 1.

    Attributes:
        dataset: prepared and split.
        cells: the weight of an image by its source and class, as split train has them.
    """

    dataset: Dataset
    cells: Mapping[Cell, float]

    def weights(self, split: str) -> NDArray[np.float32]:
        """float32 [N]: the weight of each image of a split, in manifest order.

        An image whose source has none of its class in split train weighs as much as its class does on average.
        """
        of_class = self.of_class()
        rows = self.dataset.rows_of(split)
        return np.array([self.cells.get(self._cell(row), of_class[row.label]) for row in rows], dtype=np.float32)

    def of_class(self) -> dict[str, float]:
        """The mean weight of the images of each class in split train, in the order of the classes."""
        total: dict[str, float] = dict.fromkeys(self.dataset.info.classes.names, 0.0)
        number = Counter[str]()
        for row in self.dataset.rows_of("train"):
            total[row.label] += self.cells[self._cell(row)]
            number[row.label] += 1
        return {name: total[name] / number[name] for name in self.dataset.info.classes.names}

    def to_json(self) -> dict[str, Any]:
        """What a run records: the mean weight by class, and by source and class where sources count."""
        by_source: dict[str, dict[str, float]] = {}
        for (source, label), weight in sorted(self.cells.items()):
            by_source.setdefault(source, {})[label] = weight
        return {"class_weights": self.of_class(), "source_weights": by_source if self._counts_sources else None}

    @property
    def _counts_sources(self) -> bool:
        return any(source for source, _ in self.cells)

    def _cell(self, row: ManifestRow) -> Cell:
        return (row.source if self._counts_sources else "", row.label)


def balance_of(dataset: Dataset, kind: str) -> Balance:
    """The weights that make every class weigh the same, in all images or within every source.

    By class, an image weighs inversely as its class has images (King and Zeng 2001). By source and class, the classes
    of a source share equally what the source weighs, and sources weigh as the square root of their number of images:
    by the number itself, a large archive would leave little for a small clinic; all alike, a few images would be seen
    too often for what they tell.

    Args:
        dataset: prepared and split.
        kind: 'class' or 'source-and-class'.

    Raises:
        DataError: a class has no image in split train.
    """
    rows, names = dataset.rows_of("train"), dataset.info.classes.names
    absent = sorted(set(names) - {row.label for row in rows})
    if absent:
        raise DataError(
            f"{dataset.manifest_csv}: split train has no image of {absent}. Expected images of every class. "
            "Run 'nevus split' again."
        )
    by_source = kind == SOURCE_AND_CLASS
    images = Counter((row.source if by_source else "", row.label) for row in rows)
    of_source, classes = Counter[str](), Counter[str]()
    for (source, _), number in images.items():
        of_source[source] += number
        classes[source] += 1
    roots = {source: number**0.5 for source, number in of_source.items()}
    return Balance(
        dataset,
        {
            (source, label): len(rows) * roots[source] / sum(roots.values()) / classes[source] / number
            for (source, label), number in images.items()
        },
    )
