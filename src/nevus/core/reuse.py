"""What may become of a run that is there already: it is resumed, overwritten, or left alone.

Owns what a run must agree with to be resumed, and what `--overwrite` removes. It trains nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from nevus.core.config import Config, changed_options, config_from_json
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.files import read_json
from nevus.core.fingerprints import list_of
from nevus.core.pretrained import are_of_a_run, describe_weights, model_of
from nevus.core.runs import WITHOUT, Run
from nevus.core.vocabulary import EXPORTED_FILES


def check_fresh(
    run: Run, *, resume: bool, overwrite: bool, num_folds: int | None = None, leave_source_out: bool = False
) -> None:
    """Checks that a folder has room for a run; removes nothing yet, because other arguments may still be invalid.

    Args:
        run: to be made or resumed.
        resume: go on with the run that is there, if there is one.
        overwrite: the run that is there is to be cleared, later.
        num_folds: of a cross-validation; None for an ordinary run.
        leave_source_out: whether its sources are to be left out one after the other.

    Raises:
        RunError: the folder holds a run, and neither resuming nor overwriting was asked for; or what is to be
            overwritten is not a run; or the run to resume has another number of folds, or leaves out sources
            where this one does not.
    """
    if overwrite:
        check_clearable(run)
    elif not resume:
        run.check_absent()
    elif run.run_json.exists() and (len(run.folds), bool(run.left_out)) != (num_folds or 0, leave_source_out):
        asked = "no --leave-source-out" if run.left_out else "no --folds"
        if num_folds or leave_source_out:
            asked = f"--folds {num_folds}" if num_folds else "--leave-source-out"
        raise RunError(
            f"{run.directory} holds {_describe_folds(run)}, so it cannot be resumed with {asked}. "
            "Resume it with the original options, name another folder with --out, or start over with --overwrite."
        )


def single_run(directory: Path) -> Run:
    """The ordinary run in a folder.

    Raises:
        RunError: it is a cross-validation, of which each fold is an ordinary run.
    """
    run = Run(directory)
    if run.run_json.exists() and run.folds:
        raise RunError(
            f"{directory} holds {_describe_folds(run)}. Expected a single run: name a fold, such as "
            f"{run.folds[0].directory}."
        )
    return run


def check_dataset(run: Run, dataset: Dataset) -> None:
    """Checks that a dataset is the one that the run was begun on, with the same splits.

    Raises:
        RunError: it is another one, or has changed since.
    """
    before, now = run.dataset_info, dataset.info
    # The fingerprint is of files, labels, splits, groups and further columns: it tells none of the first three.
    changes = [
        f"{name} was {old!r}, now {new!r}"
        for name, old, new in (
            ("image size", before.image_size, now.image_size),
            ("classes", before.classes.names, now.classes.names),
            ("malignant", before.classes.malignant, now.classes.malignant),
            ("number of images", before.num_images, now.num_images),
        )
        if old != new
    ]
    if changes or run.recorded("dataset_fingerprint") != dataset.fingerprint:
        reason = "; ".join(changes) or "its files, labels, splits, groups or further columns differ"
        raise RunError(
            f"{run.directory} was begun on another dataset, groups or splits than {dataset.directory} holds now: "
            f"{reason}. Expected {run.dataset.directory} as it was when the run began. Name that one, name "
            "another folder with --out, or start over with --overwrite."
        )


def check_options(run: Run, config: Config, but: Collection[str]) -> None:
    """Checks that the run was begun with the same options, except those of the stages `but`.

    A run that was cut off before its options were recorded has made nothing with any.

    Raises:
        RunError: an option differs, or the run's options cannot be read.
    """
    if not any(path.exists() for path in _written(run) if path != run.run_json):
        return
    began = config_from_json(read_json(run.config_json, "Start over with --overwrite."))
    if changes := changed_options(began, config, but):
        raise RunError(
            f"{run.directory} was begun with other options: {'; '.join(changes)}. "
            "Resume with the same, name another folder with --out, or start over with --overwrite."
        )


def check_resumable(run: Run, dataset: Dataset, config: Config) -> None:
    """Checks that a run, finished or not, is what training with this dataset and these options would make.

    Options of preparation and splits may differ, for the dataset decides them and is compared itself; those of
    evaluation and export too, for these stages are done again.

    Raises:
        ConfigError: the pretrained weights are not there.
        RunError: dataset, options of the training, or the content of a file of weights differ.
    """
    check_dataset(run, dataset)
    check_options(run, config, but=("prepare", "split", "folds", "sources", "evaluate", "export", "stress"))
    before, now = (_without_licence(one) for one in (run.record.get("pretrained"), describe_weights(config.weights)))
    if before != now:
        raise RunError(
            f"{run.directory} was begun with other weights than {config.weights} holds now (their SHA-256 "
            "differ). Resume with the file it was begun with, or start over with --overwrite."
        )


def _without_licence(described: dict[str, str] | None) -> dict[str, str] | None:
    """What tells weights from others; their licence may be stated later."""
    return described and {name: value for name, value in described.items() if name != "licence"}


def check_weights(run: Run, weights: str) -> None:
    """Checks that the weights a run is to begin with are there, and are not those that it will write itself.

    Raises:
        ConfigError: they are not there.
        RunError: they are the run's own.
    """
    describe_weights(weights)
    if are_of_a_run(weights) and model_of(weights).resolve() == run.model_keras.resolve():
        raise RunError(
            f"--weights {weights} are those of {run.directory} itself, which this training would overwrite. Name "
            "another folder with --out; or continue an interrupted training with --resume and without --weights."
        )


def check_clearable(run: Run) -> None:
    """Checks that `clear` would remove nothing but what a run wrote.

    Raises:
        RunError: the folder holds files by the names of a run's, and no `run.json` says that a run wrote them.
    """
    if run.run_json.exists():
        return
    if found := [path.name for path in _written(run) if path.exists()]:
        raise RunError(
            f"{run.directory} holds {', '.join(found)}, and no run.json that says that a run wrote them. "
            "Expected a run to overwrite, or none of its files. Name another folder with --out, or move "
            "them away."
        )


def clear(run: Run, but: Collection[Dataset] = ()) -> None:
    """Removes what the run that is there wrote, and nothing else, from the folder.

    Args:
        run: the run, or cross-validation, that is there.
        but: datasets that are kept, though a fold may hold them.

    Raises:
        RunError: as `check_clearable`.
    """
    check_clearable(run)
    if not run.run_json.exists():
        return
    kept = {dataset.directory.resolve() for dataset in but}
    for fold in (*run.directory.glob("fold-[0-9]*"), *run.directory.glob(f"{WITHOUT}*")):
        if Run(fold).run_json.exists():
            clear(Run(fold))
        made = Dataset(fold / "dataset")
        if made.info_json.exists() and made.directory.resolve() not in kept:
            shutil.rmtree(made.directory)
    for path in _written(run):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _written(run: Run) -> tuple[Path, ...]:
    """All that a run writes; `run.json` last, so that clearing can be cut off and begun again."""
    return (
        run.config_json,
        run.history_csv,
        run.checkpoints,
        run.model_keras,
        run.clinical_json,
        run.augmented_jpg,
        run.tensorboard,
        run.predictions,
        list_of(run.model_onnx),
        list_of(run.ensemble_onnx),
        run.operating_points_json,
        run.metrics_json,
        run.plots,
        run.report_html,
        run.model_card_md,
        *map(run.exported, EXPORTED_FILES),
        run.web,
        run.parity_json,
        run.probe_json,
        run.stress_json,
        run.stress_html,
        run.cross_validation_json,
        run.ensemble_onnx,
        run.sources_json,
        run.sources_html,
        run.run_json,
    )


def _describe_folds(run: Run) -> str:
    if run.left_out:
        return f"a run that leaves out {len(run.left_out)} sources"
    return f"a cross-validation of {len(run.folds)} folds" if run.folds else "a run without folds"
