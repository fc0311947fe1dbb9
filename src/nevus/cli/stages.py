"""The stages of a run, as the commands and the cross-validation call them: each says what it does and does it.

Owns their order, and which of them a resumed run skips. Each imports what it needs when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.files import read_json, write_json
from nevus.core.runs import DONE, Run

if TYPE_CHECKING:
    from nevus.data.audit import Finding


def check_fresh(run: Run, *, resume: bool, overwrite: bool, num_folds: int | None = None) -> None:
    """Makes room for a run: clears the folder if that was asked for.

    Args:
        run: to be made or resumed.
        resume: go on with the run that is there, if there is one.
        overwrite: clear the folder.
        num_folds: of a cross-validation; None for an ordinary run.

    Raises:
        RunError: the folder holds a run, and neither resuming nor overwriting was asked for; or the run to
            resume has another number of folds.
    """
    if overwrite:
        run.clear()
    elif not resume:
        run.check_absent()
    elif run.run_json.exists() and len(run.folds) != (num_folds or 0):
        asked = f"--folds {num_folds}" if num_folds else "no --folds"
        raise RunError(
            f"{run.directory} holds {describe_folds(run)}, and was to be resumed with {asked}. "
            "Resume it as it was begun, name another folder with --out, or start over with --overwrite."
        )


def single_run(directory: Path) -> Run:
    """The ordinary run in a folder.

    Raises:
        RunError: it is a cross-validation, of which each fold is an ordinary run.
    """
    run = Run(directory)
    if run.run_json.exists() and run.folds:
        raise RunError(
            f"{directory} holds {describe_folds(run)}. Expected a single run: name a fold, such as "
            f"{run.folds[0].directory}."
        )
    return run


def describe_folds(run: Run) -> str:
    return f"a cross-validation of {len(run.folds)} folds" if run.folds else "a run without folds"


def default_directory(images: Sequence[Path]) -> Path:
    """Where a run goes that was not told where to: named after its images."""
    return Path("runs") / "+".join(path.resolve().name for path in images)


def dataset_of(images: Sequence[Path], run: Run, config: Config, *, resume: bool, overwrite: bool) -> Dataset:
    """The dataset of a run, prepared within the run's folder unless `images` is one already, with groups and splits.

    Raises:
        RunError: the dataset has another image size than `config` asks for, or is named beside other sources.
    """
    prepared = [path for path in images if Dataset(path).info_json.exists()]
    if prepared and len(images) > 1:
        raise RunError(f"{prepared[0]} is prepared already, and nothing can be added to it. Name the sources instead.")
    if prepared:
        dataset = Dataset(prepared[0])
    else:
        dataset = Dataset(run.directory / "dataset")
        if not (resume and dataset.info_json.exists()):
            prepare_images(images, dataset.directory, config, overwrite=resume or overwrite)
    if dataset.info.image_size != config.image_size:
        raise RunError(
            f"{dataset.directory} holds images of {dataset.info.image_size} pixels, --image-size asks for "
            f"{config.image_size}. Leave the option out, or prepare the images again with it."
        )
    if any(not row.group for row in dataset.rows):
        split_dataset(dataset, config)
    if not dataset.audit_json.exists():
        audit_dataset(dataset)
    return dataset


def train_to_report(run: Run, dataset: Dataset, config: Config, *, resume: bool) -> None:
    """All stages after the splits; a training that is done is not done again."""
    train_network(run, dataset, config, resume=resume)
    evaluate_run(run, config)
    export_run(run, config)
    report_run(run)


def prepare_images(images: Sequence[Path], directory: Path, config: Config, *, overwrite: bool) -> Dataset:
    from nevus.data.prepare import prepare
    from nevus.data.sources import TableColumns

    announce(f"Preparing {', '.join(map(str, images))}")
    return prepare(
        images,
        directory,
        image_size=config.image_size,
        classes=config.classes,
        malignant=config.malignant,
        columns=TableColumns(
            image=config.image_column,
            diagnosis=config.diagnosis_column,
            lesion=config.lesion_column,
            patient=config.patient_column,
            split=config.split_column,
        ),
        max_pixels=config.max_pixels,
        workers=config.workers,
        overwrite=overwrite,
    )


def split_dataset(dataset: Dataset, config: Config) -> None:
    from nevus.data.near_duplicates import find_duplicates
    from nevus.data.splits import split, split_warnings

    announce("Looking for duplicates")
    find_duplicates(dataset)
    announce("Splitting by lesion, patient and duplicates")
    split(dataset, val_fraction=config.val_fraction, test_fraction=config.test_fraction, seed=config.seed)
    for warning in split_warnings(dataset):
        print(f"Warning: {warning}", file=sys.stderr)


def audit_dataset(dataset: Dataset) -> list[Finding]:
    from nevus.data.audit import audit, write_audit

    announce("Auditing the dataset")
    findings = audit(dataset)
    write_audit(dataset, findings)
    return findings


def train_network(run: Run, dataset: Dataset, config: Config, *, resume: bool) -> None:
    is_trained = resume and run.run_json.exists() and run.record["status"] == DONE
    if is_trained and all(run.predictions_csv(split).exists() for split in ("val", "test")):
        return
    # Loaded after preparation, whose worker processes would each pay for it.
    from nevus.learn.predict import predict
    from nevus.learn.train import train

    announce(f"Training {config.model}")
    if not is_trained:
        train(run, dataset, config, resume=resume and run.run_json.exists())
    predict(run, dataset)


def evaluate_run(run: Run, config: Config) -> None:
    from nevus.assess.evaluate import evaluate

    announce("Choosing thresholds on validation, evaluating on test")
    evaluate(
        run,
        default_operating_point=config.operating_point,
        bootstrap=config.bootstrap,
        seed=config.seed,
        prevalence=config.prevalence,
    )


def export_run(run: Run, config: Config, file_format: str = "onnx") -> None:
    """Writes a model file; a licence that is given now takes the place of the one the run was made with."""
    from nevus.learn.export import export

    if config.licence:
        began = read_json(run.config_json, "Run 'nevus train' first.")
        write_json(run.config_json, {**began, "licence": config.licence})
    announce(f"Exporting {run.exported(file_format).name}")
    export(run, run.dataset, file_format)


def report_run(run: Run) -> None:
    """Writes the report of a run, or that of a cross-validation as a whole."""
    announce("Writing the report")
    if run.run_json.exists() and run.folds:
        from nevus.assess.cross_validation_page import write_cross_validation_page

        write_cross_validation_page(run)
    else:
        from nevus.assess.report import write_report

        write_report(run)


def announce(text: str) -> None:
    """Says on standard error which stage begins."""
    print(f"== {text}", file=sys.stderr, flush=True)
