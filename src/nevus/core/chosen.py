"""What the evaluation chooses on validation images, as a file: `operating_points.json`.

Owns the fields of this file and their versions. The evaluation writes it; the export builds it into a model
file, and a cross-validation reads that of each fold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nevus.core.errors import RunError
from nevus.core.files import write_json
from nevus.core.operating_point import OperatingPoint
from nevus.core.triage import Triage
from nevus.core.versions import Upgrade, read_versioned, without_class_weights

SCHEMA_VERSION = 4


@dataclass(frozen=True, slots=True)
class Chosen:
    """Temperature, thresholds and the other choices that a model makes its decisions by.

    Attributes:
        temperature: divides the logits before the softmax; 1 for an ensemble, whose networks each have their own.
        default: name of the operating point that is used unless another is asked for.
        operating_points: thresholds on the risk.
        class_points: thresholds on the probability of each class, by its name.
        triage: thresholds on the risk between low, uncertain and high.
        assumed_prevalence: in (0, 1): the share of malignant lesions for which the risks are right.
        isotonic: the knots of the map from risks to isotonic ones, `risk` and `calibrated`, both rising, in [0, 1];
            None for an ensemble.
        class_weights: by class name, what each weighed in training: after the temperature, their logarithms are
            subtracted from the logits. Empty if all weighed the same, and for an ensemble, whose networks each have
            their own.
    """

    temperature: float
    default: str
    operating_points: tuple[OperatingPoint, ...]
    class_points: Mapping[str, OperatingPoint]
    triage: Triage
    assumed_prevalence: float
    isotonic: Mapping[str, list[float]] | None = None
    class_weights: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {
            "schema_version": SCHEMA_VERSION,
            "temperature": self.temperature,
            "class_weights": dict(self.class_weights),
            **({} if self.isotonic is None else {"isotonic": self.isotonic}),
            "default": self.default,
            "operating_points": [point.to_json() for point in self.operating_points],
            "class_operating_points": {name: point.to_json() for name, point in self.class_points.items()},
            "triage": self.triage.to_json(),
            "assumed_prevalence": self.assumed_prevalence,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Chosen:
        """Reads what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: a field is missing or wrong.
        """
        isotonic = data.get("isotonic")
        return cls(
            temperature=float(data["temperature"]),
            default=str(data["default"]),
            operating_points=tuple(map(OperatingPoint.from_json, data["operating_points"])),
            class_points={
                str(name): OperatingPoint.from_json(point) for name, point in data["class_operating_points"].items()
            },
            triage=Triage.from_json(data["triage"]),
            assumed_prevalence=float(data["assumed_prevalence"]),
            class_weights={str(name): float(weight) for name, weight in data["class_weights"].items()},
            isotonic=isotonic and {name: list(map(float, isotonic[name])) for name in ("risk", "calibrated")},
        )


def write_chosen(path: Path, chosen: Chosen) -> None:
    """Writes `operating_points.json`."""
    write_json(path, chosen.to_json())


def read_chosen(path: Path, hint: str) -> Chosen:
    """Reads `operating_points.json`.

    Args:
        path: the file.
        hint: how to make it, the end of an error message.

    Raises:
        RunError: it is missing, damaged, or of a version that cannot be read.
    """
    data = read_versioned(path, SCHEMA_VERSION, hint, upgrades=_UPGRADES)
    try:
        return Chosen.from_json(data)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        reason = f"{type(problem).__name__}: {problem}"
        raise RunError(f"{path} lacks a field or has a wrong one ({reason}). {hint}") from None


def _unchanged(data: dict[str, Any]) -> dict[str, Any]:
    """In version 2 only `metrics.json`, which had the same number, was another."""
    return data


def _without_classes(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 added thresholds for each class; a file without them has chosen none."""
    return {**data, "class_operating_points": {}}


_UPGRADES: Mapping[int, Upgrade] = {1: _unchanged, 2: _without_classes, 3: without_class_weights}
