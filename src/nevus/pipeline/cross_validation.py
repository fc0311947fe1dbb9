"""`nevus run --folds`: an ordinary run for each fold, then what they say together and their models as one.

Owns the order, the record of the whole in `run.json`, and what a resumed cross-validation may change.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError
from nevus.core.files import write_json
from nevus.core.reuse import check_dataset, check_fresh, check_options, check_resumable, clear
from nevus.core.runs import Run, fold_directory
from nevus.pipeline import datasets, stages

_log = logging.getLogger(__name__)


def cross_validate(
    images: Sequence[Path], run: Run, config: Config, *, num_folds: int, resume: bool = False, overwrite: bool = False
) -> None:
    """Trains, evaluates, exports and reports each fold; pools them; exports the ensemble.

    Args:
        images: sources of images, or one prepared dataset.
        run: of the whole; the folds' runs are made within it.
        config: of every fold.
        num_folds: 2 or more.
        resume: go on where a cross-validation stopped; folds that are trained are not trained again.
        overwrite: clear the folder, once the folds are known to be possible.

    Raises:
        ConfigError: `config.metadata` names clinical columns, which an ensemble cannot take.
        RunError: the folder holds another run, or one with other options or another dataset is resumed.
        NevusError: whatever a stage raises; the run's status is then `failed`.
    """
    if config.metadata:
        raise ConfigError(
            "--metadata cannot be combined with --folds: each fold would encode its metadata in its own way, so the "
            "ensemble could not use them. Train without --folds, or without --metadata."
        )
    check_fresh(run, resume=resume, overwrite=overwrite, num_folds=num_folds)
    dataset = datasets.dataset_of(images, run, config, resume=resume, overwrite=overwrite)
    if resume and run.run_json.exists():
        _check_resumable(run, dataset, config)
    # Before anything is recorded or removed: folds that cannot be made leave no run behind, and an old one as it is.
    folds = _make_folds(run, dataset, config, num_folds)
    # A model of a fold is never used alone.
    single = replace(config, folds=None, stress_images=0)
    if overwrite:
        clear(run, but=[dataset, *folds])
    _check_folds(run, folds, single)
    if run.run_json.exists():
        run.record_dataset(dataset)
    else:
        run.start(dataset, num_folds=num_folds)
    write_json(run.config_json, config.to_json())
    with run.at_work():
        for number, fold in enumerate(folds, start=1):
            _log.info("Fold %d of %d", number, num_folds)
            stages.train_to_report(Run(fold_directory(run.directory, number)), fold, single, resume=resume)
        _join(run, dataset, config)
        stages.report(run)


def _make_folds(run: Run, dataset: Dataset, config: Config, num_folds: int) -> list[Dataset]:
    from nevus.data.folds import make_folds

    _log.info("Making %d folds by lesion, patient and duplicates", num_folds)
    return make_folds(dataset, run.directory, num_folds=num_folds, val_fraction=config.val_fraction, seed=config.seed)


def _join(run: Run, dataset: Dataset, config: Config) -> None:
    from nevus.assess.evaluation.cross_validation import cross_validate
    from nevus.learn.export.ensemble import export_ensemble, predict_ensemble

    if "test" in dataset.info.given_splits:
        _log.info("Predicting the source's test split with the models of all folds")
        predict_ensemble(run, dataset, "test")
    _log.info("Pooling the folds")
    cross_validate(
        run,
        default_operating_point=config.operating_point,
        bootstrap=config.bootstrap,
        seed=config.seed,
        prevalence=config.prevalence,
    )
    _log.info("Exporting ensemble.onnx")
    export_ensemble(run)


def _check_resumable(run: Run, dataset: Dataset, config: Config) -> None:
    """Options of evaluation and export may differ, for both are done again; those that made the models may not."""
    check_dataset(run, dataset)
    check_options(run, config, but=("evaluate", "export", "stress"))


def _check_folds(run: Run, folds: Sequence[Dataset], config: Config) -> None:
    """Checks all folds that were begun before any is trained: the last one's fault should not cost a night."""
    for number, dataset in enumerate(folds, start=1):
        fold = Run(fold_directory(run.directory, number))
        if fold.run_json.exists():
            check_resumable(fold, dataset, config)
