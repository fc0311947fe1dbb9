"""The history of a training: read from its CSV file, and drawn.

Owns the columns that the figure needs; other columns of the file are left alone.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nevus.assess.plots.drawing import INK, MALIGNANT, MUTED, Plot
from nevus.core.errors import RunError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

COLUMNS = ("epoch", "loss", "val_loss", "val_roc_auc", "learning_rate")


def read_history(path: Path) -> dict[str, Floats]:
    """Reads `history.csv`: float64 [epochs] for each of `COLUMNS`; an empty cell is NaN.

    Raises:
        RunError: the file or a column is missing, a cell is not a number, or there is no epoch.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        history = {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}
    except FileNotFoundError:
        raise RunError(f"{path} does not exist. Run 'nevus train' first.") from None
    except (KeyError, ValueError) as problem:
        raise RunError(
            f"{path}: expected numbers in {', '.join(COLUMNS)} ({problem}). Run 'nevus train' again."
        ) from None
    if not rows:
        raise RunError(f"{path} holds no epoch. Run 'nevus train' first.")
    return history


def training_curves(history: Mapping[str, Floats], best_epoch: int | None) -> Plot:
    """Loss, validation ROC-AUC and learning rate over the epochs.

    Args:
        history: float64 [epochs] for each of epoch, loss, val_loss, val_roc_auc and learning_rate.
        best_epoch: the epoch whose weights were kept, counted as in `history`; None if not known.
    """
    epochs = history["epoch"]

    def draw(figure: Figure) -> None:
        from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

        loss, roc_auc, learning_rate = figure.subplots(3, 1, sharex=True, height_ratios=(2, 2, 1))
        # A single epoch makes no line: dots show it.
        dots = "." if epochs.size < 3 else ""
        loss.plot(epochs, history["loss"], color=MUTED, linestyle="--", marker=dots, label="training")
        loss.plot(epochs, history["val_loss"], color=INK, marker=dots, label="validation")
        loss.set_ylabel("Loss")
        roc_auc.plot(epochs, history["val_roc_auc"], color=INK, marker=dots)
        roc_auc.set_ylabel("Val. ROC-AUC")
        learning_rate.step(epochs, history["learning_rate"], where="mid", color=INK, marker=dots)
        # A linear probe has no rate: its nought has no place on a logarithmic axis.
        if (history["learning_rate"] > 0).any():
            learning_rate.set_yscale("log")
            # The axis is low: over more than a decade, ticks within it would overlap.
            low, high = learning_rate.get_ylim()
            learning_rate.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high <= 10 * low else (1,)))
            learning_rate.yaxis.set_minor_locator(NullLocator())
        learning_rate.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        learning_rate.set_ylabel("Learning rate")
        learning_rate.set_xlabel("Epoch")
        learning_rate.xaxis.set_major_locator(MaxNLocator(integer=True))
        if best_epoch is not None:
            for axes in (loss, roc_auc, learning_rate):
                axes.axvline(best_epoch, color=MALIGNANT, linewidth=1.2, linestyle=":")
            loss.plot([], [], color=MALIGNANT, linewidth=1.2, linestyle=":", label=f"best epoch ({best_epoch})")
        figure.align_ylabels()
        figure.legend(loc="outside lower center", ncols=3)

    best = "" if best_epoch is None else f" The weights of epoch {best_epoch} were kept."
    return Plot(
        name="training-curves",
        title="Training",
        caption=f"Loss, validation ROC-AUC and learning rate over {epochs.size} epochs.{best}",
        reading=(
            "The loss of both splits should fall together. Where the training loss goes on falling and the validation "
            "loss rises, the network learns its training images by heart; the weights kept are those from before."
        ),
        alternative=(
            f"Training curves over {epochs.size} epochs. Training loss from {_ends(history['loss'])}, validation loss "
            f"from {_ends(history['val_loss'])}, validation ROC-AUC from {_ends(history['val_roc_auc'])}, "
            f"learning rate from {_ends(history['learning_rate'], 'g')}.{best}"
        ),
        size=(5, 6),
        draw=draw,
    )


def _ends(values: Floats, spec: str = ".3f") -> str:
    return f"{values[0]:{spec}} to {values[-1]:{spec}}"
