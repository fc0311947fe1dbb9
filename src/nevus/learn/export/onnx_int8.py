"""The ONNX file of a network in int8: its maps rounded by ONNX Runtime, its kernels before that by Nevus.

Rounding moves the mean of every map a little, and the maps behind it build on that. So the mean of each convolution's
maps, and of the logits, is brought back to what it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from nevus.core.clinical import ClinicalHead
from nevus.core.modelfile import ModelSpec
from nevus.core.preprocess import Pixels
from nevus.learn.export.onnx_file import compose, convert, open_session
from nevus.learn.export.onnx_kernels import own_weights, with_weights_of
from nevus.learn.export.onnx_nodes import constant
from nevus.learn.networks.tensors import FEATURES, LOGITS
from nevus.learn.rounding.kernel_rounding import round_kernels, steps
from nevus.learn.rounding.scale_folding import fold_scales

# Tensors that the corrections add.
_ROUNDED, _LACK = "rounded_logits", "what_rounding_took"

# Of a kernel, by channel.
_IN_8_BITS = {"axis": 0, "quant_type": QuantType.QInt8, "symmetric": True, "reduce_range": False}

_BATCH_SIZE = 32
# Of the kernels, on either side of zero: 7 bits. Without the instructions of VNNI, ONNX Runtime adds products of two
# bytes in 16 bits, which saturate with 8, and the answer would depend on the processor.
_LEVELS = 64
# Where one map is made of each, it widens the bytes before it multiplies. There, 7 bits cost MobileNetV2 the most.
_DEPTHWISE_LEVELS = 127

# How often an image passes through the network to bring the means back, and at how few images that ends: what is
# compared are two networks on the same ones.
_MOST_PASSES = 3328
_LEAST_IMAGES = 8


def build(tapped: keras.Model, spec: ModelSpec, calibration: Pixels, head: ClinicalHead | None = None) -> bytes:
    """The file of a network whose weights and feature maps are 8-bit integers, without its description.

    What decides the answer stays in float32: the pooled features, the dense layers, the answers. Resize and
    scaling are exact in both.

    Args:
        tapped: as for `onnx_file.build`.
        spec: as for `onnx_file.build`.
        calibration: uint8 [N, S, S, 3], RGB: training images, whose feature maps give the ranges.
        head: as for `onnx_file.build`.

    Raises:
        ParityError: the graph has other kernels than the network, so that they cannot be rounded in it.
    """
    folded = fold_scales(tapped)
    network = convert(folded, spec.image_size)
    own_weights(network)
    like = round_kernels(folded, steps(_LEVELS), calibration, depthwise=steps(_DEPTHWISE_LEVELS))
    rounded = _quantise(with_weights_of(network, folded, like, calibration), calibration)
    _give_back_means(rounded, network, calibration)
    return compose(rounded, tapped, spec, head)


class _Images(CalibrationDataReader):
    """Gives ONNX Runtime the calibration images one by one, so that their feature maps never meet in memory."""

    def __init__(self, name: str, pixels: Pixels) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = ({name: image[None].astype(np.float32)} for image in pixels)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _quantise(network: onnx.ModelProto, calibration: Pixels) -> onnx.ModelProto:
    # A copy: the weights of what is given are moved out into files.
    given = onnx.load_from_string(network.SerializeToString())
    # Without this mark a step of preparation is advised, which tf2onnx has done.
    add_pre_process_metadata(given)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        quantize_static(
            given,
            path,
            _Images(network.graph.input[0].name, calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
            nodes_to_exclude=_head(network.graph),
            extra_options={"TensorQuantOverrides": {name: [_IN_8_BITS] for name in _one_to_one(network.graph)}},
        )
        return onnx.load(path)


def _one_to_one(graph: onnx.GraphProto) -> list[str]:
    """The kernels of convolutions that make one map of each."""
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    kernels = [(node.input[1], _groups(node)) for node in graph.node if node.op_type == "Conv"]
    return [name for name, groups in kernels if name in shapes and shapes[name][:2] == (groups, 1) and groups > 1]


def _groups(convolution: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in convolution.attribute if attribute.name == "group"), 1)


def _head(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes between the last feature maps and the logits."""
    made_by = {output: node for node in graph.node for output in node.output}

    def before(tensor: str) -> set[str]:
        nodes, waiting = {}, [tensor]
        while waiting:
            node = made_by.get(waiting.pop())
            if node is not None and node.name not in nodes:
                nodes[node.name] = node
                waiting += node.input
        return set(nodes)

    return sorted(before(LOGITS) - before(FEATURES))


