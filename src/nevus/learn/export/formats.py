"""The formats of export: how the file of each is made, described and run, and how near its answers must be.

Each is a row of `FORMATS`. Files are made in `onnx_file`, `onnx_int8`, `litert_file`, `litert_int8` and `keras_file`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras

from nevus.core.clinical import ClinicalHead
from nevus.core.model_archive import add_description, read_description
from nevus.core.modelfile import ModelSpec
from nevus.core.preprocess import Pixels
from nevus.core.vocabulary import EXPORTED_FILES
from nevus.learn.export import keras_file, litert_file, litert_int8, onnx_file, onnx_int8
from nevus.learn.export.parity import Exported, Limits

FLOAT32 = Limits(probability=1e-4, heatmap=1e-4, roc_auc_loss=1e-4, flipped=0.0)
FLOAT16 = Limits(probability=0.01, heatmap=0.01, roc_auc_loss=0.001, flipped=0.01)
# The map of a network of separable convolutions loses more than its answer: compact's differs by a quarter at most.
INT8 = Limits(probability=0.15, heatmap=0.3, roc_auc_loss=0.003, flipped=0.05)


@dataclass(frozen=True, slots=True)
class Format:
    """How a format's file is made and run.

    Attributes:
        build: from the network with its features, the description, training images and what age, sex and site add
            to the logits to the file without its description.
        with_description: adds the description to a file, or replaces the one that is there.
        description: reads it.
        opened: gives what a file answers.
        limits: of its parity with the Keras model.
        resized: what a file's own resize makes of an image; None if it takes images of one size.
        takes_clinical: whether a file can have the optional second input.
    """

    build: Callable[[keras.Model, ModelSpec, Pixels, ClinicalHead | None], bytes]
    with_description: Callable[[bytes, str], bytes]
    description: Callable[[bytes], str]
    opened: Callable[[bytes], Exported]
    limits: Limits
    resized: Callable[[bytes, Pixels], Pixels] | None = None
    takes_clinical: bool = False


def _onnx(build: Callable[[keras.Model, ModelSpec, Pixels, ClinicalHead | None], bytes], limits: Limits) -> Format:
    return Format(
        build,
        onnx_file.with_description,
        onnx_file.description,
        onnx_file.opened,
        limits,
        onnx_file.resized,
        takes_clinical=True,
    )


def _litert(build: Callable[[keras.Model, ModelSpec, Pixels, ClinicalHead | None], bytes], limits: Limits) -> Format:
    return Format(build, add_description, read_description, litert_file.opened, limits)


FORMATS = {
    "onnx": _onnx(lambda tapped, spec, _, head: onnx_file.build(tapped, spec, head), FLOAT32),
    "onnx-int8": _onnx(onnx_int8.build, INT8),
    "litert": _litert(lambda tapped, spec, *_: litert_file.build(tapped, spec), FLOAT32),
    "litert-fp16": _litert(
        lambda tapped, spec, calibration, _: litert_file.build_fp16(tapped, spec, calibration), FLOAT16
    ),
    "litert-int8": _litert(lambda tapped, spec, calibration, _: litert_int8.build(tapped, spec, calibration), INT8),
    "keras": Format(
        lambda tapped, spec, *_: keras_file.build(tapped, spec),
        add_description,
        read_description,
        keras_file.opened,
        FLOAT32,
    ),
}
assert FORMATS.keys() == EXPORTED_FILES.keys()
