"""The stages of a run, one function each: it logs what it does, and does it.

Owns which of them a resumed run skips. Each imports what it needs when it runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from nevus.core.config import DEFAULTS, Config
from nevus.core.dataset import Dataset
from nevus.core.errors import DataError, RunError
from nevus.core.files import path_of, write_json
from nevus.core.reuse import check_dataset, check_fresh, check_resumable, check_weights
from nevus.core.runs import DONE, RUNNING, Run
from nevus.pipeline.earlier_images import warn_of_trained
from nevus.pipeline.recorded_options import record_evaluation, record_licence, recorded_options

if TYPE_CHECKING:
    from nevus.data.audit import Finding
    from nevus.data.sources import TableColumns

_log = logging.getLogger(__name__)


def paths(images: str | Path | Sequence[str | Path]) -> list[Path]:
    """Sources of images as paths, whether one or several were named.

    Raises:
        ConfigError: something else was given.
    """
    one = isinstance(images, (str, bytes, os.PathLike)) or not isinstance(images, Iterable)
    named = cast("list[str | Path]", [images] if one else list(cast("Sequence[str | Path]", images)))
    return [path_of(source, "a folder, an archive or a table of images") for source in named]


def table_columns(config: Config) -> TableColumns:
    """The columns of tables that the options name."""
    from nevus.data.sources import TableColumns

    return TableColumns(
        image=config.image_column,
        diagnosis=config.diagnosis_column,
        lesion=config.lesion_column,
        patient=config.patient_column,
        split=config.split_column,
    )


def check_sources(images: Sequence[Path], config: Config) -> None:
    """Raises what `prepare` would raise of images that cannot be understood, and writes nothing."""
    from nevus.data import prepare as preparation

    preparation.check_sources(images, classes=config.classes, malignant=config.malignant, columns=table_columns(config))


def train_to_report(run: Run, dataset: Dataset, config: Config, *, resume: bool, overwrite: bool = False) -> None:
    """All stages after the splits; a training that is done is not done again."""
    _train(dataset, run, config, resume=resume, overwrite=overwrite)
    with run.at_work():
        evaluate(run, config)
        export(run, config)
        if config.stress_images:
            stress_test(run, config)
        report(run)


def prepare(
    images: str | Path | Sequence[str | Path], out: str | Path, config: Config = DEFAULTS, *, overwrite: bool = False
) -> Dataset:
    """Decodes and resizes images once, into a dataset folder, as `nevus prepare` does.

    Args:
        images: a folder with a folder of images for each class, a dataset that docs/data.md lists, a zip or tar archive
            of either, a table; or several of these, which become one dataset.
        out: folder for the dataset.
        config: its options of preparation.
        overwrite: replace the dataset that is there.

    Returns:
        The dataset. Files that cannot be read are listed in its `rejected_csv`.

    Raises:
        DataError: the images cannot be understood, or the folder holds a dataset already.
    """
    from nevus.data import prepare as preparation

    sources = paths(images)
    _log.info("Preparing %s", ", ".join(map(str, sources)))
    return preparation.prepare(
        sources,
        Path(out),
        image_size=config.image_size,
        classes=config.classes,
        malignant=config.malignant,
        columns=table_columns(config),
        max_pixels=config.max_pixels,
        workers=config.workers,
        overwrite=overwrite,
    )


def split(dataset: Dataset | str | Path, config: Config = DEFAULTS) -> None:
    """Looks for duplicates, and splits into train, val and test by lesion, patient and duplicates, as `nevus split`.

    Args:
        dataset: prepared, or its folder; its manifest gets groups and splits. Splits that the source itself gives are
            kept.
        config: its fractions and seed.

    Raises:
        DataError: the images are too few, or of too few groups.
    """
    from nevus.data import splits
    from nevus.data.near_duplicates import find_duplicates

    dataset = Dataset.of(dataset)
    _log.info("Looking for duplicates")
    find_duplicates(dataset)
    _log.info("Splitting by lesion, patient and duplicates")
    fractions = {"val_fraction": config.val_fraction, "test_fraction": config.test_fraction}
    splits.split(dataset, **fractions, seed=config.seed)
    for warning in splits.split_warnings(dataset, **fractions):
        _log.warning(warning)


def audit(dataset: Dataset | str | Path) -> list[Finding]:
    """Looks for leaks, wrong labels and shortcuts, as `nevus audit` does; writes `audit_json` and `audit_html`.

    Args:
        dataset: prepared and split, or its folder.

    Returns:
        What was found, each with its check's number, level and message; docs/audit.md explains each.
    """
    from nevus.data import audit as auditing

    dataset = Dataset.of(dataset)
    _log.info("Auditing the dataset")
    findings = auditing.audit(dataset)
    auditing.write_audit(dataset, findings)
    return findings


def train(
    dataset: Dataset | str | Path,
    out: str | Path,
    config: Config = DEFAULTS,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Trains a network and predicts the validation and test images, as `nevus train` does; docs/training.md.

    Args:
        dataset: prepared and split, or its folder.
        out: folder for the run.
        config: network, recipe and seed; the other options are recorded, the image size as that of the dataset.
        resume: go on with a training that was cut off; one that is done is not done again. Dataset, splits and the
            options of the training must be those that the run was begun with.
        overwrite: delete the run that is there and start over; it stays if the dataset or an option cannot be used.

    Returns:
        The run, with its network, history and predictions.

    Raises:
        ConfigError: the weights to begin with are not there, or fit another network.
        RunError: they are the run's own; or the folder holds a run, and neither resuming nor overwriting was asked
            for; or the run to resume was begun with another dataset or other options.
        DataError: a split or a class has no images, or a clinical column cannot be used.
    """
    run = Run.of(out)
    _train(Dataset.of(dataset), run, config, resume=resume, overwrite=overwrite)
    if run.record["status"] == RUNNING:
        run.finish(DONE)
    return run


