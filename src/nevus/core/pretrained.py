"""Pretrained weights as `--weights` names them: looked for before any work begins, recorded without a path.

Opening them is `nevus.learn.networks.backbones`'s business.
"""

from __future__ import annotations

from pathlib import Path

from nevus.core.errors import ConfigError
from nevus.core.files import sha256_of

NONE, IMAGENET = "none", "imagenet"

_LICENCES = {IMAGENET: "as keras.io/api/applications gives it for the weights of each network, learned from ImageNet"}


def describe_weights(weights: str) -> dict[str, str] | None:
    """What a run's record says of the weights that its training begins with.

    Args:
        weights: 'none', 'imagenet' or the path of a file.

    Returns:
        `weights`, the word or the file's name; `licence`, as far as it is known; and `sha256` of a file. None for
        random weights.

    Raises:
        ConfigError: there is no such file, or it is none of Keras's weights by its name.
    """
    if weights == NONE:
        return None
    described = {"weights": Path(weights).name, "licence": _LICENCES.get(weights, "not known")}
    if weights == IMAGENET:
        return described
    if not Path(weights).is_file() or not weights.endswith(".h5"):
        reason = "it is not a file of weights" if Path(weights).exists() else "there is no such file"
        raise ConfigError(
            f"--weights {weights}: {reason}. Expected {IMAGENET}, {NONE} or a file that ends in .h5; "
            "a relative path counts from the folder in which the command is run."
        )
    return {**described, "sha256": sha256_of(Path(weights))}
