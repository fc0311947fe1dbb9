"""The weights of an earlier run's network, for a new training to begin with."""

from __future__ import annotations

import logging

import keras

from nevus.core import vocabulary
from nevus.core.errors import ConfigError, ModelFileError
from nevus.core.labels import Classes
from nevus.core.pretrained import earlier_run, model_of
from nevus.learn.networks.backbones import layers_that_learn
from nevus.learn.networks.saved_network import load_network

_log = logging.getLogger(__name__)


def load_own_weights(network: keras.Model, classes: Classes, weights: str) -> None:
    """Gives a network the weights of an earlier run's, in place.

    Image size and views may be others. Where the classes are others, the last layer starts from random weights, with a
    warning.

    Args:
        network: new, of `architectures.build`.
        classes: that it will tell apart.
        weights: a run's folder, or its `model.keras`.

    Raises:
        ConfigError: there are none, or they are damaged or of another network.
    """
    path = model_of(weights)
    try:
        source = load_network(path)
    except ModelFileError as problem:
        raise ConfigError(f"--weights {weights}: {path} cannot be loaded ({problem}). Name another run.") from None
    if source.name != network.name:
        is_known = source.name in vocabulary.NETWORKS
        hint = f"Expected --model {source.name}" if is_known else f"Expected a {path.name} that 'nevus train' wrote"
        raise ConfigError(
            f"--weights {weights} are of the network '{source.name}', and this training is of '{network.name}'. "
            f"{hint}, or other weights."
        )
    *below, last = zip(layers_that_learn(network), layers_that_learn(source), strict=True)
    for layer, earlier in below:
        layer.set_weights(earlier.get_weights())
    run = earlier_run(weights)
    names = run.dataset_info.classes.names if run else None
    layer, earlier = last
    if layer.kernel.shape == earlier.kernel.shape and names in (None, classes.names):
        layer.set_weights(earlier.get_weights())
        return
    _log.warning(
        "--weights %s tell %s apart, and this training %s: the last layer starts from random weights.",
        weights,
        ", ".join(names) if names else f"{max(earlier.kernel.shape[1], 2)} classes",
        ", ".join(classes.names),
    )
