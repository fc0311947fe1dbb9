"""What a model file says of itself, its description: JSON under `nevus`; and the names of its tensors.

The graph takes raw pixels and gives calibrated answers:

    input   pixels         uint8   [num_images, height, width, 3]   RGB, any height and width
    input   metadata       float32 [num_images, num_variables]      only of models that take it, and optional
    output  probabilities  float32 [num_images, num_classes]        rows sum to 1
    output  risk           float32 [num_images]                     in [0, 1]: the malignant classes summed
    output  heatmap        float32 [num_images, map_height, map_width]   signed: what raises the risk, what lowers it
    output  familiarity    float32 [num_images]                     in [0, 1]; only of models that tell it

Resize, scaling, temperature, the undoing of class weights, class activation map and the encoding of clinical values are
nodes of the graph. Clinical values are age, sex and the like, as `nevus.core.clinical.value_of` writes them, NaN for
what is not known; without that input none is known. `nevus.core.familiarity` says
what familiarity is.
This module knows the text only; it loads no model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.core import clinical
from nevus.core.class_weights import log_weights, parse_class_weights
from nevus.core.clinical import Variable
from nevus.core.errors import DataError, ModelFileError
from nevus.core.familiarity import FamiliarityLimit
from nevus.core.files import finite
from nevus.core.labels import Classes
from nevus.core.modelfile_check import check_values
from nevus.core.modelfile_old import UPGRADES
from nevus.core.operating_point import ADAPTATION, OperatingPoint
from nevus.core.preprocess import Pixels
from nevus.core.terminal import printable
from nevus.core.triage import Triage
from nevus.core.versions import upgraded

SCHEMA_VERSION = 3
INPUT = "pixels"
CLINICAL_INPUT = "metadata"
OUTPUTS = ("probabilities", "risk", "heatmap")
FAMILIARITY = "familiarity"

# What an export writes nests half as deep.
MAX_DEPTH = 16

# Control characters, which may steer a terminal, and halves of a surrogate pair, which cannot be encoded.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# Fields in which a person's words may be, of several lines.
_UNPRINTABLE_IN_PROSE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_PROSE = frozenset({"trained_on", "provenance", "licence", "intended_use", "limitations"})

DISCLAIMER = (
    "For research and education only. Not a medical device: "
    "it must not be used to diagnose, to rule out disease or to guide treatment."
)
INTENDED_USE = "Research and education on dermoscopic images of single skin lesions, of the kind it was trained on."
LIMITATIONS = (
    "The risk is only as good as the training images: other cameras, clinics, ages, skin types and diagnoses "
    "may give wrong answers without a sign. The score of a dataset's own test split is not a clinical performance."
)


def licence_of_weights(stated: str | None, image_licences: str, pretrained: Mapping[str, str] | None) -> str:
    """The licence of a model: what its maker states, else that nothing is stated and what its origins allow matters.

    Args:
        stated: with `--licence`, if it was.
        image_licences: of the training images, as `manifest.name_licences` words them.
        pretrained: the weights that training began with, as `pretrained.describe_weights` gives them.
    """
    words = f"not stated; mind the licence of the training images: {image_licences}"
    if pretrained:
        words += f"; and that of the pretrained weights {pretrained['weights']}: {pretrained['licence']}"
    return stated or words


@dataclass(frozen=True, slots=True)
class GoldenCase:
    """An input that any platform can rebuild with `golden_pixels`, and the answer expected for it.

    Familiarity is None where the model does not tell it.
    """

    height: int
    width: int
    probabilities: tuple[float, ...]
    risk: float
    familiarity: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The description of a model file.

    Attributes:
        network: name of the architecture.
        num_parameters: trainable and not, at inference.
        image_size: side of the square to which the graph resizes its input.
        classes: in the order of the probabilities.
        temperature: by which the graph divides logits (1.0: not calibrated, or an ensemble of networks
            that each have their own).
        operating_points: thresholds on the risk, chosen on validation.
        default_operating_point: name of the one used unless another is asked for.
        triage: thresholds on the risk between low, uncertain and high, chosen on validation.
        assumed_prevalence: in (0, 1): the share of malignant lesions for which the risks are right.
        test_metrics: metric name to [value, low, high] on the run's own test split, for the reader; of a file that was
            adapted to a place, by cross-fitting on its images.
        trained_on: name and counts of the training data, and its licence if known.
        generated: True if the training images were phantoms made by a program.
        provenance: dataset fingerprint, seed, versions.
        licence: of the weights.
        intended_use: a sentence or two.
        limitations: a sentence or two.
        golden: inputs with their answers, of pixels alone.
        clinical: the variables of the optional second input, in the order of its columns; none for most models.
        familiarity: below which familiarity an image is unlike those of training; None if the model does not tell
            how familiar an image is.
        class_weights: by class name, what each weighed in training; after the temperature the graph subtracts their
            logarithms from the logits. Empty if all weighed the same, for files that undo none, and for an ensemble.
    """

    network: str
    num_parameters: int
    image_size: int
    classes: Classes
    temperature: float
    operating_points: tuple[OperatingPoint, ...]
    default_operating_point: str
    triage: Triage
    assumed_prevalence: float
    test_metrics: dict[str, list[float | None]]
    trained_on: str
    generated: bool
    provenance: dict[str, Any]
    licence: str
    intended_use: str = INTENDED_USE
    limitations: str = LIMITATIONS
    golden: tuple[GoldenCase, ...] = ()
    clinical: tuple[Variable, ...] = ()
    familiarity: FamiliarityLimit | None = None
    class_weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs, in their order."""
        return (*OUTPUTS, FAMILIARITY) if self.familiarity else OUTPUTS

    def operating_point(self, name: str | None = None) -> OperatingPoint:
        """The operating point of that name, or the default one.

        Raises:
            ModelFileError: there is none of that name.
        """
        wanted = name or self.default_operating_point
        for point in self.operating_points:
            if point.name == wanted:
                return point
        names = printable(", ".join(point.name for point in self.operating_points))
        raise ModelFileError(f"The model has no operating point '{wanted}'. Expected one of: {names}.")

    @property
    def is_adapted(self) -> bool:
        """Whether the file was adapted to a place: thresholds and `test_metrics` are of its images then."""
        return self.operating_point().fitted_on == ADAPTATION

    @property
    def log_weights(self) -> NDArray[np.float64] | None:
        """float64 [C], what is subtracted from the logits over the temperature; None if nothing is."""
        return log_weights(self.class_weights, self.classes)

    def to_json(self) -> str:
        """The fields as JSON holds them."""
        data = {
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name != "clinical"},
            "classes": asdict(self.classes),
            "class_weights": dict(self.class_weights),
            "operating_points": [point.to_json() for point in self.operating_points],
            "triage": self.triage.to_json(),
            "golden": [asdict(case) for case in self.golden],
            **({"metadata": clinical.to_json(self.clinical)} if self.clinical else {}),
            "familiarity": self.familiarity.to_json() if self.familiarity else None,
            "disclaimer": DISCLAIMER,
        }
        return json.dumps(finite(data), allow_nan=False)


def parse_spec(text: str) -> ModelSpec:
    """Reads and checks the description of a model file, which may be hostile.

    Raises:
        ModelFileError: it is not JSON, of a newer schema version, or a field is missing or wrong.
    """
    try:
        data = upgraded(
            json.loads(text, object_pairs_hook=_object),
            SCHEMA_VERSION,
            "The model's description",
            "Export the model again.",
            upgrades=UPGRADES,
            error=ModelFileError,
        )
        for name, value in data.items():
            _check_texts(name, "the name of a field", _UNPRINTABLE)
            _check_texts(value, name, _UNPRINTABLE_IN_PROSE if name in _PROSE else _UNPRINTABLE)
        classes = Classes(tuple(map(str, data["classes"]["names"])), tuple(map(str, data["classes"]["malignant"])))
        spec = ModelSpec(
            network=str(data["network"]),
            num_parameters=int(data["num_parameters"]),
            image_size=int(data["image_size"]),
            classes=classes,
            temperature=float(data["temperature"]),
            operating_points=tuple(map(OperatingPoint.from_json, data["operating_points"])),
            default_operating_point=str(data["default_operating_point"]),
            triage=Triage.from_json(data["triage"]),
            assumed_prevalence=float(data["assumed_prevalence"]),
            test_metrics={str(name): _figure(figure) for name, figure in data["test_metrics"].items()},
            trained_on=str(data["trained_on"]),
            generated=bool(data["generated"]),
            provenance=_provenance(data["provenance"]),
            licence=str(data["licence"]),
            intended_use=str(data["intended_use"]),
            limitations=str(data["limitations"]),
            golden=tuple(
                GoldenCase(
                    int(case["height"]),
                    int(case["width"]),
                    tuple(map(float, case["probabilities"])),
                    float(case["risk"]),
                    None if case.get("familiarity") is None else float(case["familiarity"]),
                )
                for case in data["golden"]
            ),
            # A file that names none takes pixels alone.
            clinical=clinical.from_json(data.get("metadata", [])),
            familiarity=FamiliarityLimit.from_json(data["familiarity"]) if data["familiarity"] else None,
            # A file that names none undoes none.
            class_weights=parse_class_weights(data.get("class_weights"), classes),
        )
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError, DataError) as problem:
        raise ModelFileError(
            f"The model's description is damaged ({type(problem).__name__}: {problem}). Export the model again."
        ) from None
    check_values(spec)
    spec.operating_point()
    return spec


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of two fields of one name `json` would keep the second and say nothing."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is in it twice")
    return found


def _check_texts(value: Any, field: str, refused: re.Pattern[str], depth: int = 1) -> None:
    """Raises ValueError if a field nests too deep, or a text in it holds a character of those."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{field} is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        if found := refused.search(value):
            raise ValueError(f"{field} holds a text with the character U+{ord(found[0]):04X}")
    elif isinstance(value, dict):
        _check_texts([*value, *value.values()], field, refused, depth)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item, field, refused, depth + 1)


def _provenance(data: Any) -> dict[str, Any]:
    provenance = dict(data)
    if "temperatures" in provenance:  # Of an ensemble's networks.
        provenance["temperatures"] = list(map(float, provenance["temperatures"]))
    return provenance


def _figure(values: Any) -> list[float | None]:
    value, low, high = (None if item is None else float(item) for item in values)
    return [value, low, high]


def golden_pixels(height: int, width: int) -> Pixels:
    """The golden input of a size: smooth ramps and a disc, by integer arithmetic that every language repeats.

    Returns:
        uint8 [height, width, 3], RGB.
    """
    y, x = np.indices((height, width), dtype=np.int64)
    ramp = np.stack([200 - 60 * y // height, 150 + 40 * x // width, 120 + 30 * (x + y) // (height + width)], axis=-1)
    inside = (2 * y - height) ** 2 * 4 * width**2 + (2 * x - width) ** 2 * 4 * height**2 < (height * width) ** 2
    ramp[inside] -= np.array([90, 80, 60])
    pixels: NDArray[np.uint8] = ramp.astype(np.uint8)
    return pixels
