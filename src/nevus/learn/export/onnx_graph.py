"""The graph of a model file: nodes in front of a network that resize raw pixels, nodes behind it that answer.

This module builds ONNX nodes from networks that were converted already. It reads and
writes no file, and knows nothing of runs, descriptions or of how well the graph agrees with Keras.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from nevus.core.clinical import ClinicalHead
from nevus.core.labels import Classes
from nevus.core.modelfile import CLINICAL_INPUT, FAMILIARITY, INPUT, OUTPUTS
from nevus.learn.export.familiarity import Familiarity
from nevus.learn.export.onnx_clinical import clinical_nodes
from nevus.learn.export.onnx_familiarity import familiarity_nodes
from nevus.learn.export.onnx_nodes import constant, make_node
from nevus.learn.networks.tensors import FEATURES, LOGITS

# Opset 18 is the first whose Resize filters when it shrinks (antialias); IR version 8 is of its time.
OPSET = 18
IR_VERSION = 8

RESIZED = "preprocess/resized"

# The names of all nodes before the network begin with it.
_FRONT = "preprocess/"


def compose(
    network: onnx.ModelProto,
    *,
    image_size: int,
    classes: Classes,
    class_weights: NDArray[np.float32],
    temperature: float,
    log_weights: NDArray[np.float64] | None = None,
    head: ClinicalHead | None = None,
    familiarity: Familiarity | None = None,
) -> onnx.ModelProto:
    """Puts a converted network between preprocessing and answers.

    Args:
        network: maps float32 [N, S, S, 3] in [0, 255] to `features` float32 [N, h, w, K], the last
            maps before global average pooling, and `logits` float32 [N, U], where U is 1 (the logit
            of the second of two classes) or C.
        image_size: S in pixels.
        classes: the C classes, in the order of the logits.
        class_weights: float32 [K, U], the kernel of the dense layer behind the pooling.
        temperature: by which logits are divided before the softmax (Guo et al. 2017).
        log_weights: [C], the logarithms of what each class weighed in training, which are subtracted behind the
            temperature; None if all weighed the same.
        head: what clinical values add to the logits; None for a model of pixels alone.
        familiarity: how familiar an image is; None for a model that does not tell.

    Returns:
        A checked model with the tensors that `nevus.core.modelfile` names, without a description.
    """
    _rename(network.graph)
    map_height, map_width = _map_size(network.graph)
    front_nodes, front_weights = _front(network.graph.input[0].name, image_size)
    fusing_nodes, fusing_weights = clinical_nodes(head) if head else ([], [])
    logits = fusing_nodes[-1].output[0] if head else LOGITS
    back_nodes, back_weights = _back(logits, classes, class_weights, temperature, log_weights)
    telling_nodes, telling_weights = familiarity_nodes(familiarity) if familiarity else ([], [])
    probabilities, risk, heatmap = OUTPUTS
    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["num_images", "height", "width", 3])]
    if head:
        shape = ["num_images_with_metadata", len(head.variables)]
        inputs.append(helper.make_tensor_value_info(CLINICAL_INPUT, TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        [*front_nodes, *network.graph.node, *fusing_nodes, *back_nodes, *telling_nodes],
        "nevus",
        inputs=inputs,
        outputs=[
            helper.make_tensor_value_info(probabilities, TensorProto.FLOAT, ["num_images", len(classes.names)]),
            helper.make_tensor_value_info(risk, TensorProto.FLOAT, ["num_images"]),
            helper.make_tensor_value_info(heatmap, TensorProto.FLOAT, ["num_images", map_height, map_width]),
            *([helper.make_tensor_value_info(FAMILIARITY, TensorProto.FLOAT, ["num_images"])] if familiarity else []),
        ],
        initializer=[*front_weights, *network.graph.initializer, *fusing_weights, *back_weights, *telling_weights],
    )
    return _model(graph)


def average(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """Joins composed models into one that gives the mean of their answers, behind one resize that they share.

    Args:
        models: of `compose`, with the same image size and the same classes; one or more, left as they are.

    Returns:
        A checked model with the same inputs, and with the outputs that all of them have, without a description. Its
        heatmap, the mean of the models' maps, explains the mean of their log-odds.
    """
    first = models[0].graph
    front = [node for node in first.node if node.name.startswith(_FRONT)]
    shared = {"", *(name for node in front for name in (*node.input, *node.output))}
    nodes = list(front)
    weights = [weight for weight in first.initializer if weight.name in shared]
    for number, model in enumerate(models, start=1):
        copy = onnx.GraphProto()
        copy.CopyFrom(model.graph)

        def own(name: str, number: int = number) -> str:
            return name if name in shared else f"model_{number}/{name}"

        for weight in copy.initializer:
            weight.name = own(weight.name)
        for node in copy.node:
            node.name = own(node.name)
            node.input[:] = map(own, node.input)
            node.output[:] = map(own, node.output)
        nodes += [node for node in copy.node if node.output[0] not in shared]
        weights += [weight for weight in copy.initializer if weight.name not in shared]
    common = set.intersection(*({output.name for output in model.graph.output} for model in models))
    outputs = [output for output in first.output if output.name in common]
    nodes += [
        make_node("Mean", [f"model_{number}/{output.name}" for number in range(1, len(models) + 1)], output.name)
        for output in outputs
    ]
    return _model(helper.make_graph(nodes, "nevus", first.input, outputs, weights))


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="nevus"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _front(network_input: str, image_size: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Raw pixels, uint8 [N, H, W, 3], to the network's input, float32 [N, S, S, 3] in [0, 255]."""
    resize = helper.make_node(
        "Resize",
        [INPUT, "", "", "preprocess/size"],
        [RESIZED],
        name="preprocess/resize",
        # On uint8, channels last, ONNX Runtime filters in fixed point as Pillow's BILINEAR does: at most one grey
        # level apart, in one value of a thousand. On float32 it was 17 times slower and a quarter level off on average.
        mode="linear",
        axes=[1, 2],
        antialias=1,
        # Without it, borders are up to 16 grey levels off.
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
    )
    cast = helper.make_node("Cast", [RESIZED], [network_input], name="preprocess/cast", to=TensorProto.FLOAT)
    return [resize, cast], [constant("preprocess/size", np.array([image_size, image_size], dtype=np.int64))]