def _train(dataset: Dataset, run: Run, config: Config, *, resume: bool, overwrite: bool) -> None:
    """Trains and predicts; the run stays `running`, for it may not be over."""
    from nevus.data.splits import check_trainable

    check_weights(run, config.weights)
    if resume and run.run_json.exists():
        dataset = run.located(dataset)
    config = replace(config, image_size=dataset.info.image_size)
    check_fresh(run, resume=resume, overwrite=overwrite, leave_source_out=config.leave_source_out)
    resume = resume and run.run_json.exists()
    if resume:
        check_resumable(run, dataset, config)
        run.record_dataset(dataset)
        if not run.config_json.exists():
            write_json(run.config_json, config.to_json())
        # They change nothing of the training; the stages behind it begin from them.
        record_evaluation(run, config)
        record_licence(run, config)
    is_trained = resume and run.is_trained
    if is_trained and all(run.predictions_csv(name).exists() for name in ("val", "test")):
        return
    check_trainable(dataset)
    warn_of_trained(dataset, config.weights)
    # Loaded after preparation, whose worker processes would each pay for it.
    from nevus.learn.training import train as training
    from nevus.learn.training.predict import predict

    _log.info("Training %s", config.model)
    if not is_trained:
        training.train(run, dataset, config, resume=resume, overwrite=overwrite)
    with run.at_work(ends_as=RUNNING):
        predict(run, dataset)


def evaluate(run: Run | str | Path, config: Config | None = None) -> None:
    """Chooses temperature and thresholds on validation and measures the test, as `nevus evaluate` does.

    Args:
        run: with its predictions, or its folder.
        config: default operating point, prevalence, resamples and seed; those that the run was made or last
            evaluated with if None.

    Raises:
        RunError: predictions are missing or damaged, or validation lacks a class.
    """
    from nevus.assess.evaluation import evaluate as evaluation

    run = Run.of(run)
    config = config or recorded_options(run)
    _log.info("Choosing thresholds on validation, evaluating on test")
    evaluation.evaluate(
        run,
        default_operating_point=config.operating_point,
        bootstrap=config.bootstrap,
        seed=config.seed,
        prevalence=config.prevalence,
    )
    if run.config_json.exists():
        record_evaluation(run, config)


def export(
    run: Run | str | Path,
    config: Config = DEFAULTS,
    file_format: str = "onnx",
    *,
    dataset: Dataset | str | Path | None = None,
) -> Path:
    """Writes a model file, and fails unless it answers as the trained network does; as `nevus export`.

    Args:
        run: trained and evaluated, or its folder.
        config: its licence, if there is one now, takes the place of the one the run was made with.
        file_format: `onnx`, `keras`, or another format that docs/deploy.md lists.
        dataset: where the dataset of the run is now, if it has moved; the run remembers it.

    Returns:
        The path of the file.

    Raises:
        RunError: an earlier stage is missing, the dataset is not the run's, or the file does not agree.
    """
    run = Run.of(run)
    if dataset is not None:
        check_dataset(run, Dataset.of(dataset))
        run.record_dataset(Dataset.of(dataset))
    if not run.dataset.info_json.exists():
        raise RunError(
            f"{run.dataset.directory}, the dataset of {run.directory}, is not there, and no folder near it holds the "
            "same images with the same splits. Name where it is with --dataset."
        )
    from nevus.learn.export import export as exporting

    record_licence(run, config)
    _log.info("Exporting %s", run.exported(file_format).name)
    exporting.export(run, run.dataset, file_format)
    return run.exported(file_format)


def stress_test(run: Run, config: Config = DEFAULTS) -> None:
    """Counts the decisions that flip when test images change, for the report; as `nevus stress RUN RUN`.

    Args:
        run: exported. Where its test split has no benign or no malignant image, nothing is tested.
        config: `stress_images`, the most images to look at, and the seed by which they are drawn.

    Raises:
        ModelFileError: the model file is missing or damaged.
    """
    from nevus.pipeline.stressing import stress

    try:
        stress(run.directory, run.directory, run.directory, config, num_images=config.stress_images, overwrite=True)
    except DataError as problem:
        _log.warning("No stress test: %s", problem)


def report(run: Run | str | Path, sources: Run | str | Path | None = None) -> Path:
    """Writes the report of a run, or that of a cross-validation as a whole, as `nevus report` does.

    Where sources were left out, `sources.html` is written too, and is all there is before the model of all sources.

    Args:
        run: evaluated, or its folder.
        sources: a run of the same recipe with sources left out, or its folder: the report and the model card open with
            its metrics. Those of `run` itself, if it left sources out, if None.

    Returns:
        The path of the HTML page; the plots in it are in `run.plots`.

    Raises:
        RunError: a file that an earlier stage writes is missing or damaged, or `sources` left no source out.
    """
    run = Run.of(run)
    _log.info("Writing the report")
    if run.run_json.exists() and run.folds:
        from nevus.assess.pages.cross_validation_page import write_cross_validation_page

        if sources is not None:
            raise RunError(f"{run.directory} is a cross-validation, and its report cannot show sources left out.")
        return write_cross_validation_page(run)
    if run.run_json.exists() and run.left_out and run.sources_json.exists():
        from nevus.assess.pages.sources_page import write_sources_page

        page = write_sources_page(run)
        if not run.metrics_json.exists():
            return page
    from nevus.assess.pages.report import write_report

    return write_report(run, None if sources is None else Run.of(sources))
