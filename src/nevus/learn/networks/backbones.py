"""Feature extractors of `keras.applications`, one a row of `BACKBONES`, and their pretrained weights.

A row says how pixels are scaled for its weights. Scaling is a layer of the graph, once: Keras's own preprocessing is
left out where a constructor offers it, and given ImageNet's statistics in the one that insists on it. What stands
behind the features is the business of `architectures`. The features end where `include_top=False` ends them.
"""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, applications, layers, ops

from nevus.core import vocabulary
from nevus.core.errors import ConfigError
from nevus.core.pretrained import IMAGENET
from nevus.learn.networks.saved_network import check_weights

# Mean and standard deviation of ImageNet's red, green and blue in [0, 1], as all of the field's libraries have them.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Mean grey levels of blue, green and red, of the networks that were first trained in Caffe.
_CAFFE_MEAN = (103.939, 116.779, 123.68)

# No row's constructor takes smaller images.
_LEAST_SIZE = 32

Scaling = Callable[[KerasTensor], KerasTensor]


def _to_one(pixels: KerasTensor) -> KerasTensor:
    """To [-1, 1]."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="scale")(pixels)


def _by_128(pixels: KerasTensor) -> KerasTensor:
    """To [-1, 0.992]."""
    return layers.Rescaling(1 / 128, offset=-1.0, name="scale")(pixels)


def _standardised(pixels: KerasTensor) -> KerasTensor:
    """Each channel less ImageNet's mean, by its standard deviation."""
    scale = [1 / (255 * std) for std in _STD]
    offset = [-mean / std for mean, std in zip(_MEAN, _STD, strict=True)]
    return layers.Rescaling(scale, offset=offset, name="scale")(pixels)


def _caffe(pixels: KerasTensor) -> KerasTensor:
    """Blue, green, red, each less ImageNet's mean grey level."""
    blue_first = ops.take(pixels, [2, 1, 0], axis=-1)
    return layers.Rescaling(1.0, offset=[-mean for mean in _CAFFE_MEAN], name="scale")(blue_first)


@dataclass(frozen=True, slots=True)
class Backbone:
    """A row of `BACKBONES`.

    Attributes:
        constructor: of `keras.applications`.
        native_size: side in pixels of the images that its ImageNet weights learned from.
        scaling: from pixels in [0, 255] to what its weights expect; None if its constructor always scales.
        top: first layer of the last stage, where fine-tuning starts.
        can_omit_preprocessing: whether the constructor has a scaling of its own that can be left out.
    """

    constructor: Callable[..., keras.Model]
    native_size: int
    scaling: Scaling | None
    top: str
    can_omit_preprocessing: bool = False


BACKBONES: dict[str, Backbone] = {
    "mobilenetv2": Backbone(applications.MobileNetV2, 224, _to_one, "block_13_expand"),
    "mobilenetv3-small": Backbone(applications.MobileNetV3Small, 224, _to_one, "expanded_conv_8_expand", True),
    "mobilenetv3-large": Backbone(applications.MobileNetV3Large, 224, _to_one, "expanded_conv_12_expand", True),
    "efficientnetv2-b0": Backbone(applications.EfficientNetV2B0, 224, _standardised, "block6a_expand_conv", True),
    "efficientnetv2-b1": Backbone(applications.EfficientNetV2B1, 240, _standardised, "block6a_expand_conv", True),
    "efficientnetv2-s": Backbone(applications.EfficientNetV2S, 384, _by_128, "block6a_expand_conv", True),
    "efficientnet-b0": Backbone(applications.EfficientNetB0, 224, None, "block6a_expand_conv"),
    "resnet50v2": Backbone(applications.ResNet50V2, 224, _to_one, "conv5_block1_preact_bn"),
    "resnet50": Backbone(applications.ResNet50, 224, _caffe, "conv5_block1_1_conv"),
    "densenet121": Backbone(applications.DenseNet121, 224, _standardised, "conv5_block1_0_bn"),
    "convnext-tiny": Backbone(
        applications.ConvNeXtTiny, 224, _standardised, "convnext_tiny_stage_3_block_0_depthwise_conv", True
    ),
}
assert tuple(BACKBONES) == vocabulary.BACKBONES


