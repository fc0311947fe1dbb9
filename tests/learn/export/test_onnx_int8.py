"""The rounding of an ONNX graph: its weights are those of the rounded network, whatever the converter left out."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from export_runs import make_run
from keras import layers
from onnx import numpy_helper

from nevus.core.errors import ParityError
from nevus.core.modelfile import ModelSpec, parse_spec
from nevus.learn.export import onnx_file, onnx_int8
from nevus.learn.export.export import export
from nevus.learn.export.onnx_file import convert, open_session
from nevus.learn.export.onnx_kernels import own_weights, with_weights_of
from nevus.learn.export.parity import answers_of_keras
from nevus.learn.networks.activation_map import tap
from nevus.learn.rounding.kernel_rounding import round_kernels, steps
from nevus.learn.rounding.scale_folding import fold_scales

SIZE = 16
IMAGES = np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), dtype=np.uint8)


def make_network() -> keras.Model:
    """Every kind of layer that is rounded, with biases of zero, which the converter leaves out, and without any."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    x = layers.Conv2D(8, 3, padding="same", name="stem")(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, depth_multiplier=2, name="depthwise")(x)
    x = layers.BatchNormalization(name="norm")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(layers.Activation("relu")(x))
    gate = layers.Conv2D(16, 1, name="excite")(gate)
    # As in MobileNetV3: a scalar is added to what a convolution with a bias of zero gives.
    gate = layers.ReLU(6.0, name="gate")(gate + 3.0) * (1 / 6)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.Dense(12, activation="gelu", name="dense")(x)
    x = layers.Dense(8, use_bias=False, name="bare_dense")(x)
    x = layers.Conv2D(8, 3, padding="same", name="last")(x)
    pooled = layers.GlobalAveragePooling2D(name="pool")(x)
    network = keras.Model(pixels, layers.Dense(1, name="logits")(pooled), name="small")
    normalise = network.get_layer("norm")
    normalise.set_weights([np.random.default_rng(2).uniform(0.5, 2, 16) for _ in normalise.get_weights()])
    return network


@pytest.fixture(scope="module")
def folded() -> keras.Model:
    return fold_scales(tap(make_network()))


@pytest.fixture(scope="module")
def rounded(folded: keras.Model) -> keras.Model:
    return round_kernels(folded, steps(64), IMAGES)


@pytest.fixture
def network(folded: keras.Model) -> onnx.ModelProto:
    network = convert(folded, SIZE)
    own_weights(network)
    return network


def read_spec(path: Path) -> ModelSpec:
    return parse_spec(onnx.load(path).metadata_props[0].value)


def answers(network: onnx.ModelProto) -> list[np.ndarray]:
    session = open_session(network.SerializeToString())
    received: list[np.ndarray] = session.run(["features", "logits"], {"pixels": IMAGES.astype(np.float32)})
    return received


def test_the_converter_makes_other_nodes_of_the_rounded_network(folded: keras.Model, rounded: keras.Model) -> None:
    # Else the tests below show nothing.
    assert len(convert(folded, SIZE).graph.node) != len(convert(rounded, SIZE).graph.node)


def test_a_graph_with_other_weights_answers_as_their_network(
    network: onnx.ModelProto, folded: keras.Model, rounded: keras.Model
) -> None:
    changed = with_weights_of(network, folded, rounded, IMAGES)
    for name, received, before in zip(("features", "logits"), answers(changed), answers(network), strict=True):
        wanted = rounded(IMAGES.astype(np.float32))[name].numpy()
        np.testing.assert_allclose(received, wanted, atol=1e-4 * np.abs(wanted).max())
        assert np.abs(before - wanted).max() > 1e-3 * np.abs(wanted).max(), "nothing was rounded"


def test_each_convolution_has_weights_of_its_own(network: onnx.ModelProto, folded: keras.Model) -> None:
    used = [name for node in network.graph.node if node.op_type in ("Conv", "MatMul") for name in node.input[1:]]
    assert len(used) == len(set(used)) == 4 * 2 + 3
    for name, wanted in zip(("features", "logits"), answers(network), strict=True):
        expected = folded(IMAGES.astype(np.float32))[name].numpy()
        np.testing.assert_allclose(wanted, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("layer", ["depthwise", "bare_dense"])
def test_a_graph_of_other_kernels_is_refused(
    layer: str, network: onnx.ModelProto, folded: keras.Model, rounded: keras.Model
) -> None:
    shape = folded.get_layer(layer).kernel.shape
    shape = (16, 1, 3, 3) if layer == "depthwise" else tuple(shape)
    for weight in network.graph.initializer:
        if tuple(weight.dims) == shape:
            weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[::-1].copy(), weight.name))
    with pytest.raises(ParityError, match=rf"no node with the kernel of layer {layer}.*Nothing was written"):
        with_weights_of(network, folded, rounded, IMAGES)


