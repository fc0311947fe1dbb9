"""Training: from a prepared dataset and a configuration to the best weights, from top to bottom.

Networks, recipes, batches and checkpoints have modules of their own; this one puts
them together and keeps the run's record. Of the test split it checks that the clinical
values can be read, and looks at nothing.
"""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nevus.core.clinical import Variable, value_of
from nevus.core.config import Config
from nevus.core.dataset import Dataset
from nevus.core.errors import ConfigError, DataError, RunError
from nevus.core.files import replacing, write_json
from nevus.core.pretrained import NONE, are_of_a_run, describe_weights
from nevus.core.reuse import check_resumable, clear
from nevus.core.runs import RUNNING, Run
from nevus.learn.keras_settings import own_settings
from nevus.learn.networks import architectures
from nevus.learn.networks.backbones import layers_below_top, load_weights
from nevus.learn.networks.clinical_head import save_head, variables_of, with_clinical
from nevus.learn.networks.own_weights import load_own_weights
from nevus.learn.networks.tensors import LOGITS
from nevus.learn.training.balance import Balance, balance_of
from nevus.learn.training.batches import (
    EVALUATION_BATCH_SIZE,
    evaluation_batches,
    labels_of,
    steps_in_epoch,
    training_batches,
)
from nevus.learn.training.checkpoint import Checkpoint
from nevus.learn.training.epoch_report import EpochReport
from nevus.learn.training.linear_head import fit_head
from nevus.learn.training.optimization import compile_network, optimizer_of, steering
from nevus.learn.training.preview import write_preview
from nevus.learn.training.recipe import Recipe, Stage, recipe_name, recipe_of
from nevus.learn.training.teacher import describe_teacher, load_teacher, taught

_log = logging.getLogger(__name__)


@own_settings()
def train(run: Run, dataset: Dataset, config: Config, *, resume: bool = False, overwrite: bool = False) -> None:
    """Trains a network on split train, watching split val, and leaves its best weights in `run.model_keras`.

    A run that is killed or interrupted can be resumed from the start of the epoch it was in,
    and then ends with the weights that it would have had.

    Args:
        run: a folder that holds no run yet, or the one to resume or overwrite.
        dataset: prepared and split.
        config: the network, the recipe, and what replaces the recipe's values.
        resume: go on with the run that the folder holds.
        overwrite: clear the run that the folder holds, once nothing is left that could be wrong with the arguments.

    Raises:
        ConfigError: the weights to begin with cannot be loaded into the network, or a linear probe is to learn from
            clinical values.
        RunError: there is a run already, or none that can be resumed with this dataset and
            configuration, or the loss became NaN.
        DataError: pixels cannot be read, a split or a class of split train has no images, or a clinical column
            cannot be used, in whichever split.
    """
    if resume:
        _check_resumable(run, dataset, config)
    recipe, classes = recipe_of(config), dataset.info.classes
    _ = dataset.pixels  # Opened before anything is begun or removed.
    pretrained = describe_weights(config.weights)
    teacher_run = Run(Path(config.teacher)) if config.teacher != NONE else None
    teacher = load_teacher(teacher_run, dataset) if teacher_run else None
    described_teacher = describe_teacher(teacher_run) if teacher_run else None
    balance = balance_of(dataset, config.balance)
    _warn_of_absent_classes(dataset)
    keras.utils.set_random_seed(config.seed)
    network = architectures.build(config.model, dataset.info.image_size, len(classes.names))
    if are_of_a_run(config.weights):
        load_own_weights(network, classes, config.weights)
    elif pretrained:
        load_weights(network, config.model, config.weights)
    variables = variables_of(dataset, config.metadata)
    _check_clinical(dataset, variables)
    if variables and teacher is not None:
        raise ConfigError("--teacher: a teacher sees the image alone. Leave out --metadata.")
    if variables and recipe.epochs_of_stages()[-1][0].trained == "head":
        raise ConfigError("--metadata: a linear probe learns from the image alone. Train for more epochs.")
    # What is trained is the network of the image, alone or with its clinical values next to it.
    trained = with_clinical(network, sum(variable.size for variable in variables)) if variables else network

    if not resume:
        if overwrite:
            clear(run, but=[dataset])
        run.start(dataset, pretrained=pretrained)
        write_json(run.config_json, config.to_json())
    # Its predictions are still to come.
    with run.at_work(ends_as=RUNNING):
        run.checkpoints.mkdir(exist_ok=True)
        write_preview(run, dataset, recipe.augmentation, config.seed)
        for number in range(len(recipe.epochs_of_stages())):
            stopping, checkpoint = _train_stage(trained, run, dataset, config, variables, number, balance, teacher)
        run.check_present()
        _save(network, run, dataset, config)
        if variables:
            save_head(run, trained, variables)
        _record(run, config, recipe, trained, balance, described_teacher, stopping, checkpoint)


def _record(
    run: Run,
    config: Config,
    recipe: Recipe,
    network: keras.Model,
    balance: Balance,
    teacher: dict[str, str] | None,
    stopping: keras.callbacks.EarlyStopping,
    checkpoint: Checkpoint,
) -> None:
    history = checkpoint.history
    run.update(
        training={
            "network": config.model,
            "num_parameters": network.count_params(),
            "recipe": {"name": recipe_name(config), **dataclasses.asdict(recipe)},
            **balance.to_json(),
            "teacher": teacher,
            "epochs_run": len(history),
            "best_epoch": stopping.best_epoch + 1,
            "stopped_early": checkpoint.stopped,
            "minutes": sum(row["seconds"] for row in history) / 60,
            "images_per_second": float(np.median([row["images_per_second"] for row in history])),
        }
    )


