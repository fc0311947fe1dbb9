"""Weights that a training begins with, as `--weights` names them: looked for before any work, recorded without a path.

They are ImageNet's or a file of a network of Keras, which `nevus.learn.networks.backbones` opens; or those of an
earlier run, which `nevus.learn.networks.own_weights` opens.
"""

from __future__ import annotations

from pathlib import Path

from nevus.core.errors import ConfigError
from nevus.core.files import read_json, sha256_of
from nevus.core.runs import Run

NONE, IMAGENET = "none", "imagenet"

_KERAS = ".h5"
_LICENCES = {IMAGENET: "as keras.io/api/applications gives it for the weights of each network, learned from ImageNet"}


def are_of_a_run(weights: str) -> bool:
    """Whether weights are named as those of an earlier run: its folder, or its model.keras."""
    return weights not in (NONE, IMAGENET) and not weights.endswith(_KERAS)


def describe_weights(weights: str) -> dict[str, str] | None:
    """What a run's record says of the weights that its training begins with.

    Args:
        weights: 'none', 'imagenet', the path of an .h5 file, or of a run's folder or its model.keras.

    Returns:
        `weights`, the word or the name of the file or folder; `licence`, as far as it is known; and `sha256` of a
        file. None for random weights.

    Raises:
        ConfigError: there is no such file, or it is none of Keras's weights by its name.
    """
    if weights == NONE:
        return None
    if are_of_a_run(weights):
        path = model_of(weights)
        stated = read_json(Run(path.parent).config_json, "").get("licence") if earlier_run(weights) else None
        name = Path(weights).resolve().name
        return {"weights": name, "licence": stated or "not stated by its run", "sha256": sha256_of(path)}
    described = {"weights": Path(weights).name, "licence": _LICENCES.get(weights, "not known")}
    if weights == IMAGENET:
        return described
    if not Path(weights).is_file():
        raise _nothing_at(weights)
    return {**described, "sha256": sha256_of(Path(weights))}


def model_of(weights: str) -> Path:
    """The Keras file of weights that `are_of_a_run`.

    Raises:
        ConfigError: there is none.
    """
    path = Path(weights)
    if not path.is_dir():
        if not path.is_file() or path.suffix != ".keras":
            raise _nothing_at(weights)
        return path
    run = Run(path)
    if run.run_json.exists() and run.folds:
        raise ConfigError(
            f"--weights {weights} is a cross-validation. Expected a single run: name a fold, such as "
            f"{run.folds[0].directory}."
        )
    if not run.model_keras.is_file():
        raise ConfigError(
            f"--weights {weights}: the folder has no {run.model_keras.name}. Expected a run that is done."
        )
    return run.model_keras


def earlier_run(weights: str) -> Run | None:
    """The run whose weights these are; None for a file that is in no run's folder.

    Raises:
        ConfigError: as `model_of`.
    """
    run = Run(model_of(weights).parent)
    return run if run.run_json.exists() and run.config_json.exists() else None


def _nothing_at(weights: str) -> ConfigError:
    reason = "it is not a file of weights" if Path(weights).exists() else "there is no such file"
    return ConfigError(
        f"--weights {weights}: {reason}. Expected {IMAGENET}, {NONE}, a file that ends in {_KERAS}, or a run's folder "
        "or its model.keras; a relative path counts from the folder in which the command is run."
    )
