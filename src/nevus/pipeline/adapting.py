"""`nevus.adapt`: a model file updated for a place, from labelled images of it, without training."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import nevus
from nevus.core.config import DEFAULTS, Config
from nevus.core.errors import DataError, RunError
from nevus.core.extras import check_installed
from nevus.core.files import sha256_of
from nevus.core.fingerprints import NONE, Fingerprints, digest, list_of, read_list, write_list
from nevus.core.modelfile import ModelSpec
from nevus.core.outputs import is_replaced
from nevus.core.shipped import find_model, shipped_models
from nevus.core.terminal import printable, progress
from nevus.core.vocabulary import ONNX_SUFFIX
from nevus.pipeline import known_images, validation_images
from nevus.pipeline.stages import paths

if TYPE_CHECKING:
    from nevus.assess.evaluation.adaptation import Adaptation, Images
    from nevus.core.dataset import Dataset
    from nevus.serve.adapted_file import Sample
    from nevus.serve.predictor import Predictor

_log = logging.getLogger(__name__)

# The list in a description's provenance, an entry for each time that the file was adapted.
ADAPTATIONS = "adaptations"

# Images on which the new file is compared with the old one, as for an export.
_COMPARED = 512


def adapt(
    model: str | Path,
    data: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    config: Config = DEFAULTS,
    *,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Updates a model file for a place without training, as `nevus adapt` does; docs/adapt.md.

    A new intercept of the risk, a new intercept and slope, or neither, whichever a closed test chooses; and thresholds
    by the rules that the file has. The order of the risks stays, and so do the heatmaps.

    Args:
        model: the name of a shipped model, an ONNX file that `nevus export` wrote, or a run's folder.
        data: labelled images of the place: what `nevus prepare` reads, one source or several, or one prepared dataset.
        out: the new file; next to the model, as `NAME-adapted.onnx`, if None.
        config: the options of preparation (not the image size and the classes, which are the model's), `bootstrap` and
            `seed`.
        overwrite: replace the file that is there, which may be the model itself.

    Returns:
        What the new file says of its adaptation, and its path as `file`: the update with its tests, how many images it
        takes, and metrics before and after, those after by cross-fitting.

    Raises:
        ModelFileError: the model cannot be used.
        DataError: the images cannot be understood or are too few, or the risk does not rise with malignancy on them.
        RunError: the file is there already, or is one that comes with the package.
        ParityError: the new file does not answer as the update says; nothing is written.
        ModuleNotFoundError: a package that it needs is not installed.
    """
    check_installed("assess")
    from nevus.assess.evaluation import adaptation
    from nevus.assess.sections.metric import Sampling
    from nevus.core.trained_images import with_list
    from nevus.serve.adapted_file import write_adapted
    from nevus.serve.predictor import load

    path = find_model(model)
    target = _target(path, out, overwrite)
    predictor = load(path)
    spec = predictor.spec
    with TemporaryDirectory() as folder:
        dataset = _prepared(paths(data), Path(folder) / "dataset", spec, config)
        scored = _score(dataset, predictor)
        _log.info("Choosing an update")
        found = adaptation.adapt(
            scored.images,
            spec.operating_points,
            spec.triage,
            sampling=Sampling(config.bootstrap, config.seed),
            fingerprint=dataset.fingerprint,
        )
        entry = _entry(path, dataset, scored, found)
        described = _described(spec, entry, found)
        known = _list(path, spec, target, scored.fingerprints)
        _log.info("Writing %s", target)
        parity = write_adapted(
            target,
            predictor,
            described if known is None else with_list(described, known),
            found.chosen.update,
            scored.sample,
        )
        if known is not None:
            write_list(list_of(target), known)
    return {"file": str(target), **entry, "parity": parity}


