"""The recipes: every number that decides how a network is trained, and what it is trained to minimise.

A recipe says nothing about the network or the data it meets.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import KerasTensor, ops

from nevus.core.config import Config
from nevus.core.labels import Classes


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: Adam on cross-entropy, with balanced class weights.

    Attributes:
        epochs: most passes over the training images.
        batch_size: images in a step.
        learning_rate: of Adam (Kingma and Ba 2015) at the start.
        flip: whether images are mirrored left to right and top to bottom, each with probability 1/2.
        rotation: largest rotation either way, in turns; 0.1 is 36 degrees.
        zoom: largest relative change of scale either way; 0.1 is 10 %.
        stop_patience: epochs without a better validation loss after which training ends.
        reduce_patience: epochs without a better validation loss after which the learning rate falls.
        reduce_factor: by which it is multiplied then.
        least_learning_rate: below which it never falls.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    flip: bool
    rotation: float
    zoom: float
    stop_patience: int
    reduce_patience: int
    reduce_factor: float
    least_learning_rate: float

    def stop_epochs(self, steps_in_epoch: int) -> int:
        """`stop_patience`, or as many epochs as validation needs to mean anything, if that is more."""
        return max(self.stop_patience, math.ceil(_SETTLING_STEPS / steps_in_epoch))

    def reduce_epochs(self, steps_in_epoch: int) -> int:
        """`reduce_patience`, or as many epochs as validation needs to mean anything, if that is more."""
        return max(self.reduce_patience, math.ceil(_SETTLING_STEPS / steps_in_epoch))


# A running average with Keras's momentum of .99 keeps less than a hundredth of its initial value after so many
# steps. Before that batch normalisation is off in validation, and on a small dataset patience would run out.
_SETTLING_STEPS = 460

RECIPES: dict[str, Recipe] = {
    # The usual values of the published notebooks on the melanoma set and of the Keras tutorials they follow.
    "classic": Recipe(
        epochs=30,
        batch_size=32,
        learning_rate=1e-4,
        flip=True,
        rotation=0.1,
        zoom=0.1,
        stop_patience=6,
        reduce_patience=3,
        reduce_factor=0.5,
        least_learning_rate=1e-6,
    ),
}


def recipe_of(config: Config) -> Recipe:
    """The recipe that `config` names, with the values that `config` gives in place of its own."""
    given = {name: getattr(config, name) for name in ("epochs", "batch_size", "learning_rate")}
    return dataclasses.replace(
        RECIPES[config.recipe], **{name: value for name, value in given.items() if value is not None}
    )


def compile_network(network: keras.Model, recipe: Recipe, classes: Classes) -> None:
    """Gives `network` its optimizer, loss and metrics, in place.

    Targets are class indices, integer [N]. The loss is the binary cross-entropy of one
    logit for two classes, and the categorical one for more.
    """
    network.compile(
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        loss=(
            keras.losses.BinaryCrossentropy(from_logits=True)
            if len(classes.names) == 2
            else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        ),
        metrics=[
            MalignantAUC(classes, curve="ROC", name="roc_auc"),
            MalignantAUC(classes, curve="PR", name="average_precision"),
        ],
        # Keras would compile for XLA, which on two cores trains the classic network a third slower or worse.
        jit_compile=False,
    )


class MalignantAUC(keras.metrics.AUC):
    """Area under a curve of the risk, the summed probability of the malignant classes.

    A progress figure, by 1,000 bins of the risk; reported figures come from `nevus.assess`.
    NaN where all images seen are malignant or none is.

    Args:
        classes: in the order of the network's outputs.
        **options: of `keras.metrics.AUC`.
    """

    def __init__(self, classes: Classes, **options: Any) -> None:
        super().__init__(num_thresholds=1000, **options)
        self._malignant = classes.malignant_mask.astype("float32")

    def update_state(self, y_true: KerasTensor, y_pred: KerasTensor, sample_weight: KerasTensor | None = None) -> None:
        """Adds a batch: class indices [N] and logits, [N, 1] or [N, C]."""
        if y_pred.shape[-1] == 1:
            y_pred = ops.concatenate([ops.zeros_like(y_pred), y_pred], axis=-1)
        malignant = ops.convert_to_tensor(self._malignant)
        risk = ops.sum(ops.softmax(y_pred) * malignant, axis=-1)
        truth = ops.take(malignant, ops.cast(ops.reshape(y_true, (-1,)), "int32"))
        super().update_state(truth, ops.clip(risk, 0.0, 1.0), sample_weight)

    def result(self) -> KerasTensor:
        # The counts at any one threshold add up to the images of each kind.
        malignant = self.true_positives[0] + self.false_negatives[0]
        benign = self.false_positives[0] + self.true_negatives[0]
        return ops.where(ops.logical_and(malignant > 0, benign > 0), super().result(), float("nan"))