def test_a_graph_that_computes_something_else_is_refused(
    network: onnx.ModelProto, folded: keras.Model, rounded: keras.Model
) -> None:
    convolution = next(node for node in network.graph.node if node.op_type == "Conv")
    bias = next(weight for weight in network.graph.initializer if weight.name == convolution.input[2])
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.5), bias.name))
    with pytest.raises(ParityError, match=r"gives features that differ by.*Nothing was written"):
        with_weights_of(network, folded, rounded, IMAGES)


def test_a_scalar_behind_a_convolution_leaves_no_transposes(
    folded: keras.Model, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = keras.Input((SIZE, SIZE, 3))
    x = pixels
    for filters in (4, 6, 8):
        x = layers.Activation("hard_swish")(layers.Conv2D(filters, 3)(x) + 3.0)
    model = keras.Model(pixels, {"features": x, "logits": layers.GlobalAveragePooling2D()(x)})
    graph = convert(model, SIZE).graph
    # In front of the network, behind its maps, and what is left of pooling.
    assert sum(node.op_type == "Transpose" for node in graph.node) <= 2
    assert "Traceback" not in capfd.readouterr().err


def test_constants_of_a_normalisation_are_no_inputs() -> None:
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    normalisation = layers.Normalization()
    x = layers.Conv2D(4, 3)(normalisation(layers.Rescaling(1 / 255)(pixels)))
    normalisation.set_weights([np.full(3, 0.5), np.full(3, 0.04), np.array(0)])
    normalisation.finalize_state()
    model = keras.Model(pixels, {"features": x, "logits": layers.GlobalAveragePooling2D()(x)})
    network = convert(model, SIZE)
    assert [given.name for given in network.graph.input] == ["pixels"]
    received = answers(network)
    np.testing.assert_allclose(received[0], model(IMAGES.astype(np.float32))["features"], atol=1e-4)


def test_its_answers_in_int8_are_near(tmp_path: Path) -> None:
    model = make_network()
    run = make_run(tmp_path / "made", image_size=SIZE, model=model)
    spec, tapped = read_spec(export(run, run.dataset)), tap(model)
    expected = answers_of_keras(tapped, IMAGES, spec=spec)
    content = onnx_int8.build(tapped, spec, IMAGES)
    received = onnx_file.opened(content)(IMAGES, 8)
    assert 1e-6 < np.abs(received.risk - expected.risk).max() < 0.02
    kernels = [weight for weight in onnx.load_from_string(content).graph.initializer if len(weight.dims) == 4]
    assert onnx.TensorProto.FLOAT not in {weight.data_type for weight in kernels}


def test_only_kernels_that_cannot_saturate_have_8_bits(tmp_path: Path) -> None:
    """Elsewhere two products of bytes are added in 16 bits on many processors: 2 * 255 * 64 fits, 2 * 255 * 127 not."""
    keras.utils.set_random_seed(2)
    pixels = keras.Input((SIZE, SIZE, 3), name="pixels")
    x = layers.Conv2D(4, 3, activation="relu", name="stem")(pixels)
    x = layers.DepthwiseConv2D(3, activation="relu", name="one_of_each")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu", name="two_of_each")(x)
    x = layers.Conv2D(6, 1, activation="relu", name="pointwise")(x)
    pooled = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(pixels, layers.Dense(1, name="logits")(pooled))
    run = make_run(tmp_path / "made", image_size=SIZE, model=model)
    spec = read_spec(export(run, run.dataset))
    graph = onnx.load_from_string(onnx_int8.build(tap(model), spec, IMAGES)).graph
    largest = {
        tuple(weight.dims): np.abs(numpy_helper.to_array(weight).astype(int)).max()
        for weight in graph.initializer
        if weight.data_type == onnx.TensorProto.INT8 and len(weight.dims) == 4
    }
    assert largest == {(4, 3, 3, 3): 64, (4, 1, 3, 3): 127, (8, 1, 3, 3): 64, (6, 8, 1, 1): 64}
