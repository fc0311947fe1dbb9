"""Puts the rounded kernels of a Keras network into the ONNX graph that was converted from the exact ones.

A converter's graph depends on the weights: it leaves out a bias of zeros and joins constants that are equal. So the
rounded network is not converted again, and both graphs have the same convolutions by the same names.
"""

from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import onnx
from keras import layers
from keras.ops import convert_to_numpy
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nevus.core.errors import ParityError
from nevus.core.preprocess import Pixels
from nevus.learn.export.onnx_file import open_session
from nevus.learn.export.onnx_nodes import constant, drop_unread
from nevus.learn.networks.tensors import LOGITS
from nevus.learn.rounding.scale_folding import norm_behind

Floats = NDArray[np.float64]

_WITH_KERNEL = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
# Of the largest weight: what float32 leaves of a difference between kernels that are the same but for a scale.
_SAME = 1e-4
# Of the largest value of a tensor: what is more than float32 takes from a deep network's.
_LARGEST_DIFFERENCE = 5e-3
# That the answers are compared on.
_MOST_IMAGES = 4


def own_weights(network: onnx.ModelProto) -> None:
    """Gives each Conv and MatMul, in place, a kernel of its own, and each Conv a bias of its own, zeros if it has none.

    So a change for one is none for another, and there is a bias to bring back a mean with.
    """
    graph = network.graph
    weights = _weights(network)
    for node in graph.node:
        if not _has_kernel(node, weights):
            continue
        kernel = numpy_helper.to_array(weights[node.input[1]])
        node.input[1] = _add_weight(graph, f"{node.name}/kernel", kernel)
        if node.op_type == "Conv":
            # An optional input that is left out may be there with an empty name.
            given = weights.get(node.input[2]) if len(node.input) == 3 else None
            bias = np.zeros(len(kernel), dtype=np.float32) if given is None else numpy_helper.to_array(given)
            node.input[2:] = [_add_weight(graph, f"{node.name}/bias", bias)]
    drop_unread(graph, graph.initializer)


def with_weights_of(
    network: onnx.ModelProto, exact: keras.Model, rounded: keras.Model, images: Pixels
) -> onnx.ModelProto:
    """A copy of a graph with the weights of another network than that which it was converted from.

    Args:
        network: the graph of `exact`, of which each convolution has weights of its own (`own_weights`).
        exact: a functional model.
        rounded: `exact` with other kernels, biases and means of normalisations, as `round_kernels` gives it.
        images: uint8 [N, S, S, 3], RGB, N >= 1: some are put through both to see that they agree.

    Raises:
        ParityError: the graph does not have the kernels of `exact`, or does not answer as `rounded` does.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    weights = _weights(copy)
    nodes = [node for node in copy.graph.node if _has_kernel(node, weights)]
    for layer in exact.layers:
        if not isinstance(layer, _WITH_KERNEL) or layer.name == LOGITS:
            continue
        kernel = _by_channel(layer)
        # Zeros fit any kernel by a scale of zero, and are round.
        if not kernel.any():
            continue
        node, scales = _node_of(layer, kernel, nodes, weights)
        nodes.remove(node)
        other = scales.reshape(-1, *[1] * (kernel.ndim - 1)) * _by_channel(rounded.get_layer(layer.name))
        _set(weights[node.input[1]], other if node.op_type == "Conv" else other.T)
        _add_to_maps(copy.graph, node, scales * _shift(layer, exact, rounded))
    drop_unread(copy.graph, copy.graph.initializer)
    _check_answers(copy, rounded, images[:_MOST_IMAGES])
    return copy


def _weights(network: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {weight.name: weight for weight in network.graph.initializer}


def _has_kernel(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    return node.op_type in ("Conv", "MatMul") and node.input[1] in weights


def _add_weight(graph: onnx.GraphProto, name: str, value: NDArray) -> str:
    graph.initializer.append(constant(name, value.astype(np.float32)))
    return name


def _set(weight: onnx.TensorProto, value: NDArray) -> None:
    weight.CopyFrom(constant(weight.name, value.astype(np.float32)))


def _by_channel(layer: keras.Layer) -> Floats:
    """A layer's kernel as ONNX has it, with the channels that it gives first: [O, I, h, w], [O, 1, h, w] or [O, I]."""
    kernel = convert_to_numpy(layer.kernel).astype(np.float64)
    if isinstance(layer, layers.DepthwiseConv2D):
        height, width, channels, multiplier = kernel.shape
        return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return kernel.transpose(3, 2, 0, 1) if isinstance(layer, layers.Conv2D) else kernel.T


