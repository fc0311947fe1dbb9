"""Can the label be told without looking at the lesion? A logistic regression on what surrounds it tries.

It sees the border of the image, the mean colour, or facts of the file; each alone, then all.
What it can tell, a network can learn instead of the lesion. Judged by cross-validation over groups,
so that copies of an image do not help it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nevus.core.dataset import Dataset
from nevus.core.errors import DataError
from nevus.core.image_formats import READ
from nevus.core.manifest import ManifestRow
from nevus.core.preprocess import Pixels, read_header
from nevus.core.terminal import progress
from nevus.data.archives import ImageReader
from nevus.data.groups import connected_components, pairs_related
from nevus.data.near_duplicates import DuplicatePair

Floats = NDArray[np.float64]

NUM_FOLDS = 5
# Enough for an AUC to two places; more would only take longer.
MOST_IMAGES = 20_000
# Sixteenths of the side that count as border.
_BORDER = 1 / 16
_BATCH = 256


@dataclass(frozen=True, slots=True)
class Score:
    """ROC-AUC for malignant over the folds: mean, lowest and highest. It is not an interval: folds share images."""

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """How well the label can be told from each, and a remark on what could not be looked at."""

    scores: tuple[Score, ...]
    note: str = ""


def find_shortcuts(dataset: Dataset, pairs: Sequence[DuplicatePair]) -> Shortcuts:
    """Scores the label from the border, the mean colour and the facts of the files.

    Args:
        dataset: prepared.
        pairs: images that are the same picture, kept in one fold.

    Returns:
        A score for each of what it sees, and for all together; none if a class has too few groups.
    """
    groups = _groups(dataset.rows, pairs)
    malignant = np.array([row.label in dataset.info.classes.malignant for row in dataset.rows])
    # Seeded, so that an audit says the same twice.
    chosen = np.sort(np.random.default_rng(0).permutation(len(malignant))[:MOST_IMAGES])
    rows = [dataset.rows[position] for position in chosen]
    malignant, groups = malignant[chosen], groups[chosen]
    rarest = min(len(np.unique(groups[malignant == side])) for side in (False, True))
    if rarest < 2 * NUM_FOLDS:
        return Shortcuts((), f"Not looked for: a class has {rarest} groups, and {2 * NUM_FOLDS} are needed.")

    border, colour = _pixel_features(dataset.pixels, [row.pixel_index for row in rows])
    seen = {"the border pixels": border, "the mean colour": colour}
    facts = _file_facts(dataset, rows)
    note = ""
    if facts is None:
        note = "Sizes and types of the files were not looked at: the source folder is not there any more."
    elif facts.std(axis=0).any():
        seen["the file's size and type"] = facts
    else:
        note = "All files are of one size and type."
    if len({row.source for row in rows}) > 1:
        seen["the source's name"] = _one_hot([row.source for row in rows])
    scores = [_score(name, features, malignant, groups) for name, features in seen.items()]
    *names, last = seen
    everything = _score(f"{', '.join(names)} and {last}", np.hstack(list(seen.values())), malignant, groups)
    return Shortcuts((*scores, everything), note)


def _groups(rows: Sequence[ManifestRow], pairs: Sequence[DuplicatePair]) -> NDArray[np.int64]:
    positions = {row.image_id: position for position, row in enumerate(rows)}
    found = ((positions[pair.first], positions[pair.second]) for pair in pairs)
    return np.array(connected_components(len(rows), chain(found, pairs_related(rows))))


def _pixel_features(pixels: Pixels, indices: Sequence[int]) -> tuple[Floats, Floats]:
    """Border: mean and deviation of R, G and B on each side and corner. Colour: mean of R, G and B."""
    size = pixels.shape[1]
    width = max(1, round(size * _BORDER))
    ends = (slice(0, width), slice(width, size - width), slice(size - width, size))
    parts = [(y, x) for y in ends for x in ends if (y, x) != (ends[1], ends[1])]
    border, colour = [], []
    starts = range(0, len(indices), _BATCH)
    for start in progress(starts, total=len(starts), label="Looking for shortcuts", unit="batch"):
        images = pixels[np.asarray(indices[start : start + _BATCH])].astype(np.float64)
        rims = [images[:, y, x] for y, x in parts]
        border.append(np.hstack([figure for rim in rims for figure in (rim.mean(axis=(1, 2)), rim.std(axis=(1, 2)))]))
        colour.append(images.mean(axis=(1, 2)))
    return np.concatenate(border), np.concatenate(colour)


def _file_facts(dataset: Dataset, rows: Sequence[ManifestRow]) -> Floats | None:
    """Width, height, shape, bytes, bytes a pixel (all in logarithms) and type; None if any file is not there."""
    facts = []
    with ExitStack() as stack:
        readers = {source.name: stack.enter_context(ImageReader(Path(source.root))) for source in dataset.info.sources}
        for row in progress(rows, total=len(rows), label="Reading file headers"):
            try:
                file = readers[row.source].locate(Path(row.path))
                num_bytes = len(file) if isinstance(file, bytes) else file.stat().st_size
                kind, width, height = read_header(file)
            except (KeyError, DataError, OSError):
                # A file that has changed is as good as gone.
                return None
            sizes = np.log([width, height, width / height, num_bytes, num_bytes / (width * height)])
            facts.append([*sizes, *(kind == each.name for each in READ)])
    return np.array(facts, dtype=np.float64)


def _one_hot(names: Sequence[str]) -> Floats:
    known, index = np.unique(names, return_inverse=True)
    return np.eye(len(known))[index]


def _score(name: str, features: Floats, malignant: NDArray[np.bool_], groups: NDArray[np.int64]) -> Score:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    found = []
    with warnings.catch_warnings():
        # A fit that stops early tells a little less than it could, which an AUC to two places does not show.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for train, test in StratifiedGroupKFold(NUM_FOLDS, shuffle=True, random_state=0).split(
            features, malignant, groups
        ):
            model.fit(features[train], malignant[train])
            found.append(float(roc_auc_score(malignant[test], model.decision_function(features[test]))))
    return Score(name, float(np.mean(found)), min(found), max(found))