def _train_stage(
    network: keras.Model,
    run: Run,
    dataset: Dataset,
    config: Config,
    variables: tuple[Variable, ...],
    number: int,
    balance: Balance,
    teacher: keras.Model | None,
) -> tuple[keras.callbacks.EarlyStopping, Checkpoint]:
    """Trains one stage of the recipe, or what is left of it, and gives `network` the best weights so far."""
    recipe = recipe_of(config)
    stage, first_epoch, end = recipe.epochs_of_stages()[number]
    num_images = len(dataset.rows_of("train"))
    steps = steps_in_epoch(num_images, recipe.batch_size)
    # The callbacks of a stage take up from the checkpoint what those of the one before it remembered.
    stopping, others = steering(recipe, steps, run.checkpoints / "best.weights.h5")
    checkpoint = Checkpoint(run.checkpoints / "last.npz", run.history_csv, stopping, others, number)
    if checkpoint.is_of_later_stage:
        return stopping, checkpoint
    rates = _choose_what_learns(network, config.model, stage)
    optimizer = optimizer_of(recipe, stage, (end - first_epoch) * steps, rates)
    compile_network(network, dataset.info.classes, optimizer, config.loss, config.label_smoothing)
    next_epoch = end if checkpoint.stopped else checkpoint.next_epoch
    callbacks = [
        # First, because others would make the folder again.
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: run.check_present()),
        stopping,
        *others,
        keras.callbacks.TensorBoard(run.tensorboard, write_graph=False),
        EpochReport(recipe, num_images, stopping),
        checkpoint,
    ]
    if stage.trained == "head":
        # One epoch without batches; begun again even if it is over, so that the network gets its weights.
        told = keras.callbacks.CallbackList(callbacks, model=network)
        told.on_train_begin()
        if next_epoch < end:
            told.on_epoch_begin(first_epoch)
            told.on_epoch_end(first_epoch, fit_head(network, dataset, config, balance, run.checkpoints))
        told.on_train_end()
    else:
        batches = training_batches(dataset, recipe, balance.weights("train"), config.seed, next_epoch, variables)
        network.fit(
            taught(batches, teacher, len(dataset.info.classes.names)) if teacher is not None else batches,
            steps_per_epoch=steps,
            initial_epoch=next_epoch,
            epochs=end,
            validation_data=_weighted(evaluation_batches(dataset, "val", variables), balance.weights("val")),
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    return stopping, checkpoint


def _weighted(batches: tf.data.Dataset, weights: NDArray[np.float32]) -> tf.data.Dataset:
    """Batches with the weights of training, so that the best epoch is the best at what training minimises.

    Unweighted, validation would prefer epochs that have gone back to calling all by the commonest class.
    """
    weighing = tf.data.Dataset.from_tensor_slices(weights).batch(EVALUATION_BATCH_SIZE)
    return tf.data.Dataset.zip(batches, weighing).map(lambda batch, weight: (*batch, weight))


def _choose_what_learns(network: keras.Model, name: str, stage: Stage) -> list[float]:
    """Freezes the layers that do not learn in `stage`; returns the shares of the learning rate of those that do.

    Returns:
        A share for each trainable variable; empty if they all learn alike.
    """
    if stage == Stage():
        return []
    head, lower = network.get_layer(LOGITS), layers_below_top(network, name)
    for layer in network.layers:
        learns = stage.trained == "all" or layer is head or (stage.trained == "top" and layer not in lower)
        layer.trainable = learns and (stage.batch_norm_learns or not isinstance(layer, keras.layers.BatchNormalization))
    lower_variables = {id(variable) for layer in lower for variable in layer.trainable_variables}
    return [stage.lower_rate if id(variable) in lower_variables else 1.0 for variable in network.trainable_variables]


def _warn_of_absent_classes(dataset: Dataset) -> None:
    malignant = dataset.info.classes.malignant_mask[labels_of(dataset, "val")]
    if malignant.all() or not malignant.any():
        _log.warning(
            "Split val has no %s image: its ROC-AUC and average precision will be NaN.",
            "benign" if malignant.all() else "malignant",
        )


def _check_clinical(dataset: Dataset, variables: tuple[Variable, ...]) -> None:
    """Reads the clinical values of every split, so that validation or test cannot end a training that is done."""
    for number, row in enumerate(dataset.rows, start=2):
        for variable in () if row.is_left_out else variables:
            try:
                if variable.is_number:
                    value_of(variable, row.columns.get(variable.name))
            except ConfigError as problem:
                raise DataError(
                    f"{dataset.manifest_csv} row {number} (split {row.split}): {problem} Each training image has a "
                    f"number there. Mend the cell, or leave '{variable.name}' out of --metadata."
                ) from None


def _check_resumable(run: Run, dataset: Dataset, config: Config) -> None:
    if run.is_trained:
        raise RunError(
            f"{run.directory} is trained; nothing is left to resume. Name another folder with --out, "
            "or start over with --overwrite."
        )
    check_resumable(run, dataset, config)


def _save(network: keras.Model, run: Run, dataset: Dataset, config: Config) -> None:
    """Saves the network alone, without what only training needs, and with the views that only prediction averages."""
    bare = architectures.build(config.model, dataset.info.image_size, len(dataset.info.classes.names), config.views)
    bare.set_weights(network.get_weights())
    with replacing(run.model_keras) as temporary:
        # Keras insists on its suffix.
        beside = temporary.with_suffix(".keras")
        bare.save(beside)
        beside.replace(temporary)
