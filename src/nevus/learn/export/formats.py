"""The formats of export: how the file of each is made, described and run, and how near its answers must be.

Each is a row of `FORMATS`. Files are made in `onnx_file`, `onnx_int8`, `litert_file`, `litert_int8` and `keras_file`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import keras

from nevus.core import model_onnx
from nevus.core.clinical import ClinicalHead
from nevus.core.model_archive import add_description, read_description
from nevus.core.modelfile import ModelSpec
from nevus.core.preprocess import Pixels
from nevus.core.vocabulary import EXPORTED_FILES
from nevus.learn.export import keras_file, litert_file, litert_int8, onnx_file, onnx_int8
from nevus.learn.export.familiarity import Familiarity
from nevus.learn.export.parity import Exported, Limits

FLOAT32 = Limits(probability=1e-4, heatmap=1e-4, roc_auc_loss=1e-4, flipped=0.0, familiarity=1e-3)
FLOAT16 = Limits(probability=0.01, heatmap=0.01, roc_auc_loss=0.001, flipped=0.01, familiarity=0.15)
# The map of a network of separable convolutions loses more than its answer: compact's differs by a quarter at most.
INT8 = Limits(probability=0.15, heatmap=0.3, roc_auc_loss=0.003, flipped=0.05, familiarity=0.0)


Build: TypeAlias = Callable[[keras.Model, ModelSpec, Pixels, ClinicalHead | None, Familiarity | None], bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """How a format's file is made and run.

    Attributes:
        build: from the network with its features, the description, training images, what age, sex and site add
            to the logits and how familiar an image is to the file without its description.
        with_description: adds the description to a file, or replaces the one that is there.
        description: reads it.
        opened: gives what a file answers.
        limits: of its parity with the Keras model.
        resized: what a file's own resize makes of an image; None if it takes images of one size.
        takes_clinical: whether a file can have the optional second input.
        tells_familiarity: whether a file says how familiar an image is; rounded to 8 bits, features are too far off.
    """

    build: Build
    with_description: Callable[[bytes, str], bytes]
    description: Callable[[bytes], str]
    opened: Callable[[bytes], Exported]
    limits: Limits
    resized: Callable[[bytes, Pixels], Pixels] | None = None
    takes_clinical: bool = False
    tells_familiarity: bool = True


def _onnx(build: Build, limits: Limits, *, tells_familiarity: bool = True) -> Format:
    return Format(
        build,
        model_onnx.add_description,
        model_onnx.read_description,
        onnx_file.opened,
        limits,
        onnx_file.resized,
        takes_clinical=True,
        tells_familiarity=tells_familiarity,
    )


def _litert(build: Build, limits: Limits, *, tells_familiarity: bool = True) -> Format:
    return Format(
        build, add_description, read_description, litert_file.opened, limits, tells_familiarity=tells_familiarity
    )


FORMATS = {
    "onnx": _onnx(lambda tapped, spec, _, head, measure: onnx_file.build(tapped, spec, head, measure), FLOAT32),
    "onnx-int8": _onnx(
        lambda tapped, spec, calibration, head, _: onnx_int8.build(tapped, spec, calibration, head),
        INT8,
        tells_familiarity=False,
    ),
    "litert": _litert(lambda tapped, spec, _, __, measure: litert_file.build(tapped, spec, measure), FLOAT32),
    "litert-fp16": _litert(
        lambda tapped, spec, calibration, _, measure: litert_file.build_fp16(tapped, spec, calibration, measure),
        FLOAT16,
    ),
    "litert-int8": _litert(
        lambda tapped, spec, calibration, *_: litert_int8.build(tapped, spec, calibration),
        INT8,
        tells_familiarity=False,
    ),
    "keras": Format(
        lambda tapped, spec, _, __, measure: keras_file.build(tapped, spec, measure),
        add_description,
        read_description,
        keras_file.opened,
        FLOAT32,
    ),
}
assert FORMATS.keys() == EXPORTED_FILES.keys()
