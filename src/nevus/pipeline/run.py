"""From images to model and report in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nevus.core.config import DEFAULTS, Config
from nevus.core.errors import ConfigError
from nevus.core.extras import check_installed
from nevus.core.files import path_of
from nevus.core.reuse import check_fresh, check_weights
from nevus.core.runs import Run
from nevus.pipeline import datasets, stages
from nevus.pipeline.cross_validation import cross_validate
from nevus.pipeline.source_validation import leave_sources_out


def run(
    images: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    config: Config = DEFAULTS,
    *,
    source: str | None = None,
    dataset: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Run:
    """Prepares, splits, audits, trains, chooses thresholds, evaluates, exports and reports, as `nevus run` does.

    Args:
        images: a folder with a folder of images for each class, a dataset that docs/data.md lists, a zip or tar archive
            of either, a table, or several of these; or one prepared dataset.
        out: folder for the run; `runs/NAME_OF_IMAGES` if None.
        config: the options. With `folds` it is a cross-validation; with `leave_source_out` each source is tested by
            a model that was trained without it.
        source: the only source to leave out, so that several machines can share the work; resuming does the rest.
        dataset: with `resume`, where the prepared dataset of the run is now, if it has moved.
        resume: go on where a run that was cut off stopped.
        overwrite: delete the run that is there and start over; it stays if there are no images to be found.

    Returns:
        The run, whose attributes are the paths of all it left: `model_onnx`, `report_html`, `metrics_json`, `plots`.

    Raises:
        ModuleNotFoundError: a package that training needs is not installed.
        NevusError: whatever a stage raises; the message says how to fix it.
    """
    sources = stages.paths(images)
    check_installed("train", "assess")
    made = Run(Path(out) if out is not None else datasets.default_directory(sources))
    if dataset is not None:
        if not resume:
            raise ConfigError("--dataset says where the dataset of a run to resume is now. Expected --resume as well.")
        sources = [path_of(dataset, "the folder of a prepared dataset")]
    # An hour of preparation should not end in a wrong path.
    check_weights(made, config.weights)
    if source is not None and not config.leave_source_out:
        raise ConfigError("--source names the source to leave out. Expected --leave-source-out in addition to it.")
    if config.leave_source_out:
        leave_sources_out(sources, made, config, source=source, resume=resume, overwrite=overwrite)
        return made
    if config.folds is not None:
        cross_validate(sources, made, config, num_folds=config.folds, resume=resume, overwrite=overwrite)
        return made
    check_fresh(made, resume=resume, overwrite=overwrite)
    prepared = datasets.dataset_of(sources, made, config, resume=resume, overwrite=overwrite)
    stages.train_to_report(made, prepared, config, resume=resume, overwrite=overwrite)
    return made
