"""The models that come with the package: a name for each, its file and its card next to it.

Owns how a model is named: by the plain name of a shipped one, by the path of a file, or by a run's folder. Opens none.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from nevus.core.errors import ModelFileError

if TYPE_CHECKING:
    from nevus.core.runs import Run

# Holds NAME.onnx, and the card NAME.md.
FOLDER = Path(__file__).parents[1] / "models"
DEFAULT = "compact"

_A_FILE = "a model.onnx that 'nevus export' wrote."


def shipped_models() -> dict[str, Path]:
    """Name to file of each shipped model, the default first."""
    files = sorted(FOLDER.glob("*.onnx"), key=lambda path: (path.stem != DEFAULT, path.stem))
    return {path.stem: path for path in files}


def find_model(model: str | Path = DEFAULT) -> Path:
    """The file that a name or a path stands for.

    Args:
        model: a plain word of letters, digits, hyphens and underscores is the name of a shipped model; anything
            else, and every Path, is the path of a file, whether or not it exists, or of a run's folder.

    Raises:
        ModelFileError: no shipped model has that name.
    """
    if isinstance(model, Path) or not re.fullmatch(r"[A-Za-z0-9_-]+", model):
        return _in_run(Path(model))
    shipped = shipped_models()
    if model in shipped:
        return shipped[model]
    if not shipped:
        raise ModelFileError(f"No model '{model}' ships with this copy of Nevus, nor any other. Name a file: {_A_FILE}")
    nearest = difflib.get_close_matches(model, shipped, n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    raise ModelFileError(
        f"No shipped model is called '{model}'.{hint} Expected one of: {', '.join(shipped)}. Or name a file: {_A_FILE}"
    )


def is_run(path: Path) -> bool:
    """Whether a path is the folder of a run."""
    return os.path.isfile(path / "run.json")  # noqa: PTH113 - is_file raises where a name is too long


def run_of(model: str | Path) -> Run | None:
    """The run in whose folder a model is, named as for `find_model`; None if it is in no run's folder.

    Raises:
        ModelFileError: as `find_model`.
    """
    folder = find_model(model).parent
    if not is_run(folder):
        return None
    from nevus.core.runs import Run  # A command that predicts by a file goes without it.

    return Run(folder)


def _in_run(path: Path) -> Path:
    """The model file of a run, if a path is its folder."""
    if not is_run(path):
        return path
    from nevus.core.runs import Run  # A command that predicts by a file goes without it.

    run = Run(path)
    return run.ensemble_onnx if run.folds else run.model_onnx
