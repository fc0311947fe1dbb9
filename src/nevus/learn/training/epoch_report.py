"""How a training goes, told to a person after each epoch."""

from __future__ import annotations

import logging
import math
import time

import keras
from tqdm import tqdm

from nevus.core.errors import RunError
from nevus.learn.training.recipe import Recipe

_log = logging.getLogger(__name__)


class EpochReport(keras.callbacks.Callback):
    """Tells a person how the training goes, times it, and ends it when the loss is not a number any more.

    On a terminal a bar runs within each epoch; a line stays for each, there and in a log file.

    Args:
        recipe: gives the number of epochs and the batch size.
        num_images: of split train.
        stopping: knows which epoch is the best so far; must come before this callback.
    """

    def __init__(self, recipe: Recipe, num_images: int, stopping: keras.callbacks.EarlyStopping) -> None:
        super().__init__()
        self._recipe = recipe
        self._num_images = num_images
        self._stopping = stopping

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Starts the clock of the epoch."""
        self._epoch = epoch
        self._began = time.perf_counter()
        self._training_seconds = 0.0
        self._bar = tqdm(
            total=self._num_images,
            desc=f"epoch {epoch + 1}/{self._recipe.epochs}",
            unit="image",
            dynamic_ncols=True,
            leave=False,
            disable=None,  # unless standard error is a terminal
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Ends the training if the loss is not a number."""
        loss = float((logs or {})["loss"])
        self._check_finite("training", loss)
        self._training_seconds = time.perf_counter() - self._began
        self._bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
        self._bar.update(min(self._recipe.batch_size, self._num_images - self._bar.n))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Logs a line on the epoch."""
        self._bar.close()
        logs = {} if logs is None else logs
        self._check_finite("validation", logs["val_loss"])
        # Of a schedule, Keras notes no rate.
        logs.setdefault("learning_rate", float(self.model.optimizer.learning_rate))
        logs["seconds"] = time.perf_counter() - self._began
        # The epoch of a linear probe has no batches.
        logs["images_per_second"] = self._num_images / (self._training_seconds or logs["seconds"])
        best = "  best so far" if self._stopping.best_epoch == epoch else ""
        _log.info(
            f"epoch {epoch + 1:>2}/{self._recipe.epochs}  loss {logs['loss']:.4f}  val loss {logs['val_loss']:.4f}  "
            f"val ROC-AUC {logs['val_roc_auc']:.4f}  learning rate {logs['learning_rate']:.1e}  "
            f"{logs['seconds']:.0f} s{best}"
        )

    def _check_finite(self, name: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise RunError(
                f"The {name} loss became {loss} in epoch {self._epoch + 1}. Expected a finite number. "
                f"Train again with a lower --learning-rate than {self._recipe.learning_rate:g}."
            )
