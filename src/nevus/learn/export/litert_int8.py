"""The LiteRT file of a network in int8: its maps rounded by TensorFlow, its kernels before that by Nevus.

Rounding moves the mean of every map a little, and the maps behind it build on that. So the mean of each convolution's
maps is brought back to what it was, in the finished file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_litert.tools import flatbuffer_utils
from numpy.typing import NDArray

from nevus.core.machine import available_processors
from nevus.core.modelfile import ModelSpec
from nevus.core.preprocess import Pixels
from nevus.learn.export import litert_file
from nevus.learn.export.keras_file import NETWORK
from nevus.learn.networks.tensors import LOGITS, POOL
from nevus.learn.rounding.kernel_rounding import round_kernels, steps
from nevus.learn.rounding.scale_folding import fold_scales

# Of the kernels, on either side of zero.
_LEVELS = 127

_CONVOLUTIONS = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.DEPTHWISE_CONV_2D)
_BIAS = 2  # Among the inputs of a convolution.

# How often an image passes through the network to bring the means back, and at how few images that ends: what is
# compared are two networks on the same ones, each with thousands of places.
_MOST_PASSES = 1664
_MOST_IMAGES, _LEAST_IMAGES = 32, 8
# Of a channel that an activation cuts off nearly everywhere, a bias no longer moves the mean.
_LEAST_FREE = 0.02


def build(tapped: keras.Model, spec: ModelSpec, calibration: Pixels) -> bytes:
    """The file of a network whose weights and feature maps are 8-bit integers, without description.

    What decides the answer stays in float32: the pooled features, the dense layer, the answers.

    Args:
        tapped: as for `litert_file.build`.
        spec: as for `litert_file.build`.
        calibration: uint8 [N, S, S, 3], RGB: training images, whose feature maps give the ranges.
    """
    folded = fold_scales(tapped)
    rounded = _quantise(round_kernels(folded, steps(_LEVELS), calibration), spec, calibration)
    return _with_means_given_back(rounded, litert_file.build(folded, spec), calibration)


def _quantise(tapped: keras.Model, spec: ModelSpec, calibration: Pixels) -> bytes:
    def images() -> Iterator[list[Pixels]]:
        return ([image[None]] for image in calibration)

    def in_int8(converter: tf.lite.TFLiteConverter) -> bytes:
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

    return litert_file.convert(tapped, spec, in_int8)


def _outputs_behind_the_maps(content: bytes) -> list[str]:
    """Names of the tensors of a float file that are made from the last feature maps, or lie outside the network."""
    interpreter = Interpreter(model_content=content)
    before_pooling = re.compile(rf"{NETWORK}(_\d+)?/(?!({POOL}|{LOGITS})(_\d+)?/)")
    names = [tensor["name"] for tensor in interpreter.get_tensor_details()]
    return [name for name in names if not before_pooling.match(name)]


def _with_means_given_back(rounded: bytes, exact: bytes, calibration: Pixels) -> bytes:
    """Corrects the biases of the convolutions of a file, one after the other.

    Bias correction by what images show (Nagel et al. 2019, arXiv:1906.04721, appendix D): each is measured behind those
    that are corrected.

    Args:
        rounded: the file in int8.
        exact: the file in float32, with the same convolutions in the same order.
        calibration: uint8 [N, S, S, 3], RGB. Some are used.
    """
    model, like = (flatbuffer_utils.convert_bytearray_to_object(bytearray(content)) for content in (rounded, exact))
    graph = model.subgraphs[0]
    uses = Counter(
        graph.tensors[index].buffer for operator in graph.operators for index in operator.inputs if index >= 0
    )
    pairs = [
        (convolution, same)
        for convolution, same in zip(_convolutions(model), _convolutions(like), strict=True)
        if graph.tensors[convolution.inputs[_BIAS]].type == schema.TensorType.INT32
        # What others read too cannot be changed for one.
        and uses[graph.tensors[convolution.inputs[_BIAS]].buffer] == 1
    ]
    if not pairs:
        return rounded
    num_images = min(max(_MOST_PASSES // len(pairs), _LEAST_IMAGES), _MOST_IMAGES)
    images = calibration[:: -(-len(calibration) // num_images)]
    of_images = (
        [one.mean(axis=(0, 1, 2), dtype=np.float64) for one in maps]
        for maps in _maps(exact, [same.outputs[0] for _, same in pairs], images)
    )
    expected = [np.mean(means, axis=0) for means in zip(*of_images, strict=True)]
    for (convolution, _), expected_mean in zip(pairs, expected, strict=True):
        mean, share = _mean_and_free(rounded, graph.tensors, convolution, images)
        shift = np.divide(expected_mean - mean, share, out=np.zeros_like(mean), where=share > _LEAST_FREE)
        _add_to_bias(model, graph.tensors[convolution.inputs[_BIAS]], shift)
        rounded = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return rounded


def _add_to_bias(model: schema.ModelT, bias: schema.TensorT, shift: NDArray[np.float64]) -> None:
    """Moves the int32 of a bias, in place, by about `shift`, float64 [C]."""
    buffer = model.buffers[bias.buffer]
    moved = np.frombuffer(bytes(buffer.data), np.int32) + np.round(shift / np.asarray(bias.quantization.scale))
    buffer.data = np.frombuffer(moved.astype(np.int32).tobytes(), np.uint8)


def _convolutions(model: schema.ModelT) -> list[schema.OperatorT]:
    kinds = [flatbuffer_utils.get_builtin_code_from_operator_code(code) for code in model.operatorCodes]
    return [operator for operator in model.subgraphs[0].operators if kinds[operator.opcodeIndex] in _CONVOLUTIONS]


def _mean_and_free(
    content: bytes, tensors: list[schema.TensorT], convolution: schema.OperatorT, images: Pixels
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The means of the channels of a convolution's maps, float64 [C], and the shares of them that move with the bias.

    The activation is a part of the convolution: what it cuts off, or what lies at the ends of the integers, stays.
    """
    output = convolution.outputs[0]
    grid = tensors[output].quantization
    scale, zero = float(grid.scale[0]), int(grid.zeroPoint[0])
    low, high = _ends(convolution, scale, zero)
    mean, free = (np.zeros(tensors[output].shape[-1]) for _ in range(2))
    for (maps,) in _maps(content, [output], images):
        mean += scale * (maps.mean(axis=(0, 1, 2), dtype=np.float64) - zero) / len(images)
        free += ((low < maps) & (maps < high)).mean(axis=(0, 1, 2)) / len(images)
    return mean, free


def _ends(convolution: schema.OperatorT, scale: float, zero: int) -> tuple[int, int]:
    """The least and the greatest integer that the activation of a convolution, or int8, lets through."""
    low, high = np.iinfo(np.int8).min, np.iinfo(np.int8).max
    activation = convolution.builtinOptions.fusedActivationFunction
    if activation in (schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6):
        low = max(low, zero)
    if activation == schema.ActivationFunctionType.RELU6:
        high = min(high, zero + round(6 / scale))
    return low, high


def _maps(content: bytes, tensors: list[int], images: Pixels) -> Iterator[list[NDArray[Any]]]:
    """For each image the values of tensors within the network, [1, h, w, C], as the file keeps them."""
    interpreter = Interpreter(
        model_content=content,
        num_threads=available_processors(),
        # Others do without the tensors in between.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    for image in images:
        interpreter.set_tensor(given["index"], image[None])
        interpreter.invoke()
        yield [interpreter.get_tensor(tensor) for tensor in tensors]
