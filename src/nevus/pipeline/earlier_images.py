"""The images that an earlier run was trained or validated on, by their bytes; no image is opened."""

from __future__ import annotations

import logging
from collections.abc import Collection

from nevus.core.dataset import Dataset
from nevus.core.pretrained import are_of_a_run, earlier_run
from nevus.core.runs import Run

_log = logging.getLogger(__name__)


def hashes_seen(run: Run, but: Collection[str] = ("test",)) -> set[str] | None:
    """SHA-256 of the files that the run, or any fold of it, was trained or validated on; None if that is not known.

    By their bytes, because the same image has another path in an archive or below another folder.

    Args:
        run: finished.
        but: the splits whose images do not count.
    """
    hashes: set[str] = set()
    for each in run.folds or [run]:
        dataset = each.dataset
        if not dataset.manifest_csv.exists() or dataset.fingerprint != each.recorded("dataset_fingerprint"):
            return None
        hashes.update(row.sha256 for row in dataset.rows if row.split not in but)
    return hashes


def warn_of_trained(dataset: Dataset, weights: str) -> None:
    """Warns if a training begins with weights that learned from its validation images, or that know its test images.

    Args:
        dataset: prepared and split.
        weights: as `--weights` names them.
    """
    run = earlier_run(weights) if are_of_a_run(weights) else None
    if run is None:
        return
    # Both choose weights by validation, so that images of it may be the same.
    for split, but, what in (("val", ("val", "test"), "trained"), ("test", ("test",), "trained or validated")):
        hashes = hashes_seen(run, but)
        if hashes is None:
            _log.warning(
                "the images that %s was trained on are not known, because its dataset is gone or has changed. If some "
                "are among those of validation or test, these scores will be too good.",
                run.directory,
            )
            return
        rows = [row for row in dataset.rows if row.split == split]
        if num_seen := sum(row.sha256 in hashes for row in rows):
            _log.warning(
                "%d of %d images of split %s are among those that %s was %s on, so its scores will be too good. "
                "Expected none: name other images, or keep the splits of the earlier run.",
                num_seen,
                len(rows),
                split,
                run.directory,
                what,
            )