def _prepared(sources: Sequence[Path], directory: Path, spec: ModelSpec, config: Config) -> Dataset:
    """The dataset, as of `dataset_of`; an error names a file that was rejected, for the list of them goes away."""
    try:
        return validation_images.dataset_of(sources, directory, spec, config)
    except DataError:
        # Written if there were images, and none of them could be used.
        if not (reason := _first_rejected(directory)):
            raise
        names = ", ".join(map(str, sources))
        raise DataError(f"{names}: no image can be used. Expected benign and malignant ones. {reason}") from None


def _first_rejected(directory: Path) -> str:
    """The first file that a preparation rejected, and why, as a sentence; empty if there is none."""
    from nevus.core.dataset import Dataset

    rejected = Dataset(directory).rejected_csv
    if not rejected.exists():
        return ""
    with rejected.open(encoding="utf-8", newline="") as file:
        first = next(csv.DictReader(file), None)
    return "" if first is None else printable(f"The first that was rejected, {first['path']}: {first['reason']}.")


class _Scored(NamedTuple):
    """The images with the model's answers, and what a reader should know of them.

    Attributes:
        images: all but those that the model was trained on.
        fingerprints: uint64 [N], theirs.
        sample: those to compare two files on.
        notes: of what was left out or is not known.
    """

    images: Images
    fingerprints: Fingerprints
    sample: Sample
    notes: list[str]


def _score(dataset: Dataset, predictor: Predictor) -> _Scored:
    """Asks the model for all images but those that it was trained on."""
    from nevus.assess.evaluation.adaptation import Images
    from nevus.assess.statistics.uncertainty import group_codes
    from nevus.core.risk_update import log_odds_of
    from nevus.serve.adapted_file import Sample

    spec, rows = predictor.spec, dataset.rows
    labelled = validation_images.label(dataset, spec.classes)
    values, notes = validation_images.clinical_values(rows, spec)
    notes += validation_images.describe_labels(labelled)
    seen = known_images.fingerprints_of(dataset)
    groups = known_images.groups_of(rows, seen)
    also_in = known_images.trained_on(dataset, groups, seen, spec, predictor.path).also_in or [""] * len(rows)
    places = [place for place, splits in enumerate(also_in) if not splits]
    if not places:
        raise DataError(
            f"The model was trained or chosen on all of these {len(rows):,} images, so they cannot show how well it "
            "works elsewhere. Expected images from another place."
        )
    if dataset.info.num_rejected:
        notes.append(f"{dataset.info.num_rejected:,} files were left out. {_first_rejected(dataset.directory)[:-1]}")
    if len(places) < len(rows):
        notes.append(f"{len(rows) - len(places):,} images that the model was trained or chosen on were left out")
    _log.info("Predicting %s images", f"{len(places):,}")
    answers = validation_images.answers(predictor, dataset, places, values)
    answered = progress(answers, total=len(places), label="Predicting")
    probabilities = np.array([answer.probabilities for answer in answered], dtype=np.float64)
    malignant = spec.classes.malignant_mask
    compared = places[:_COMPARED]
    return _Scored(
        Images(
            labels=labelled.classes.malignant_mask[labelled.labels[places]],
            risk=np.minimum(probabilities[:, malignant].sum(axis=1), 1.0),
            log_odds=log_odds_of(probabilities, malignant),
            groups=group_codes([groups[place] for place in places]),
        ),
        seen[0][places],
        Sample(
            dataset.pixels[[rows[place].pixel_index for place in compared]],
            None if values is None else values[compared],
        ),
        notes,
    )