def _back(
    logits: str,
    classes: Classes,
    class_weights: NDArray[np.float32],
    temperature: float,
    log_weights: NDArray[np.float64] | None,
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The tensor `logits` and features to probabilities, risk and heatmap.

    The heatmap explains the log-odds of malignant against benign,
    `logsumexp(malignant logits) - logsumexp(benign logits)`. Its gradient by the logits is the softmax among
    the malignant classes minus the softmax among the benign ones; with these coefficients the class
    activation maps `features @ class_weights` (Zhou et al. 2016, arXiv:1512.04150) are summed. For two
    classes that is the class activation map of the one logit. Bias is left out; temperature too, as it
    only scales the map, and so are the class weights, which shift the log-odds of every image alike for two classes.
    """
    probabilities, risk, heatmap = OUTPUTS
    malignant = classes.malignant_mask
    weights = [
        constant("answer/temperature", np.array(temperature, dtype=np.float32)),
        constant("answer/one", np.array(1, dtype=np.float32)),
        constant("answer/malignant", malignant.astype(np.float32)),
        # Added to logits, it takes classes out of a softmax: exp(-1e9) is 0 in float32.
        constant("answer/without_benign", np.where(malignant, 0, -1e9).astype(np.float32)),
        constant("answer/without_malignant", np.where(malignant, -1e9, 0).astype(np.float32)),
        constant("answer/map_axes", np.array([1, 2], dtype=np.int64)),
        constant("answer/class_axis", np.array([3], dtype=np.int64)),
    ]
    nodes = []
    if class_weights.shape[1] == 1:
        # One logit z stands for [0, z]: softmax([0, z]) is [1 - sigmoid(z), sigmoid(z)].
        class_weights = np.concatenate([np.zeros_like(class_weights), class_weights], axis=1)
        weights.append(constant("answer/second_class", np.array([0, 1], dtype=np.float32)))
        nodes.append(make_node("Mul", [logits, "answer/second_class"], "answer/class_logits"))
        class_logits = "answer/class_logits"
    else:
        class_logits = logits
    weights.append(constant("answer/class_weights", class_weights))
    undoing = []
    if log_weights is not None:
        weights.append(constant("answer/log_weights", log_weights.astype(np.float32)))
        undoing.append(make_node("Sub", ["answer/calibrated_logits", "answer/log_weights"], "answer/unweighted_logits"))
    nodes += [
        make_node("Div", [class_logits, "answer/temperature"], "answer/calibrated_logits"),
        *undoing,
        make_node("Softmax", [undoing[-1].output[0] if undoing else "answer/calibrated_logits"], probabilities, axis=1),
        make_node("MatMul", [probabilities, "answer/malignant"], "answer/malignant_sum"),
        # Rounding can carry a sum of several probabilities past 1.
        make_node("Min", ["answer/malignant_sum", "answer/one"], risk),
        make_node("Add", [class_logits, "answer/without_benign"], "answer/malignant_logits"),
        make_node("Add", [class_logits, "answer/without_malignant"], "answer/benign_logits"),
        make_node("Softmax", ["answer/malignant_logits"], "answer/malignant_shares", axis=1),
        make_node("Softmax", ["answer/benign_logits"], "answer/benign_shares", axis=1),
        make_node("Sub", ["answer/malignant_shares", "answer/benign_shares"], "answer/coefficients"),
        make_node("Unsqueeze", ["answer/coefficients", "answer/map_axes"], "answer/map_coefficients"),
        make_node("MatMul", [FEATURES, "answer/class_weights"], "answer/class_maps"),
        make_node("Mul", ["answer/class_maps", "answer/map_coefficients"], "answer/weighted_maps"),
        make_node("ReduceSum", ["answer/weighted_maps", "answer/class_axis"], heatmap, keepdims=0),
    ]
    return nodes, weights


def _rename(graph: onnx.GraphProto) -> None:
    """Numbers the network's nodes and tensors, so that a file does not depend on what else the process has built."""
    names = {FEATURES: FEATURES, LOGITS: LOGITS, "": ""}
    names[graph.input[0].name] = "network/input"
    # tf2onnx lists weights in an order that changes; the order in which the nodes use them does not.
    uses = [name for node in graph.node for name in node.input]
    weights = sorted((w for w in graph.initializer if w.name in uses), key=lambda weight: uses.index(weight.name))
    for number, weight in enumerate(weights):
        names[weight.name] = weight.name = f"network/w{number}"
    del graph.initializer[:]
    graph.initializer.extend(weights)
    for number, node in enumerate(graph.node):
        # Short: a small network in int8 would spend a tenth of its file on names.
        node.name = f"network/{number}"
        for place, output in enumerate(node.output):
            names.setdefault(output, node.name if place == 0 else f"{node.name}:{place}")
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    graph.input[0].name = names[graph.input[0].name]


def _map_size(graph: onnx.GraphProto) -> tuple[int, int]:
    shape = next(output for output in graph.output if output.name == FEATURES).type.tensor_type.shape
    return shape.dim[1].dim_value, shape.dim[2].dim_value
