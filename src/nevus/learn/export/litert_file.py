"""The LiteRT (TensorFlow Lite) files of a network, in float32 and float16, and the running of all.

Conversion is TensorFlow's, running is ai-edge-litert's. A file takes one image of the
network's own size: LiteRT has no resize that filters, and phones want fixed shapes.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from nevus.core.errors import ParityError
from nevus.core.modelfile import FAMILIARITY, INPUT, OUTPUTS, ModelSpec
from nevus.core.preprocess import Pixels
from nevus.learn.export.familiarity import Familiarity
from nevus.learn.export.keras_file import with_answers
from nevus.learn.export.parity import Exported, in_batches
from nevus.learn.rounding.kernel_rounding import HALVES, round_kernels
from nevus.learn.rounding.scale_folding import fold_scales

# How a program on a phone calls the model.
SIGNATURE = "predict"


def build(tapped: keras.Model, spec: ModelSpec, familiarity: Familiarity | None = None) -> bytes:
    """The float32 file of a network, without description; arguments as for `keras_file.with_answers`."""
    return convert(tapped, spec, lambda converter: converter.convert(), familiarity)


def build_fp16(
    tapped: keras.Model, spec: ModelSpec, calibration: Pixels, familiarity: Familiarity | None = None
) -> bytes:
    """The file of a network whose weights are kept as float16: half the size, computed in float32.

    Args:
        tapped: as for `build`.
        spec: as for `build`.
        calibration: uint8 [N, S, S, 3], RGB: training images, by which the weights are rounded.
        familiarity: as for `build`.
    """

    def in_halves(converter: tf.lite.TFLiteConverter) -> bytes:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        return converter.convert()

    return convert(round_kernels(fold_scales(tapped), HALVES, calibration), spec, in_halves, familiarity)


def opened(content: bytes) -> Exported:
    """What a file answers, for images of its own size.

    Raises:
        ParityError: LiteRT does not take it.
    """
    try:
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        run = interpreter.get_signature_runner(SIGNATURE)
    except (ValueError, RuntimeError) as problem:
        raise ParityError(f"LiteRT refuses the exported model: {problem}. Nothing was written.") from None

    def answer(pixels: Pixels) -> list[np.ndarray]:
        # The file takes one image at a time.
        answers = [run(**{INPUT: image[None]}) for image in pixels]
        names = [name for name in (*OUTPUTS, FAMILIARITY) if name in answers[0]]
        return [np.concatenate([one[name] for one in answers]) for name in names]

    return partial(in_batches, answer)


def convert(
    tapped: keras.Model,
    spec: ModelSpec,
    choose: Callable[[tf.lite.TFLiteConverter], bytes],
    familiarity: Familiarity | None = None,
) -> bytes:
    """Brings the model with answers before TensorFlow's converter, by way of a SavedModel, whose weights it folds.

    Args:
        tapped: as for `build`.
        spec: as for `build`.
        choose: sets the converter's options, and has it make the file.
        familiarity: as for `build`.
    """
    model = with_answers(tapped, spec, familiarity)
    size = spec.image_size
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # TensorFlow's own interpreter, which quantisation uses inside, says that it will move.
        warnings.simplefilter("ignore")
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(
            SIGNATURE, model.call, [keras.InputSpec(shape=(1, size, size, 3), dtype="uint8", name=INPUT)]
        )
        archive.write_out(folder, verbose=False)
        return choose(tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE]))
