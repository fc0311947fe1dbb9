"""The ONNX file of a network: made in float32, given its description, and run.

Conversion is tf2onnx's; the nodes around the network are `onnx_graph`'s; `onnx_int8` rounds what is here.
Knows nothing of runs, and writes no file.
"""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx
from tf2onnx.graph import Graph, Node
from tf2onnx.utils import make_name

from nevus.core.clinical import ClinicalHead, Values
from nevus.core.errors import ParityError
from nevus.core.modelfile import CLINICAL_INPUT, INPUT, ModelSpec
from nevus.core.preprocess import Pixels
from nevus.learn.export import onnx_graph
from nevus.learn.export.familiarity import Familiarity
from nevus.learn.export.onnx_folding import fold_scaling
from nevus.learn.export.onnx_graph import RESIZED
from nevus.learn.export.onnx_nodes import constant, drop_unread
from nevus.learn.export.parity import Exported, in_batches
from nevus.learn.networks.tensors import LOGITS


def build(
    tapped: keras.Model, spec: ModelSpec, head: ClinicalHead | None = None, familiarity: Familiarity | None = None
) -> bytes:
    """The float32 file of a network, without its description.

    Args:
        tapped: from float32 [N, S, S, 3] in [0, 255] to the dictionary of `features` and `logits`.
        spec: gives image size, classes, temperature and class weights.
        head: what clinical values add to the logits; None for a model of pixels alone.
        familiarity: how familiar an image is; None for a model that does not tell.
    """
    return compose(convert(tapped, spec.image_size), tapped, spec, head, familiarity)


def opened(content: bytes) -> Exported:
    """What a file answers, for images of any size."""
    session = open_session(content)

    def answer(pixels: Pixels, values: Values | None = None) -> list[np.ndarray]:
        given = {} if values is None else {CLINICAL_INPUT: values}
        answers: list[np.ndarray] = session.run(None, {INPUT: pixels, **given})
        return answers

    return partial(in_batches, answer)


def resized(content: bytes, pixels: Pixels) -> Pixels:
    """What a file's own Resize makes of an image uint8 [H, W, 3], read from inside a copy of it."""
    model = onnx.load_from_string(content)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(RESIZED))
    (small,) = open_session(model.SerializeToString()).run([RESIZED], {INPUT: pixels[None]})
    return small[0]


def open_session(content: bytes) -> onnxruntime.InferenceSession:
    """Opens a file that is in memory.

    Raises:
        ParityError: ONNX Runtime does not take it.
    """
    try:
        return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as problem:  # ONNX Runtime's errors have no common base.
        raise ParityError(
            f"ONNX Runtime {onnxruntime.__version__} refuses the exported model: {problem}. Nothing was written. "
            "Please report this with the versions in run.json."
        ) from None


def convert(model: keras.Model, image_size: int) -> onnx.ModelProto:
    """Converts a Keras model by tf2onnx, with any number of images in a batch.

    Args:
        model: from float32 [N, S, S, 3] to a dictionary of tensors, which become the graph's outputs.
        image_size: S in pixels.

    Raises:
        ParityError: ONNX has no operator for a layer.
    """
    signature = [tf.TensorSpec((None, image_size, image_size, 3), tf.float32, name=model.inputs[0].name)]
    # Not by Keras's own export, which gives tf2onnx no rewriter.
    network, _ = tf2onnx.convert.from_function(
        tf.function(lambda pixels: model(pixels, training=False)),
        signature,
        opset=onnx_graph.OPSET,
        custom_rewriter=[_scalars_to_vectors],
    )
    # A constant of a layer, as of Keras's Normalization, becomes an input that nothing reads.
    drop_unread(network.graph, network.graph.input)
    _spell_out_erfc(network.graph)
    foreign = sorted({node.op_type for node in network.graph.node if not onnx.defs.has(node.op_type, node.domain)})
    if foreign:
        # Keras compiles grouped convolutions, and what is compiled stays a call.
        raise ParityError(
            f"{model.name} cannot become an ONNX file: tf2onnx leaves {', '.join(foreign)}, which ONNX does not have. "
            "Nothing was written. Expected a network without grouped convolutions; model.keras is there as it was."
        )
    fold_scaling(network)
    return network


def _scalars_to_vectors(graph: Graph, nodes: list[Node]) -> list[Node]:
    """Gives each scalar that is added to maps the shape [1], before tf2onnx optimizes.

    Added to what a convolution without bias gives, as in a hard sigmoid, a scalar makes it fail with a traceback on
    standard error and take out no Transpose at all: mobilenetv3-small keeps 102 for 2, in 310 nodes for 217, though
    ONNX Runtime, which takes them out itself, is as fast.
    """
    for node in nodes:
        shapes = [graph.get_shape(name) for name in node.input]
        if node.type not in ("Add", "AddV2") or not any(shapes):
            continue
        for place, (source, shape) in enumerate(zip(node.inputs, shapes, strict=True)):
            if shape == [] and source.is_const():
                vector = graph.make_const(make_name(source.name), source.get_tensor_value(as_list=False).reshape(1))
                graph.replace_input(node, node.input[place], vector.output[0], place)
    kept: list[Node] = graph.get_nodes()
    return kept


def _spell_out_erfc(graph: onnx.GraphProto) -> None:
    """Writes erfc(x), in TensorFlow's GELU, as 1 - erf(x): tf2onnx leaves it, and ONNX has erf alone."""
    if not any(node.op_type == "Erfc" for node in graph.node):
        return
    one = constant("erfc/one", np.array(1, dtype=np.float32))
    nodes = []
    for node in graph.node:
        if node.op_type == "Erfc":
            erf = f"{node.output[0]}/erf"
            nodes.append(onnx.helper.make_node("Erf", node.input, [erf], name=erf))
            node = onnx.helper.make_node("Sub", [one.name, erf], node.output, name=node.name)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(one)


def compose(
    network: onnx.ModelProto,
    tapped: keras.Model,
    spec: ModelSpec,
    head: ClinicalHead | None,
    familiarity: Familiarity | None = None,
) -> bytes:
    """Puts the nodes around a converted network; the other arguments as for `build`."""
    return onnx_graph.compose(
        network,
        image_size=spec.image_size,
        classes=spec.classes,
        class_weights=keras.ops.convert_to_numpy(tapped.get_layer(LOGITS).kernel),
        temperature=spec.temperature,
        log_weights=spec.log_weights,
        head=head,
        familiarity=familiarity,
    ).SerializeToString()
