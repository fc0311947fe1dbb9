"""The second input in training: clinical values in addition to the image, behind one dense layer of their own.

Late fusion: the logits of an image and of its clinical values are added, so the class activation map stays
exact, and what they contribute can be read off a table. The network of the image is trained with
them and saved alone; their own weights lie next to it in `metadata.json`.
"""

from __future__ import annotations

import keras
from keras import layers

from nevus.core.clinical import ClinicalHead, Variable, learn_variables
from nevus.core.config import config_from_json
from nevus.core.dataset import Dataset
from nevus.core.errors import RunError
from nevus.core.files import read_json, write_json
from nevus.core.runs import Run
from nevus.learn.networks.tensors import PIXELS

CLINICAL, CLINICAL_LOGITS = "metadata", "metadata_logits"

_TRAIN_AGAIN = "Run 'nevus train' again."


def variables_of(dataset: Dataset, names: tuple[str, ...]) -> tuple[Variable, ...]:
    """How the columns `names` are encoded, from the training images alone.

    Raises:
        DataError: as `learn_variables`.
    """
    rows = dataset.rows_of("train")
    there = dict.fromkeys(name for row in rows for name in row.columns)
    return learn_variables(names, {name: [row.columns.get(name, "") for row in rows] for name in there})


def with_clinical(network: keras.Model, size: int) -> keras.Model:
    """A network of `pixels` and `metadata`, encoded values, float32 [N, size]; it shares the layers of `network`.

    The values begin without any weight: the first step starts from the image alone.
    """
    encoded = keras.Input((size,), dtype="float32", name=CLINICAL)
    added = layers.Dense(
        network.output.shape[-1],
        use_bias=False,
        kernel_initializer="zeros",
        dtype="float32",
        name=CLINICAL_LOGITS,
    )(encoded)
    logits = layers.Add(dtype="float32", name="logits_with_metadata")([network.output, added])
    return keras.Model({PIXELS: network.input, CLINICAL: encoded}, logits, name=network.name)


def save_head(run: Run, trained: keras.Model, variables: tuple[Variable, ...]) -> None:
    """Writes `run.clinical_json` from the network that `with_clinical` made."""
    weights = keras.ops.convert_to_numpy(trained.get_layer(CLINICAL_LOGITS).kernel)
    write_json(run.clinical_json, ClinicalHead(variables, weights).to_json())


def read_head(run: Run) -> ClinicalHead | None:
    """What clinical values add to a run's logits; None if it was trained on pixels alone.

    Raises:
        RunError: the file is missing or damaged.
    """
    if not config_from_json(read_json(run.config_json, _TRAIN_AGAIN)).metadata:
        return None
    try:
        return ClinicalHead.from_json(read_json(run.clinical_json, _TRAIN_AGAIN))
    except (KeyError, TypeError, ValueError) as problem:
        raise RunError(f"{run.clinical_json} lacks a field or holds a wrong one ({problem}). {_TRAIN_AGAIN}") from None
