"""All that a training needs to go on after it was killed, in one file written whole at each epoch's end.

Keras's own backups lose the state of other callbacks and of seed generators (Keras
issues 14862, 17012, 19179, 20712). Here one .npz file holds the network's variables
with its dropout seeds, the optimizer's with its learning rate, what the callbacks
count, the best weights so far and the history. No pickle.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nevus.core.damage import DAMAGE
from nevus.core.errors import RunError
from nevus.core.files import replacing

# What each of Keras's callbacks remembers from one epoch to the next and forgets in on_train_begin.
_REMEMBERED = {
    keras.callbacks.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: ("best",),
}


class Checkpoint(keras.callbacks.Callback):
    """Saves the whole state of a training at each epoch's end, and restores it where a training begins.

    Must be the last callback: it reads what the others decided at the epoch's end,
    and writes over what they reset at the beginning.

    Args:
        path: the .npz file. If it exists, the training goes on from it.
        history_csv: rewritten at each epoch's end, and where a training goes on; a row an epoch, numbered from 1.
        stopping: keeps the best weights.
        others: further callbacks whose state is kept, of the kinds in `_REMEMBERED`.
        stage: number of the recipe's stage that begins. If the file is of an earlier one, the network's weights are
            the best of that, and the optimizer stays as it is.

    Attributes:
        history: a dictionary of logs an epoch.
        next_epoch: the first epoch that is yet to be trained, counted from 0.
        stopped: True if the training had been stopped early.
        is_of_later_stage: True if the training had come to a later stage than the one that begins.

    Raises:
        RunError: the file is damaged.
    """

    def __init__(
        self,
        path: Path,
        history_csv: Path,
        stopping: keras.callbacks.EarlyStopping,
        others: Sequence[keras.callbacks.Callback],
        stage: int = 0,
    ) -> None:
        super().__init__()
        self._path = path
        self._history_csv = history_csv
        self._stopping = stopping
        self._callbacks = [stopping, *others]
        self._stage = stage
        self._arrays: dict[str, np.ndarray] = {}
        self._state: dict[str, Any] = {"history": [], "stopped": False, "stage": stage}
        if path.exists():
            self._read()
        self.history: list[dict[str, float]] = self._state["history"]
        self.stopped: bool = self._state["stopped"]
        self.is_of_later_stage: bool = self._state["stage"] > stage

    @property
    def next_epoch(self) -> int:
        """The epoch to go on with, from 0."""
        return len(self.history)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Restores what an interrupted training left."""
        if not self._arrays:
            return
        same_stage = self._state["stage"] == self._stage
        variables = self._variables()
        best = [f"best/{number}" for number in range(len(self.model.weights))]
        expected = {name for name in (*variables, *best) if same_stage or not name.startswith("optimizer/")}
        received = {name for name in self._arrays if same_stage or not name.startswith("optimizer/")}
        if expected != received:
            raise RunError(
                f"{self._path} does not fit the network: expected {len(expected)} arrays, "
                f"received {len(received)}. Start over with --overwrite."
            )
        for name in expected & variables.keys():
            variables[name].assign(self._arrays[name])
        self._stopping.best_weights = [self._arrays[name] for name in best]
        if not same_stage:
            self.model.set_weights(self._stopping.best_weights)
        for callback, remembered in zip(self._callbacks, self._state["callbacks"], strict=True):
            vars(callback).update(remembered)
        self._arrays = {}
        # A training that was killed between the two files has an epoch in the checkpoint alone.
        self._write_history()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves everything that resuming needs."""
        row = {name: float(value) for name, value in (logs or {}).items()}
        self.history.append({"epoch": epoch + 1, "loss": row["loss"], "val_loss": row["val_loss"], **row})
        self.stopped = self.model.stop_training
        self._write()
        self._write_history()

    def _write_history(self) -> None:
        with replacing(self._history_csv) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(self.history[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.history)

    def _variables(self) -> dict[str, keras.Variable]:
        owners = {"network": self.model, "optimizer": self.model.optimizer}
        return {
            f"{name}/{number}": variable
            for name, owner in owners.items()
            for number, variable in enumerate(owner.variables)
        }

    def _write(self) -> None:
        arrays = {name: keras.ops.convert_to_numpy(variable) for name, variable in self._variables().items()}
        arrays |= {f"best/{number}": array for number, array in enumerate(self._stopping.best_weights)}
        state = {
            "history": self.history,
            "stopped": self.stopped,
            "stage": self._stage,
            "callbacks": [
                {name: getattr(callback, name) for name in _REMEMBERED[type(callback)]} for callback in self._callbacks
            ],
        }
        with replacing(self._path) as temporary, temporary.open("wb") as file:
            np.savez(file, state=np.array(json.dumps(state)), **arrays)

    def _read(self) -> None:
        try:
            with np.load(self._path, allow_pickle=False) as file:
                self._arrays = {name: file[name] for name in file.files}
            # Files of before there were stages lack their number.
            self._state = {"stage": 0, **json.loads(str(self._arrays.pop("state")))}
        except (OSError, KeyError, *DAMAGE) as problem:
            raise RunError(f"{self._path} is damaged ({problem}). Start over with --overwrite.") from None
