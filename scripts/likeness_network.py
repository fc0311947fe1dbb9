"""The check's small network for what is dermoscopic, in Keras and as nodes of ONNX."""

from __future__ import annotations

import keras
import numpy as np
import onnx
from fit_sharpness import feature_nodes, make_model, margin_nodes
from keras import layers
from onnx import helper, numpy_helper

INPUT_SIDE = 64
FILTERS = (16, 32, 48, 64)


def network() -> keras.Model:
    """float32 [N, 64, 64, 3] in 0 to 1 to a logit; `convolution n` and `normalisation n` are exported by name."""
    inputs = hidden = layers.Input((INPUT_SIDE, INPUT_SIDE, 3))
    for level, filters in enumerate(FILTERS):
        hidden = layers.Conv2D(
            filters, 3, strides=stride(level), padding="same", use_bias=False, name=f"convolution_{level}"
        )(hidden)
        hidden = layers.BatchNormalization(momentum=0.95, name=f"normalisation_{level}")(hidden)
        hidden = layers.ReLU()(hidden)
    pooled = [layers.GlobalAveragePooling2D()(hidden), layers.GlobalMaxPooling2D()(hidden)]
    hidden = layers.Dropout(0.2)(layers.Concatenate()(pooled))
    return keras.Model(inputs, layers.Dense(1, name="logit")(hidden))


def stride(level: int) -> int:
    return 2 if level < 3 else 1


def with_network(check: bytes, model: keras.Model, limit: float) -> bytes:
    """A check whose likeness comes from the network, with the size and sharpness of another."""
    held = {item.name: numpy_helper.to_array(item) for item in onnx.load_from_string(check).graph.initializer}
    sharpness = {name: np.array(held[f"sharpness_{name}"]) for name in ("linear", "constant")}
    return make_model({"margins": 3}, feature_nodes(), network_nodes(model, limit), margin_nodes(sharpness))


def network_nodes(model: keras.Model, limit: float) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """From `image`, float32 [1, 3, 128, 128], to `likeness`, float32 [1, 1].

    Each normalisation is folded into its convolution, and the limit into the last constant.
    """
    nodes = [helper.make_node("AveragePool", ["image"], ["net_in"], name="net_in", kernel_shape=[2, 2], strides=[2, 2])]
    values, last = {}, "net_in"
    for level in range(len(FILTERS)):
        kernel = np.asarray(model.get_layer(f"convolution_{level}").kernel)
        norm = model.get_layer(f"normalisation_{level}")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        values[f"net_kernel_{level}"] = (kernel * scale).transpose(3, 2, 0, 1)
        values[f"net_bias_{level}"] = beta - mean * scale
        step = stride(level)
        # As Keras pads 'same': at stride 2 and an even side, on the right and at the bottom only.
        before = 2 - step
        nodes += [
            helper.make_node(
                "Conv",
                [last, f"net_kernel_{level}", f"net_bias_{level}"],
                [f"net_conv_{level}"],
                name=f"net_conv_{level}",
                pads=[before, before, 1, 1],
                strides=[step, step],
            ),
            helper.make_node("Relu", [f"net_conv_{level}"], [f"net_{level}"], name=f"net_{level}"),
        ]
        last = f"net_{level}"
    weights, bias = model.get_layer("logit").get_weights()
    values |= {"net_weights": weights, "net_constant": bias - limit}
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["net_average"], name="net_average"),
        helper.make_node("GlobalMaxPool", [last], ["net_most"], name="net_most"),
        helper.make_node("Concat", ["net_average", "net_most"], ["net_pooled"], name="net_pooled", axis=1),
        helper.make_node("Flatten", ["net_pooled"], ["net_flat"], name="net_flat"),
        helper.make_node("Gemm", ["net_flat", "net_weights", "net_constant"], ["likeness"], name="likeness"),
    ]
    return nodes, [numpy_helper.from_array(np.ascontiguousarray(v, np.float32), name) for name, v in values.items()]
