"""Versions of the files that Nevus writes; the rules are in docs/file-versions.md.

Owns how an older file becomes one of today, step by step, and the errors for a file that cannot. What a
step changes is known to the module that owns the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nevus.core.errors import NevusError, RunError
from nevus.core.files import read_json

# Of files that one part writes and another reads.
METRICS_JSON = 4
CROSS_VALIDATION_JSON = 3
SOURCES_JSON = 1

# From the JSON of one version to that of the next.
Upgrade = Callable[[dict[str, Any]], dict[str, Any]]


def without_class_weights(data: dict[str, Any]) -> dict[str, Any]:
    """Version 4 of `metrics.json` and of `operating_points.json` undoes class weights; before, none were undone."""
    return {**data, "class_weights": {}}


def read_metrics_json(path: Path, hint: str) -> dict[str, Any]:
    """Reads `metrics.json` as today's version has it; errors as for `read_versioned`."""
    return read_versioned(path, METRICS_JSON, hint, upgrades={3: without_class_weights})


def read_versioned(
    path: Path,
    version: int,
    hint: str,
    *,
    upgrades: Mapping[int, Upgrade] | None = None,
    error: type[NevusError] = RunError,
) -> dict[str, Any]:
    """Reads a JSON file as today's version has it; arguments and errors as for `read_json` and `upgraded`."""
    return upgraded(read_json(path, hint, error), version, str(path), hint, upgrades=upgrades, error=error)


def upgraded(
    data: Any,
    version: int,
    where: str,
    hint: str,
    *,
    upgrades: Mapping[int, Upgrade] | None = None,
    error: type[NevusError] = RunError,
) -> dict[str, Any]:
    """The JSON of a file as today's version has it.

    Args:
        data: the JSON, with its version as `schema_version`.
        version: today's.
        where: names the file in an error.
        hint: how to make the file, the end of the error message.
        upgrades: a step for each version that can be read, from it to the next.
        error: what to raise.

    Raises:
        NevusError: `data` is not a JSON object, or of a newer version, or of an older one that no step leads on from.
    """
    found = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise error(f"{where} is damaged: expected a JSON object with a whole number as schema_version. {hint}")
    if found > version:
        raise error(
            f"{where} was made by a newer version of Nevus: its schema_version is {found}, and this version reads "
            f"up to {version}. Update Nevus."
        )
    for step in range(found, version):
        if step not in (upgrades or {}):
            raise error(
                f"{where} was made by an older version of Nevus: its schema_version is {found}, and it lacks what "
                f"{step + 1} has. {hint}"
            )
        data = (upgrades or {})[step](data)
    return {**data, "schema_version": version}
