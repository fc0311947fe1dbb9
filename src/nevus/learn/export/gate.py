"""The parity gate: a model file and its entry in `parity.json` are written only if it answers as its origin does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nevus.core.errors import ModelFileError, RunError
from nevus.core.files import read_json, replacing, sha256_of, write_json
from nevus.core.modelfile import GoldenCase, ModelSpec, golden_pixels, parse_spec
from nevus.core.runs import Run
from nevus.learn.export.formats import FORMATS
from nevus.learn.export.parity import Answering, Exported, Sample, check_parity, golden_sizes


def write_if_alike(
    path: Path,
    run: Run,
    file_format: str,
    content: bytes,
    spec: ModelSpec,
    *,
    answer: Answering,
    sample: Sample,
    made_from: dict[str, str],
) -> None:
    """Adds description and golden answers to a file, and writes it with its parity, if it answers as it should.

    Args:
        path: of the file.
        run: whose `parity.json` gets an entry; entries of files that were made from something else are dropped.
        file_format: a key of `FORMATS`.
        content: the file without its description.
        spec: the description, without golden answers.
        answer: of the origin, as for `check_parity`.
        sample: the images to compare on.
        made_from: SHA-256 of the files that the export depends on, by name.

    Raises:
        ParityError: it answers otherwise than its origin; nothing is written.
    """
    made = FORMATS[file_format]
    spec = replace(spec, golden=_golden_cases(made.opened(content), spec.image_size, any_size=made.resized is not None))
    about = spec.to_json()
    content = made.with_description(content, about)
    resized = partial(made.resized, content) if made.resized else None
    parity = check_parity(answer, made.opened(content), spec, sample, made.limits, resized)
    _check_readable(path, about)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
        entry = {"file": path.name, "sha256": sha256_of(temporary), "made_from": made_from, **parity}
        entry["num_bytes"] = len(content)
        write_json(run.parity_json, {**_other_entries(run, made_from), file_format: entry})


def _check_readable(path: Path, about: str) -> None:
    """Refuses to write a file whose description Nevus would refuse, as of a licence with control characters."""
    try:
        parse_spec(about)
    except ModelFileError as problem:
        raise RunError(
            f"{path} was not written, because it could not be opened again: {problem} Look for the text or the number "
            "that is named there in config.json and run.json of the run."
        ) from None


def _other_entries(run: Run, made_from: dict[str, str]) -> dict[str, Any]:
    """What `parity.json` says of the files in other formats that are still there and were made from the same."""
    if not run.parity_json.exists():
        return {}
    hint = "Delete it, and run 'nevus export' again."
    entries = read_json(run.parity_json, hint)
    try:
        return {
            name: entry
            for name, entry in entries.items()
            if name in FORMATS and entry["made_from"] == made_from and run.exported(name).exists()
        }
    except (AttributeError, KeyError, TypeError):
        raise RunError(f"{run.parity_json} is damaged. {hint}") from None


def _golden_cases(answer: Exported, image_size: int, *, any_size: bool) -> tuple[GoldenCase, ...]:
    """The answers of an exported model for the golden inputs: of its own size, and of others if it takes any size."""
    cases = []
    for height, width in golden_sizes(image_size) if any_size else [(image_size, image_size)]:
        answers = answer(golden_pixels(height, width)[None], 1)
        told = None if answers.familiarity is None else float(answers.familiarity[0])
        probabilities = tuple(map(float, answers.probabilities[0]))
        cases.append(GoldenCase(height, width, probabilities, float(answers.risk[0]), told))
    return tuple(cases)