def maps(name: str, pixels: KerasTensor) -> KerasTensor:
    """Puts a backbone with random weights behind `pixels`, layer by layer.

    Args:
        name: a key of `BACKBONES`.
        pixels: float32 [N, S, S, 3], RGB in [0, 255].

    Returns:
        Its last feature maps, float32 [N, h, w, K].

    Raises:
        ConfigError: the images are smaller than any backbone takes.
    """
    backbone, shape = BACKBONES[name], tuple(pixels.shape[1:])
    if shape[0] < _LEAST_SIZE:
        raise ConfigError(
            f"--model {name} needs images of {_LEAST_SIZE} px or more. Received: {shape[0]} px. "
            "Run 'nevus prepare' again with a larger --image-size."
        )
    extractor = backbone.constructor(
        include_top=False,
        weights=None,
        input_tensor=backbone.scaling(pixels) if backbone.scaling else pixels,
        input_shape=shape,
        **({"include_preprocessing": False} if backbone.can_omit_preprocessing else {}),
    )
    if any(_is_depthwise(layer) for layer in extractor.layers):
        extractor = keras.models.clone_model(extractor, input_tensors=pixels, clone_function=_without_groups)
    for layer in extractor.layers:
        if isinstance(layer, layers.Normalization):
            # Without weights, Keras leaves it at mean 0 and variance 1.
            layer.set_weights([np.array(_MEAN), np.square(_STD), np.array(0)])
            layer.finalize_state()
    return extractor.output


def load_weights(network: keras.Model, name: str, weights: str) -> None:
    """Gives the features of `network` pretrained weights, in place.

    Args:
        network: built on the maps of backbone `name`, with no other weights than those of its last dense layer behind.
        name: a key of `BACKBONES`.
        weights: 'imagenet', which Keras downloads unless it has it, or a file as
            `keras.applications` models with `include_top=False` save it: `.weights.h5`, or Keras's published `.h5`.

    Raises:
        ConfigError: the file is of another network, or the weights cannot be downloaded.
    """
    constructor = BACKBONES[name].constructor
    options = {"include_top": False, "input_shape": network.input_shape[1:]}
    if weights == IMAGENET:
        pretrained = _download(name, options)
    else:
        try:
            check_weights(Path(weights))
            pretrained = constructor(weights=None, **options)
            with warnings.catch_warnings():
                # Of its own inner lists, before it says what is wrong.
                warnings.filterwarnings("ignore", message="Skipping nested container")
                pretrained.load_weights(weights)
        except (OSError, ValueError, KeyError) as problem:
            reason = str(problem).strip().splitlines()[0]
            raise ConfigError(
                f"--weights {weights} does not fit {name} ({reason}). Expected the weights of "
                f"keras.applications.{constructor.__name__} with include_top=False."
            ) from None
    # The last one is the dense layer behind the features.
    own = layers_that_learn(network)[:-1]
    for layer, source in zip(own, layers_that_learn(pretrained), strict=True):
        values = source.get_weights()
        if _is_depthwise(source):
            values[0] = np.swapaxes(values[0], 2, 3)
        layer.set_weights(values)


def layers_below_top(network: keras.Model, name: str) -> list[keras.layers.Layer]:
    """The layers of a network with backbone `name` that come before those where fine-tuning starts."""
    names = [layer.name for layer in network.layers]
    return network.layers[: names.index(BACKBONES[name].top)]


def _is_depthwise(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a convolution with a group for each channel, as ConvNeXt has them."""
    return isinstance(layer, layers.Conv2D) and layer.groups > 1 and layer.groups == layer.filters


def _without_groups(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A new layer like `layer`, a depthwise one for a convolution with a group for each channel.

    They compute the same. TensorFlow compiles grouped convolutions, and tf2onnx leaves what is compiled as a call.
    """
    if not _is_depthwise(layer):
        return layer.__class__.from_config(layer.get_config())
    return layers.DepthwiseConv2D(
        layer.kernel_size, layer.strides, layer.padding, use_bias=layer.use_bias, name=layer.name
    )


def layers_that_learn(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers with weights but those of the scaling."""
    return [layer for layer in model.layers if layer.weights and not isinstance(layer, layers.Normalization)]


def _download(name: str, options: dict[str, Any]) -> keras.Model:
    """The network with the weights that Keras has, or downloads."""
    constructor = BACKBONES[name].constructor
    try:
        # Keras tells of the download on standard output, where results belong, and of any size but the native one.
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
            return constructor(weights=IMAGENET, **options)
    except Exception as problem:  # Keras raises no narrower one.
        address = re.search(r"https://\S+\.h5", str(problem))
        if address is None:
            raise ConfigError(
                f"--weights {IMAGENET}: Keras cannot load those of {constructor.__name__} ({problem}). Expected a "
                "connection to storage.googleapis.com, or a file: --weights FILE."
            ) from problem
        file = address.group().rpartition("/")[2]
        raise ConfigError(
            f"--weights {IMAGENET}: {file} cannot be downloaded. Fetch {address.group()} on a machine that is online, "
            f"and put it at ~/.keras/models/{file} (in models/ of KERAS_HOME if that is set), or anywhere and name it: "
            f"--weights {file}."
        ) from problem
