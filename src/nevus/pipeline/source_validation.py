"""`nevus run --leave-source-out`: a run without each source, tested on it, then one model trained on all sources.

Owns the order, the record of the whole in `run.json`, and what a resumed run may change. The model of all sources is
an ordinary run in the folder of the whole; its thresholds are chosen on the sources left out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError
from nevus.core.files import write_json
from nevus.core.pretrained import NONE, describe_weights
from nevus.core.reuse import check_dataset, check_fresh, check_options, check_resumable, clear
from nevus.core.runs import DONE, RUNNING, Run, left_out_folders
from nevus.pipeline import datasets, stages

if TYPE_CHECKING:
    from nevus.data.left_out import LeftOut

_log = logging.getLogger(__name__)


def leave_sources_out(
    images: Sequence[Path],
    run: Run,
    config: Config,
    *,
    source: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> None:
    """Trains without each source and tests on it; pools the figures; trains, evaluates and exports a model of all.

    Args:
        images: sources of images, or one prepared dataset.
        run: of the whole; the runs that leave a source out are made within it.
        config: of every training.
        source: the only one to leave out; no model of all sources is trained then. A later call that resumes the
            run does the rest. None for all.
        resume: go on where a run stopped, also with sources that were left out on other machines; what is trained is
            not trained again.
        overwrite: clear the folder, once it is known that sources can be left out.

    Raises:
        ConfigError: `source` is not one that is left out.
        DataError: there is one source only, or none that can be left out.
        RunError: the folder holds another run, or one with other options or another dataset is resumed.
        NevusError: whatever a stage raises; the run's status is then `failed`.
    """
    from nevus.data.left_out import count_sources, leave_out

    check_fresh(run, resume=resume or source is not None, overwrite=overwrite, leave_source_out=True)
    resume = resume or source is not None
    dataset = datasets.dataset_of(images, run, config, resume=resume, overwrite=overwrite)
    config = replace(config, image_size=dataset.info.image_size)
    if resume and run.run_json.exists():
        check_dataset(run, dataset)
        check_options(run, config, but=("evaluate", "export", "stress"))
    counted = count_sources(dataset, config.source_column)
    notes = [one.why_not for one in counted if one.why_not]
    for note in notes:
        _log.warning(note)
    names = [one.name for one in counted if not one.why_not]
    if source is not None and source not in names:
        raise ConfigError(f"--source: expected one of the sources left out: {', '.join(names)}. Received: '{source}'.")
    _log.info("Leaving out %d sources: %s", len(names), ", ".join(names))
    # Before anything is recorded or removed: sources that cannot be left out leave no run behind, and an old one as
    # it is.
    made = leave_out(dataset, run.directory, names, column=config.source_column)
    single = replace(config, leave_source_out=False)
    trainings = {one.source: _config_without(single, one) for one in made if source in (None, one.source)}
    if source is None and config.teacher != NONE:
        _check_teacher(config, Run(Path(config.teacher)), dataset)
    if overwrite:
        clear(run, but=[dataset, *(one.dataset for one in made)])
    _begin(run, dataset, config, made, trainings)
    # With one source alone, the others and the model of all are still to come.
    with run.at_work(ends_as=DONE if source is None else RUNNING):
        for number, one in enumerate(made, start=1):
            if one.source in trainings:
                _train_without(run, one, trainings[one.source], f"{number} of {len(made)}")
        _pool(run, config, notes)
        if source is None:
            _log.info("Training on all sources")
            stages.train_to_report(run, dataset, config, resume=True)


def _begin(
    run: Run, dataset: Dataset, config: Config, made: Sequence[LeftOut], trainings: Mapping[str, Config]
) -> None:
    """Records the whole, and checks all trainings that were begun: the last one's fault should not cost a night."""
    folders = left_out_folders(one.source for one in made)
    for one in made:
        without = Run(run.directory / folders[one.source])
        if one.source in trainings and without.run_json.exists():
            check_resumable(without, one.dataset, trainings[one.source])
    if run.run_json.exists():
        run.record_dataset(dataset)
    else:
        run.start(
            dataset,
            pretrained=describe_weights(config.weights),
            left_out=folders,
            num_copies={one.source: one.num_copies for one in made},
        )
    write_json(run.config_json, config.to_json())


def _config_without(config: Config, one: LeftOut) -> Config:
    """The configuration of the training without a source: its teacher, too, has not seen the source.

    Raises:
        ConfigError: the teacher was not trained without that source.
        RunError: it was, with other images or splits.
    """
    if config.teacher == NONE:
        return config
    teacher = Run(Path(config.teacher)).left_out.get(one.source)
    if teacher is None:
        raise ConfigError(
            f"--teacher {config.teacher}: no network there was trained without the source '{one.source}', and a "
            "network that was trained on its images must not be the teacher. Train the teacher with "
            "--leave-source-out on the same dataset first."
        )
    _check_teacher(config, teacher, one.dataset)
    return replace(config, teacher=str(teacher.directory))


def _check_teacher(config: Config, teacher: Run, dataset: Dataset) -> None:
    if not teacher.model_keras.exists():
        raise ConfigError(
            f"--teacher {config.teacher}: {teacher.model_keras} does not exist. Finish the teacher's run first: "
            "nevus run with --leave-source-out and --resume."
        )
    check_dataset(teacher, dataset)


def _train_without(run: Run, one: LeftOut, config: Config, place: str) -> None:
    _log.info(
        "Source %s is left out: '%s', %s images; %s copies of them are left out of the training",
        place,
        one.source,
        f"{len(one.dataset.rows_of('test')):,}",
        f"{one.num_copies:,}",
    )
    without = run.left_out[one.source]
    stages.train(one.dataset, without.directory, config, resume=True)
    stages.evaluate(without, config)
    stages.report(without)


def _pool(run: Run, config: Config, notes: Sequence[str]) -> None:
    from nevus.assess.evaluation.sources import measure_sources
    from nevus.assess.pages.sources_page import write_sources_page

    _log.info("Pooling the sources")
    measure_sources(
        run,
        default_operating_point=config.operating_point,
        bootstrap=config.bootstrap,
        seed=config.seed,
        notes=notes,
    )
    write_sources_page(run)
