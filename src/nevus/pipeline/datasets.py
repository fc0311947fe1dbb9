"""The dataset of a run or an audit: prepared for it, taken as it is named, or kept where a run is resumed.

Owns what a resumed run may change of it, and which datasets an audit may replace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nevus.core.config import DEFAULTS, STAGES, Config
from nevus.core.dataset import Dataset, DatasetSource
from nevus.core.errors import DataError, RunError
from nevus.core.files import read_json
from nevus.core.reuse import check_options, clear
from nevus.core.runs import Run
from nevus.data.names import as_text
from nevus.pipeline.stages import audit, check_sources, prepare, split


def default_directory(images: Sequence[Path]) -> Path:
    """Where a run goes that was not told where to: named after its images."""
    return Path("runs") / "+".join(path.resolve().name for path in images)


def dataset_of(images: Sequence[Path], run: Run, config: Config, *, resume: bool, overwrite: bool) -> Dataset:
    """The dataset of a run, prepared within the run's folder unless `images` is one already, with groups and splits.

    Args:
        images: sources of images, or one prepared dataset.
        run: whose folder takes the dataset.
        config: options of preparation and splits.
        resume: keep the dataset that is there, if it was prepared from the same images with the same options.
        overwrite: clear the run and replace its dataset, once it is known that there are images to prepare. A run of
            a dataset that is prepared already is left to the training to clear.

    Raises:
        DataError: the images cannot be understood.
        RunError: the dataset has another image size than `config` asks for (the default asks for none), is named
            in addition to other sources, or was prepared from others.
    """
    begun = resume and run.run_json.exists()
    if begun:
        images = [run.located(Dataset(path)).directory for path in images]
    prepared = [path for path in images if Dataset(path).info_json.exists()]
    if prepared and len(images) > 1:
        raise RunError(f"{prepared[0]} is already prepared, so nothing can be added to it. Name the sources instead.")
    if prepared:
        dataset = Dataset(prepared[0])
    else:
        dataset = Dataset(run.directory / "dataset")
        if begun:
            dataset = run.located(dataset)
        if resume and dataset.info_json.exists():
            _check_prepared_from(images, dataset, run, config)
        else:
            if overwrite:
                check_sources(images, config)
                clear(run)
            prepare(images, dataset.directory, config, overwrite=resume or overwrite)
    if config.image_size != DEFAULTS.image_size:
        check_image_size(dataset, config)
    if any(not row.group for row in dataset.rows):
        split(dataset, config)
    if not _is_audited(dataset):
        audit(dataset)
    return dataset


def dataset_for_audit(images: Sequence[Path], out: Path | None, config: Config) -> Dataset:
    """The dataset that an audit of `images` looks at: a prepared one as it is, or one prepared for the audit.

    Args:
        images: one prepared dataset, or sources of images.
        out: where sources are prepared; `runs/NAME-audit` if None.
        config: options of the preparation.

    Raises:
        DataError: the images cannot be understood, or the folder holds a dataset that no audit made.
    """
    named = Dataset(images[0])
    if len(images) == 1 and named.info_json.exists():
        return named
    directory = out or Path(f"{default_directory(images)}-audit")
    _check_replaceable(Dataset(directory))
    # Always again: what is there may be of other images, or of these as they once were.
    dataset = prepare(images, directory, config, overwrite=True)
    dataset.write_info(replace(dataset.info, for_audit=True))
    return dataset


def _check_replaceable(dataset: Dataset) -> None:
    if not dataset.info_json.exists():
        return
    if not dataset.info.for_audit or any(row.group for row in dataset.rows):
        raise DataError(
            f"{dataset.directory} holds a dataset that was prepared or split by a separate command, and preparing it "
            "again would undo that. Expected a new folder, or one that an audit made. Audit the existing dataset with "
            f"'nevus audit {dataset.directory}', or name another folder with --out."
        )


def check_image_size(dataset: Dataset, config: Config) -> None:
    """Refuses a dataset that was prepared at another size than is asked for.

    Raises:
        RunError: it was.
    """
    if dataset.info.image_size != config.image_size:
        raise RunError(
            f"{dataset.directory} holds images of {dataset.info.image_size} pixels, but --image-size is "
            f"{config.image_size}. Omit the option, or prepare the images again with it."
        )


def _check_prepared_from(images: Sequence[Path], dataset: Dataset, run: Run, config: Config) -> None:
    """Refuses to go on with a dataset that was prepared from other sources or otherwise."""
    sources = dataset.info.sources
    if len(images) != len(sources) or not all(any(_is_of(path, source) for source in sources) for path in images):
        raise RunError(
            f"{dataset.directory} was prepared from {', '.join(source.root for source in sources)}, but should be "
            f"resumed with {', '.join(map(str, images))}. Name the images that it was prepared from, or "
            f"{dataset.directory} if they were moved; or start over with --overwrite."
        )
    if run.config_json.exists():
        check_options(run, config, but=[stage for stage in STAGES if stage not in ("prepare", "split")])


def _is_of(path: Path, source: DatasetSource) -> bool:
    """Whether a dataset's source is this folder or file, which need not be there any more."""
    # Of a file, the folder it lies in is recorded.
    roots = (str(path.resolve()), str(path.parent.resolve()))
    return source.root in roots and Path(source.name).name == as_text(path.resolve().name)


def _is_audited(dataset: Dataset) -> bool:
    """Whether the audit that is there is of the images, groups and splits that are there."""
    if not (dataset.audit_json.exists() and dataset.audit_html.exists()):
        return False
    record = read_json(dataset.audit_json, "Run 'nevus audit' again.")
    return isinstance(record, dict) and record.get("dataset_fingerprint") == dataset.fingerprint
