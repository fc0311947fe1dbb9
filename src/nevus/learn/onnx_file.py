"""The ONNX files of a network, in float32 and in int8: made, given their metadata, and run.

Conversion is tf2onnx's, quantisation ONNX Runtime's; the nodes around the network are `onnx_graph`'s.
Knows nothing of runs, and writes only into a temporary folder.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from nevus.core.errors import ParityError
from nevus.core.metadata import MetadataHead, Values
from nevus.core.modelfile import INPUT, METADATA_INPUT, METADATA_KEY, OUTPUTS, ModelSpec
from nevus.core.preprocess import Pixels
from nevus.learn import onnx_graph
from nevus.learn.networks import LOGITS
from nevus.learn.onnx_folding import fold_scaling
from nevus.learn.onnx_graph import RESIZED
from nevus.learn.onnx_nodes import FEATURES, constant
from nevus.learn.parity import Exported, in_batches

# Tensors of `_without_bias`.
_ROUNDED, _LACK = "rounded_logits", "what_rounding_took"


def build(tapped: keras.Model, spec: ModelSpec, head: MetadataHead | None = None) -> bytes:
    """The float32 file of a network, without its description.

    Args:
        tapped: from float32 [N, S, S, 3] in [0, 255] to the dictionary of `features` and `logits`.
        spec: gives image size, classes and temperature.
        head: what metadata add to the logits; None for a model of pixels alone.
    """
    return _compose(convert(tapped, spec.image_size), tapped, spec, head)


def build_int8(tapped: keras.Model, spec: ModelSpec, calibration: Pixels, head: MetadataHead | None = None) -> bytes:
    """The file of a network whose weights and feature maps are 8-bit integers, without its description.

    What decides the answer stays in float32: the pooled features, the dense layers, the answers. Resize and
    scaling are exact in both.

    Args:
        tapped: as for `build`.
        spec: as for `build`.
        calibration: uint8 [N, S, S, 3], RGB: training images, whose feature maps give the ranges.
        head: as for `build`.
    """
    return _compose(_quantise(convert(tapped, spec.image_size), calibration), tapped, spec, head)


def with_metadata(content: bytes, text: str) -> bytes:
    """The file with `text` as its metadata."""
    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    return model.SerializeToString()


def opened(content: bytes) -> Exported:
    """What a file answers, for images of any size."""
    session = open_session(content)

    def answer(pixels: Pixels, values: Values | None = None) -> list[np.ndarray]:
        given = {} if values is None else {METADATA_INPUT: values}
        answers: list[np.ndarray] = session.run(list(OUTPUTS), {INPUT: pixels, **given})
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
    # Keras exports what a call has traced.
    model(np.zeros((1, image_size, image_size, 3), dtype=np.float32))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # tf2onnx probes NumPy names that are deprecated; nothing a user could mend.
        warnings.simplefilter("ignore", FutureWarning)
        path = Path(folder) / "network.onnx"
        model.export(path, format="onnx", verbose=False, opset_version=onnx_graph.OPSET)
        network = onnx.load(path)
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


def _compose(network: onnx.ModelProto, tapped: keras.Model, spec: ModelSpec, head: MetadataHead | None) -> bytes:
    return onnx_graph.compose(
        network,
        image_size=spec.image_size,
        classes=spec.classes,
        class_weights=keras.ops.convert_to_numpy(tapped.get_layer(LOGITS).kernel),
        temperature=spec.temperature,
        head=head,
    ).SerializeToString()


class _Images(CalibrationDataReader):
    """Gives ONNX Runtime the calibration images one by one, so that their feature maps never meet in memory."""

    def __init__(self, name: str, pixels: Pixels) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = ({name: image[None].astype(np.float32)} for image in pixels)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def _quantise(network: onnx.ModelProto, calibration: Pixels) -> onnx.ModelProto:
    # It advises a step of preparation that tf2onnx has done.
    logging.getLogger().addFilter(_is_no_advice)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            quantize_static(
                # A copy: it moves the weights of what it is given out into files.
                onnx.load_from_string(network.SerializeToString()),
                path,
                _Images(network.graph.input[0].name, calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                # Weights of 7 bits: without the instructions of VNNI, sums of products of 8 bits saturate and
                # the answer would depend on the processor.
                reduce_range=True,
                nodes_to_exclude=_head(network.graph),
            )
            return _without_bias(onnx.load(path), network, calibration)
    finally:
        logging.getLogger().removeFilter(_is_no_advice)


def _without_bias(quantised: onnx.ModelProto, network: onnx.ModelProto, calibration: Pixels) -> onnx.ModelProto:
    """Adds to the logits what rounding took from them on average (bias correction, Nagel et al. 2019, section 4.2)."""
    logits = []
    for model in (network, quantised):
        session, name = open_session(model.SerializeToString()), model.graph.input[0].name
        batches = [session.run([LOGITS], {name: image[None].astype(np.float32)})[0] for image in calibration]
        logits.append(np.concatenate(batches).mean(axis=0))
    for node in quantised.graph.node:
        node.output[:] = [_ROUNDED if name == LOGITS else name for name in node.output]
    quantised.graph.initializer.append(onnx.numpy_helper.from_array(logits[0] - logits[1], _LACK))
    quantised.graph.node.append(onnx.helper.make_node("Add", [_ROUNDED, _LACK], [LOGITS]))
    return quantised


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "pre-processing before quantization" not in record.getMessage()


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