def _target(path: Path, out: str | Path | None, overwrite: bool) -> Path:
    """Where the new file goes.

    Raises:
        RunError: it may not go there.
    """
    is_shipped = path in shipped_models().values()
    folder = Path() if is_shipped else path.parent
    target = folder / f"{path.stem}-adapted{ONNX_SUFFIX}" if out is None else Path(out)
    if target.suffix.lower() != ONNX_SUFFIX:
        raise RunError(f"{target}: expected a name that ends in {ONNX_SUFFIX}, because it will be an ONNX file.")
    if target.is_dir():
        raise RunError(f"{target} is a folder. Name a file with --out.")
    if not is_replaced(target):
        raise RunError(f"{target} is a device or a pipe, but the new model must be read again. Name a file.")
    if target.resolve() in {shipped.resolve() for shipped in shipped_models().values()}:
        raise RunError(f"{target} comes with Nevus and is never changed. Name another file with --out.")
    for there in (target, list_of(target)):
        if there.exists() and not overwrite and there != list_of(path):
            raise RunError(f"{there} already exists. Name another file with --out, or replace it with --overwrite.")
    return target


def _list(path: Path, spec: ModelSpec, target: Path, used: Fingerprints) -> Fingerprints | None:
    """The list of fingerprints for the new file: that of the model, and the images that it was adapted with.

    None if the model has none, or one that is not its own; or if both files would share it.
    """
    known, named = read_list(list_of(path)), spec.provenance.get("fingerprints")
    is_own = known is not None and isinstance(named, dict) and named.get("sha256") == digest(known)
    is_shared = list_of(target).resolve() == list_of(path).resolve() and target.resolve() != path.resolve()
    if known is None or not is_own or is_shared:
        return None
    return np.unique(np.concatenate([known, used[used != NONE]]))


def _entry(path: Path, dataset: Dataset, scored: _Scored, found: Adaptation) -> dict[str, Any]:
    """What the new file says of its adaptation."""
    labels = scored.images.labels
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "nevus": nevus.__version__,
        "model": {"file": printable(path.name), "sha256": sha256_of(path)},
        "data": {
            "sources": [printable(source.name) for source in dataset.info.sources],
            "generated": dataset.info.generated,
            "num_images": labels.size,
            "num_malignant": int(labels.sum()),
            "num_benign": int((~labels).sum()),
            "num_groups": int(scored.images.groups.max()) + 1,
            "num_rejected": dataset.info.num_rejected,
            "fingerprint": dataset.fingerprint,
        },
        "update": found.chosen.name,
        **found.chosen.update.to_json(),
        "tests": [test.to_json() for test in found.chosen.tests],
        "needed": found.needed.to_json(),
        "metrics": found.metrics,
        "notes": [printable(note) for note in (*scored.notes, *found.notes)],
    }


def _described(spec: ModelSpec, entry: dict[str, Any], found: Adaptation) -> ModelSpec:
    """The new description: what was chosen, the metrics by cross-fitting, and where they come from.

    The metrics and choices of before are kept in the provenance.
    """
    data = entry["data"]
    place = ", ".join(data["sources"])
    before = {
        "operating_points": {point.name: point.threshold for point in spec.operating_points},
        "triage": spec.triage.to_json(),
        "assumed_prevalence": spec.assumed_prevalence,
        "test_metrics": spec.test_metrics,
    }
    metrics = {"roc_auc": found.metrics["roc_auc"], "brier": found.metrics["calibration"]["after"]["brier"]}
    for point in found.metrics["operating_points"]:
        metrics |= {f"{name} at {point['name']}": value for name, value in point["after"].items()}
    adaptations = [*spec.provenance.get(ADAPTATIONS, []), {**entry, "before": before}]
    return replace(
        spec,
        operating_points=found.operating_points,
        triage=found.triage,
        assumed_prevalence=found.assumed_prevalence,
        test_metrics={name: [one["value"], one["low"], one["high"]] for name, one in metrics.items()},
        trained_on=f"{spec.trained_on}; risk and thresholds adapted with {place}: {data['num_images']:,} images "
        f"({data['num_benign']:,} benign, {data['num_malignant']:,} malignant)",
        limitations=f"{spec.limitations} Its risks and thresholds were adapted with images of one place, {place}: its "
        "metrics are of that place, by cross-fitting, and elsewhere both may be wrong.",
        provenance={**spec.provenance, ADAPTATIONS: adaptations},
        golden=(),
    )