def _give_back_means(rounded: onnx.ModelProto, network: onnx.ModelProto, calibration: Pixels) -> None:
    """Corrects, in place, the biases of the convolutions one after the other, then the logits.

    Bias correction by what calibration images show (Nagel et al. 2019, arXiv:1906.04721, appendix D): each is measured
    behind those that are corrected.
    """
    exact = {node.name: node for node in network.graph.node if node.op_type == "Conv"}
    # What a convolution gives is what comes before its activation in both, though rounding may have renamed it.
    corrected = [node for node in rounded.graph.node if node.name in exact and node.op_type == "Conv"]
    num_images = max(_MOST_PASSES // max(len(corrected), 1), _LEAST_IMAGES)
    images = calibration[:: -(-len(calibration) // num_images)]
    wanted = _means(network, [exact[node.name].output[0] for node in corrected], images)
    for node, mean in zip(corrected, wanted, strict=True):
        (received,) = _means(rounded, [node.output[0]], images)
        _add_to_bias(rounded.graph, node, mean - received)
    (wanted_logits,), (received_logits,) = (_means(model, [LOGITS], calibration) for model in (network, rounded))
    for node in rounded.graph.node:
        node.output[:] = [_ROUNDED if name == LOGITS else name for name in node.output]
    rounded.graph.initializer.append(constant(_LACK, (wanted_logits - received_logits).astype(np.float32)))
    rounded.graph.node.append(helper.make_node("Add", [_ROUNDED, _LACK], [LOGITS], name=_LACK))


def _add_to_bias(graph: onnx.GraphProto, convolution: onnx.NodeProto, shift: NDArray[np.float64]) -> None:
    """Moves the bias of a convolution, in place, by about `shift`, [C]."""
    weights = {weight.name: weight for weight in graph.initializer}
    # The bias is an int32 behind a node that multiplies it by its scale.
    dequantise = next(node for node in graph.node if node.output[0] == convolution.input[2])
    name, scale_name = dequantise.input[:2]
    bias, scale = numpy_helper.to_array(weights[name]), numpy_helper.to_array(weights[scale_name])
    least, most = np.iinfo(bias.dtype).min, np.iinfo(bias.dtype).max
    moved = np.clip(bias + np.round(shift / scale), least, most).astype(bias.dtype)
    weights[name].CopyFrom(numpy_helper.from_array(moved, name))


def _means(model: onnx.ModelProto, tensors: list[str], pixels: Pixels) -> list[NDArray[np.float64]]:
    """The mean of each channel of [N, C, ...] tensors over images and places: float64 [C]."""
    measured = onnx.load_from_string(model.SerializeToString())
    # ONNX Runtime leaves out what no output needs.
    del measured.graph.output[:]
    for number, tensor in enumerate(tensors):
        name = f"mean/{number}"
        axes = constant(f"{name}/axes", np.array([0] if tensor == LOGITS else [0, 2, 3]))
        measured.graph.initializer.append(axes)
        measured.graph.node.append(helper.make_node("ReduceMean", [tensor, axes.name], [name], name=name, keepdims=0))
        measured.graph.output.append(helper.make_empty_tensor_value_info(name))
    session, given = open_session(measured.SerializeToString()), model.graph.input[0].name
    sums = [np.zeros(1)] * len(tensors)
    for start in range(0, len(pixels), _BATCH_SIZE):
        batch = pixels[start : start + _BATCH_SIZE]
        means = session.run(None, {given: batch.astype(np.float32)})
        sums = [total + mean.astype(np.float64) * len(batch) for total, mean in zip(sums, means, strict=True)]
    return [total / len(pixels) for total in sums]
