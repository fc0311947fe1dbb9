"""The LiteRT (TensorFlow Lite) files of a network, in float32, float16 and int8: made, and run.

Conversion and quantisation are TensorFlow's, running is ai-edge-litert's. A file takes one image of the
network's own size: LiteRT has no resize that filters, and phones want fixed shapes.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from nevus.core.archive import add_metadata
from nevus.core.errors import ParityError
from nevus.core.modelfile import INPUT, OUTPUTS, ModelSpec
from nevus.core.preprocess import Pixels
from nevus.learn import without_chatter
from nevus.learn.keras_file import NETWORK, with_answers
from nevus.learn.kernel_rounding import round_kernels
from nevus.learn.networks import LOGITS, POOL
from nevus.learn.parity import Exported, answers_of_keras, in_batches
from nevus.learn.scale_folding import fold_scales

# How a program on a phone calls the model.
SIGNATURE = "predict"

# Of the kernels in int8, on either side of zero.
_LEVELS = 127

with_metadata = add_metadata


def build(tapped: keras.Model, spec: ModelSpec) -> bytes:
    """The float32 file of a network, without metadata; arguments as for `keras_file.with_answers`."""
    return _convert(tapped, spec, lambda converter: converter.convert())


def build_fp16(tapped: keras.Model, spec: ModelSpec) -> bytes:
    """The file of a network whose weights are kept as float16: half the size, computed in float32."""

    def convert(converter: tf.lite.TFLiteConverter) -> bytes:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        return converter.convert()

    return _convert(tapped, spec, convert)


def build_int8(tapped: keras.Model, spec: ModelSpec, calibration: Pixels) -> bytes:
    """The file of a network whose weights and feature maps are 8-bit integers.

    What decides the answer stays in float32: the pooled features, the dense layer, the answers. It is made twice: the
    second time the logits get back what rounding took from them on average (bias correction, Nagel et al. 2019,
    section 4.2), which is known only of a file that runs.

    Args:
        tapped: as for `build`.
        spec: as for `build`.
        calibration: uint8 [N, S, S, 3], RGB: training images, whose feature maps give the ranges.
    """
    network = round_kernels(fold_scales(tapped), _LEVELS, calibration)
    rounded = _quantise(network, spec, calibration)
    logs = [
        np.log(np.maximum(answers.probabilities.astype(np.float64), np.finfo(np.float32).tiny))
        for answers in (answers_of_keras(tapped, calibration, spec=spec), opened(rounded)(calibration, 1))
    ]
    return _quantise(network, spec, calibration, spec.temperature * (logs[0] - logs[1]).mean(axis=0))


def _quantise(
    tapped: keras.Model, spec: ModelSpec, calibration: Pixels, correction: NDArray[np.float64] | None = None
) -> bytes:
    def images() -> Iterator[list[Pixels]]:
        return ([image[None]] for image in calibration)

    def convert(converter: tf.lite.TFLiteConverter) -> bytes:
        in_float = _outputs_behind_the_maps(converter.convert())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = images
        # The debugger is TensorFlow's public way to leave nodes in float; nothing is debugged here.
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=images,
            debug_options=tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=in_float),
        )
        return debugger.get_nondebug_quantized_model()

    return _convert(tapped, spec, convert, correction)


def opened(content: bytes) -> Exported:
    """What a file answers, for images of its own size.

    Raises:
        ParityError: LiteRT does not take it.
    """
    try:
        with without_chatter():
            interpreter = Interpreter(model_content=content)
            interpreter.allocate_tensors()
            run = interpreter.get_signature_runner(SIGNATURE)
    except (ValueError, RuntimeError) as problem:
        raise ParityError(f"LiteRT refuses the exported model: {problem}. Nothing was written.") from None

    def answer(pixels: Pixels) -> list[np.ndarray]:
        # The file takes one image at a time.
        answers = [run(**{INPUT: image[None]}) for image in pixels]
        return [np.concatenate([one[name] for one in answers]) for name in OUTPUTS]

    return partial(in_batches, answer)


def _convert(
    tapped: keras.Model,
    spec: ModelSpec,
    convert: Callable[[tf.lite.TFLiteConverter], bytes],
    correction: NDArray[np.float64] | None = None,
) -> bytes:
    """Brings the model with answers before TensorFlow's converter, by way of a SavedModel, whose weights it folds."""
    model = with_answers(tapped, spec, correction)
    size = spec.image_size
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), without_chatter():
        # TensorFlow's own interpreter, which quantisation uses inside, says that it will move.
        warnings.simplefilter("ignore")
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(
            SIGNATURE, model.call, [keras.InputSpec(shape=(1, size, size, 3), dtype="uint8", name=INPUT)]
        )
        archive.write_out(folder, verbose=False)
        return convert(tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE]))


def _outputs_behind_the_maps(content: bytes) -> list[str]:
    """Names of the tensors of a float file that are made from the last feature maps, or lie outside the network."""
    interpreter = Interpreter(model_content=content)
    before_pooling = re.compile(rf"{NETWORK}(_\d+)?/(?!({POOL}|{LOGITS})(_\d+)?/)")
    names = [tensor["name"] for tensor in interpreter.get_tensor_details()]
    return [name for name in names if not before_pooling.match(name)]
