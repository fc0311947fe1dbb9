"""Compiles a network from a recipe: its optimizer, loss and metrics, and the callbacks that steer it.

The loop itself is `nevus.learn.training.train`'s; the numbers are `nevus.learn.training.recipe`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
from keras import KerasTensor, ops

from nevus.core.labels import Classes
from nevus.learn.training.recipe import OneCycle, Plateau, Recipe, Stage

# A running average with Keras's momentum of .99 keeps less than a hundredth of its initial value after so many
# steps. Before that batch normalisation is off in validation, and on a small dataset patience would run out.
_SETTLING_STEPS = 460

# Longer gradients are cut to this norm: at high learning rates single batches would throw the weights off.
_LARGEST_GRADIENT = 1.0


def compile_network(
    network: keras.Model,
    classes: Classes,
    optimizer: keras.optimizers.Optimizer,
    loss: str = "cross-entropy",
    label_smoothing: float = 0.0,
) -> None:
    """Gives `network` its optimizer, loss and metrics, in place.

    Targets are class indices, integer [N], or probabilities of the classes, float32 [N, C].

    Args:
        network: to logits, [N, 1] for two classes, else [N, C].
        classes: the C classes.
        optimizer: from `optimizer_of`.
        loss: 'cross-entropy', or 'focal' (Lin et al. 2017, arXiv:1708.02002, gamma 2).
        label_smoothing: share of each label to spread over all classes.
    """
    network.compile(
        optimizer=optimizer,
        loss=_loss(len(classes.names), loss, label_smoothing),
        metrics=[
            MalignantAUC(classes, curve="ROC", name="roc_auc"),
            MalignantAUC(classes, curve="PR", name="average_precision"),
        ],
        # Keras would compile for XLA, which on two cores trains the classic network a third slower or worse.
        jit_compile=False,
    )
    # Left to the first step, the optimizer's variables would make TensorFlow trace that step twice: ten seconds more.
    network.optimizer.build(network.trainable_variables)


def _loss(num_classes: int, name: str, label_smoothing: float) -> Callable[[KerasTensor, KerasTensor], KerasTensor]:
    options = {"from_logits": True, "label_smoothing": label_smoothing}
    if num_classes == 2:
        loss = {"cross-entropy": keras.losses.BinaryCrossentropy, "focal": keras.losses.BinaryFocalCrossentropy}[name](
            reduction=None, **options
        )
    elif name == "focal":
        # The balance of classes is that of the class weights.
        loss = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, reduction=None, **options)
    else:
        loss = keras.losses.CategoricalCrossentropy(reduction=None, **options)

    def of_targets(targets: KerasTensor, logits: KerasTensor) -> KerasTensor:
        if targets.shape[-1] != num_classes or len(targets.shape) == 1:
            targets = ops.one_hot(ops.cast(ops.reshape(targets, (-1,)), "int32"), num_classes)
        return loss(targets[:, 1:] if num_classes == 2 else targets, logits)

    return of_targets


def steering(
    recipe: Recipe, steps_in_epoch: int, best_weights: Path
) -> tuple[keras.callbacks.EarlyStopping, list[keras.callbacks.Callback]]:
    """The callback that keeps the weights best on validation, and ends a `Plateau`; and the ones it works with.

    Args:
        recipe: gives the schedule.
        steps_in_epoch: training steps in an epoch.
        best_weights: file to which the best weights so far are saved.
    """
    keeping = keras.callbacks.ModelCheckpoint(
        best_weights, monitor="val_loss", save_best_only=True, save_weights_only=True
    )
    if isinstance(recipe.schedule, OneCycle):
        # The rate falls to nothing by itself: no epoch but the last of all is the end.
        return keras.callbacks.EarlyStopping(patience=recipe.epochs, restore_best_weights=True), [keeping]
    stop, reduce = patience(recipe.schedule, steps_in_epoch)
    return keras.callbacks.EarlyStopping(patience=stop, restore_best_weights=True), [
        keras.callbacks.ReduceLROnPlateau(
            factor=recipe.schedule.reduce_factor, patience=reduce, min_lr=recipe.schedule.least_learning_rate
        ),
        keeping,
    ]


def patience(schedule: Plateau, steps_in_epoch: int) -> tuple[int, int]:
    """Epochs of patience before stopping and reducing, never fewer than validation needs to mean anything."""
    settling = math.ceil(_SETTLING_STEPS / steps_in_epoch)
    return max(schedule.stop_patience, settling), max(schedule.reduce_patience, settling)


@keras.saving.register_keras_serializable("nevus")
class OneCycleSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of a step: up in a straight line from a 25th, then down to a 1000th as half a cosine.

    Args:
        highest: the rate where the warm-up ends.
        num_steps: of the whole training.
        warm_up: share of the steps in which the rate rises.
    """

    def __init__(self, highest: float, num_steps: int, warm_up: float) -> None:
        self._highest = highest
        self._num_steps = num_steps
        self._warm_up = warm_up

    def __call__(self, step: KerasTensor) -> KerasTensor:
        """The learning rate at a step."""
        progress = ops.cast(step, "float32") / self._num_steps
        rising = 0.04 + 0.96 * progress / self._warm_up
        falling = 0.001 + 0.999 * 0.5 * (
            1 + ops.cos(math.pi * ops.minimum((progress - self._warm_up) / (1 - self._warm_up), 1.0))
        )
        return self._highest * ops.where(progress < self._warm_up, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """What Keras needs to build it again."""
        return {"highest": self._highest, "num_steps": self._num_steps, "warm_up": self._warm_up}


class MalignantAUC(keras.metrics.AUC):
    """Area under a curve of the risk, the summed probability of the malignant classes.

    A progress metric, by 1,000 bins of the risk; reported metrics come from `nevus.assess`.
    NaN where all images seen are malignant or none is.

    Args:
        classes: in the order of the network's outputs.
        **options: of `keras.metrics.AUC`.
    """

    def __init__(self, classes: Classes, **options: Any) -> None:
        super().__init__(num_thresholds=1000, **options)
        self._malignant = classes.malignant_mask.astype("float32")

    def update_state(self, y_true: KerasTensor, y_pred: KerasTensor, sample_weight: KerasTensor | None = None) -> None:
        """Adds a batch: class indices [N] or probabilities [N, C], whose largest is the class; and logits."""
        if y_pred.shape[-1] == 1:
            y_pred = ops.concatenate([ops.zeros_like(y_pred), y_pred], axis=-1)
        malignant = ops.convert_to_tensor(self._malignant)
        risk = ops.sum(ops.softmax(y_pred) * malignant, axis=-1)
        if len(y_true.shape) == 2 and y_true.shape[-1] == len(self._malignant):
            y_true = ops.argmax(y_true, axis=-1)
        truth = ops.take(malignant, ops.cast(ops.reshape(y_true, (-1,)), "int32"))
        super().update_state(truth, ops.clip(risk, 0.0, 1.0), sample_weight)

    def result(self) -> KerasTensor:
        """The value so far."""
        # The counts at any one threshold add up to the images of each kind.
        malignant = self.true_positives[0] + self.false_negatives[0]
        benign = self.false_positives[0] + self.true_negatives[0]
        return ops.where(ops.logical_and(malignant > 0, benign > 0), super().result(), float("nan"))


class StagedAdam(keras.optimizers.Adam):
    """Adam whose learning rate is another for some variables.

    Args:
        rates: by which the learning rate of each variable is multiplied, in the order of the trainable variables.
        **options: of `keras.optimizers.Adam`, the learning rate among them.
    """

    def __init__(self, rates: Sequence[float], **options: Any) -> None:
        super().__init__(**options)
        self._rates = rates

    def update_step(self, gradient: KerasTensor, variable: keras.Variable, learning_rate: KerasTensor) -> None:
        """One step of one variable."""
        rate = self._rates[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * rate)


def optimizer_of(recipe: Recipe, stage: Stage, num_steps: int, rates: Sequence[float]) -> keras.optimizers.Optimizer:
    """The optimizer of a stage.

    Args:
        recipe: gives the learning rate, its schedule and the weight decay.
        stage: one of the recipe's.
        num_steps: of the stage.
        rates: shares of the learning rate, one a trainable variable; empty if all learn alike.
    """
    learning_rate = recipe.learning_rate * stage.rate
    # Keras's Adam with weight decay is AdamW.
    if isinstance(recipe.schedule, Plateau):
        return keras.optimizers.Adam(learning_rate, weight_decay=recipe.weight_decay)
    options = {
        "learning_rate": OneCycleSchedule(learning_rate, num_steps, recipe.schedule.warm_up),
        "weight_decay": recipe.weight_decay,
        "global_clipnorm": _LARGEST_GRADIENT,
    }
    optimizer = StagedAdam(rates, **options) if rates else keras.optimizers.Adam(**options)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
