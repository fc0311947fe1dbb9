"""Predictions as text: a table for people, CSV for spreadsheets, JSON lines for programs.

Each writer takes any stream of predictions, writes one line for each as it comes, and counts the images
without an answer. Nothing is predicted and no file is opened here.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TextIO

from nevus.core.csv_cells import cell_of
from nevus.core.errors import UnavailableError
from nevus.core.familiarity import UNFAMILIAR, WHAT_FOLLOWS, FamiliarityLimit
from nevus.core.modelfile import DISCLAIMER, ModelSpec
from nevus.core.terminal import printable
from nevus.serve.prediction import Prediction


class Unanswered(NamedTuple):
    """How many images could not be used, how many the check refused, and how many the machine could not read."""

    failed: int = 0
    refused: int = 0
    unavailable: int = 0

    def after(self, prediction: Prediction) -> Unanswered:
        """The counts with one more prediction."""
        unavailable = prediction.error_code == UnavailableError.code
        failed = prediction.error is not None and not prediction.refused and not unavailable
        return Unanswered(self.failed + failed, self.refused + prediction.refused, self.unavailable + unavailable)


def write_table(predictions: Iterable[Prediction], spec: ModelSpec, file: TextIO) -> Unanswered:
    """Writes a table with aligned columns; the file's name is last because its length is not known ahead."""
    names = spec.classes.names
    widths = [max(len(printable(name)), 5) for name in names]
    unanswered = Unanswered()
    heading = ""
    for prediction in predictions:
        if not heading:
            point = spec.operating_point(prediction.operating_point)
            file.write(
                f"Malignant if the risk is {point.threshold:.4g} or more (operating point {printable(point.name)}).\n"
            )
            file.write(f"{_triage_line(spec)}\n")
            if prediction.prevalence is not None:
                file.write(f"{_prevalence_line(prediction.prevalence, spec)}\n")
            if spec.familiarity:
                file.write(f"{_familiarity_line(spec.familiarity)}\n")
            file.write(f"{DISCLAIMER}\n\n")
            columns = [printable(name).rjust(width) for name, width in zip(names, widths, strict=True)]
            there = [] if prediction.prevalence is None else [" there"]
            familiar = ["familiar"] if spec.familiarity else []
            heading = "  ".join([" risk", *there, "decision ", "triage   ", *familiar, *columns, "file"])
            file.write(f"{heading}\n")
        unanswered = unanswered.after(prediction)
        name = printable(prediction.source)
        there = [] if prediction.prevalence is None else ["     -"]
        if prediction.error is not None:
            word = "refused  " if prediction.refused else "error    "
            familiar = ["-".rjust(8)] if spec.familiarity else []
            cells = ["    -", *there, word, "-        ", *familiar, *("-".rjust(width) for width in widths)]
            file.write("  ".join([*cells, f"{name}: {printable(prediction.error)}"]) + "\n")
            continue
        shares = [f"{prediction.probabilities[n]:.3f}".rjust(w) for n, w in zip(names, widths, strict=True)]
        if prediction.risk_at_prevalence is not None:
            there = [f"{prediction.risk_at_prevalence:.4f}"]
        cells = [f"{prediction.risk:.3f}", *there, (prediction.decided or "").ljust(9), f"{prediction.triage:<9}"]
        if prediction.familiarity is not None:
            cells.append(("unlike" if prediction.unfamiliar else f"{prediction.familiarity:.2f}").rjust(8))
        note = f" (note: {printable(prediction.note)})" if prediction.note else ""
        file.write("  ".join([*cells, *shares, name]) + note + "\n")
    return unanswered


def write_csv(predictions: Iterable[Prediction], spec: ModelSpec, file: TextIO) -> Unanswered:
    """Writes CSV with the columns of `_record`; cells of an image without an answer are empty but for its error.

    A text that a spreadsheet would take for a formula has an apostrophe before it.

    Args:
        predictions: any stream of them.
        spec: of the model that made them.
        file: opened with newline="".
    """
    columns = ["file", "risk", "decision", "operating_point", "threshold", "triage", "prevalence", "risk_at_prevalence"]
    columns += ["familiarity", "unfamiliar"]
    columns += [f"p_{name}" for name in spec.classes.names]
    writer = csv.DictWriter(file, [*columns, "error", "error_code", "note"], lineterminator="\n")
    writer.writerow({name: cell(name) for name in writer.fieldnames})
    unanswered = Unanswered()
    for prediction in predictions:
        unanswered = unanswered.after(prediction)
        record = _record(prediction, spec)
        shares = {f"p_{name}": share for name, share in record.pop("probabilities").items()}
        writer.writerow({name: cell(value) for name, value in {**record, **shares}.items()})
    return unanswered


def write_json(predictions: Iterable[Prediction], spec: ModelSpec, file: TextIO) -> Unanswered:
    """Writes JSON lines, one object for each image with the fields of `_record`; what is missing is null."""
    unanswered = Unanswered()
    for prediction in predictions:
        unanswered = unanswered.after(prediction)
        # ASCII only: a name that is not valid text survives as an escape.
        file.write(json.dumps(_record(prediction, spec), allow_nan=False) + "\n")
    return unanswered


def _record(prediction: Prediction, spec: ModelSpec) -> dict[str, Any]:
    return {
        "file": prediction.source,
        "risk": prediction.risk,
        "decision": prediction.decided,
        "operating_point": prediction.operating_point,
        "threshold": spec.operating_point(prediction.operating_point).threshold,
        "triage": prediction.triage,
        "prevalence": prediction.prevalence,
        "risk_at_prevalence": prediction.risk_at_prevalence,
        "familiarity": prediction.familiarity,
        "unfamiliar": prediction.unfamiliar,
        "probabilities": prediction.probabilities,
        "error": prediction.error,
        "error_code": prediction.error_code,
        "note": prediction.note or None,
    }


def _triage_line(spec: ModelSpec) -> str:
    triage = spec.triage
    high = "none is high" if math.isnan(triage.rule_in) else f"high from {triage.rule_in:.4g} on"
    between = ", uncertain between" if triage.has_uncertain_band else ""
    return f"Triage: low below {triage.rule_out:.4g}, {high}{between}."


def _familiarity_line(limit: FamiliarityLimit) -> str:
    return (
        "Familiar: the share of the validation images that are less like the training images. "
        f"Below {limit.limit:g} an image is {UNFAMILIAR}. {WHAT_FOLLOWS}"
    )


def _prevalence_line(prevalence: float, spec: ModelSpec) -> str:
    return (
        f"There: the risk where {100 * prevalence:.3g} of 100 lesions are malignant, by Bayes' theorem; "
        f"the risk itself assumes {100 * spec.assumed_prevalence:.3g} of 100."
    )


def cell(value: str | float | None) -> str | float | None:
    """A value for a CSV file: a text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if isinstance(value, bool):
        return str(value).lower()
    return cell_of(value) if isinstance(value, str) else value