def _node_of(
    layer: keras.Layer, kernel: Floats, nodes: list[onnx.NodeProto], weights: dict[str, onnx.TensorProto]
) -> tuple[onnx.NodeProto, Floats]:
    """The first node that has a layer's kernel, and the factors of its channels, [O], that a converter put into it."""
    for node in nodes:
        given = numpy_helper.to_array(weights[node.input[1]])
        given = given if node.op_type == "Conv" else given.T
        if given.shape == kernel.shape and given.any():
            scales = _scales(given.reshape(len(given), -1).astype(np.float64), kernel.reshape(len(kernel), -1))
            if scales is not None:
                return node, scales
    raise ParityError(
        f"The network cannot be rounded: its ONNX graph has no node with the kernel of layer {layer.name}. "
        "Nothing was written. Please report this with the run's folder; --format onnx does not round."
    )


def _scales(given: Floats, kernel: Floats) -> Floats | None:
    """What each row of `kernel`, [O, D], is multiplied with in `given`, [O, D]; None if they differ by more than that.

    One is the answer but for a normalisation that could not be folded before, or a factor in front of a convolution.
    """
    squares = np.square(kernel).sum(axis=1)
    scales = np.divide((given * kernel).sum(axis=1), squares, out=np.zeros_like(squares), where=squares > 0)
    off = np.abs(given - scales[:, None] * kernel).max()
    return scales if off <= _SAME * np.abs(given).max() else None


def _shift(layer: keras.Layer, exact: keras.Model, rounded: keras.Model) -> Floats:
    """What rounding added to what a layer's kernel gives, for each channel: [O]."""
    before, after = layer, rounded.get_layer(layer.name)
    shift = np.zeros(len(_by_channel(layer)))
    if layer.use_bias:
        shift += convert_to_numpy(after.bias) - convert_to_numpy(before.bias)
    norm = norm_behind(exact, layer)
    if norm:
        shift += convert_to_numpy(norm.moving_mean) - convert_to_numpy(rounded.get_layer(norm.name).moving_mean)
    return shift


def _add_to_maps(graph: onnx.GraphProto, node: onnx.NodeProto, shift: Floats) -> None:
    """Adds a shift, [O], to what a node of `own_weights` gives: in a bias if there is one, else by a new node."""
    weights = {weight.name: weight for weight in graph.initializer}
    if node.op_type == "Conv":
        bias = weights[node.input[2]]
        _set(bias, numpy_helper.to_array(bias) + shift)
        return
    name = f"{node.name}/shift"
    summing = _bias_node(graph, node, shift.shape, weights)
    if summing:
        place = next(place for place, tensor in enumerate(summing.input) if tensor in weights)
        bias = numpy_helper.to_array(weights[summing.input[place]])
        summing.input[place] = _add_weight(graph, name, bias + shift)
    elif shift.any():
        before = f"{name}/before"
        output, node.output[0] = node.output[0], before
        added = helper.make_node("Add", [before, _add_weight(graph, name, shift)], [output], name=f"{name}/add")
        graph.node.insert(list(graph.node).index(node) + 1, added)


def _bias_node(
    graph: onnx.GraphProto, node: onnx.NodeProto, shape: tuple[int, ...], weights: dict[str, onnx.TensorProto]
) -> onnx.NodeProto | None:
    """The Add of a constant of `shape` that alone reads what a MatMul gives, perhaps reshaped; None without one."""
    uses = Counter(name for other in graph.node for name in other.input)
    while uses[node.output[0]] == 1 and not any(node.output[0] == output.name for output in graph.output):
        node = next(other for other in graph.node if node.output[0] in other.input)
        if node.op_type == "Add" and any(name in weights and tuple(weights[name].dims) == shape for name in node.input):
            return node
        if node.op_type != "Reshape":
            return None
    return None


def _check_answers(network: onnx.ModelProto, keras_network: keras.Model, images: Pixels) -> None:
    pixels = images.astype(np.float32)
    expected = keras_network(pixels, training=False)
    received = open_session(network.SerializeToString()).run(list(expected), {network.graph.input[0].name: pixels})
    for (name, tensor), answer in zip(expected.items(), received, strict=True):
        wanted = convert_to_numpy(tensor)
        difference, largest = float(np.abs(wanted - answer).max()), float(np.abs(wanted).max())
        if not difference <= _LARGEST_DIFFERENCE * max(largest, 1.0):
            raise ParityError(
                f"The network cannot be rounded: with rounded kernels its ONNX graph gives {name} that differ by "
                f"{difference:.3g} from Keras's, of which the largest is {largest:.3g}. Nothing was written. Please "
                "report this with the run's folder; --format onnx does not round."
            )
