"""A Keras network in PyTorch: the same layers and sizes, read from the architecture that a `.keras` file holds.

For speed alone: weights are not carried over, and where Keras pads a strided convolution on one side, this pads both.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class UnknownLayerError(Exception):
    """The network has a layer that is not spelled out here."""


class TorchNetwork(nn.Module):
    """The layers of a Keras functional model, run in its order.

    Args:
        path: a `.keras` file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))["config"]
        self.channels: dict[str, int] = {}
        self.steps: list[tuple[str, str, list[str]]] = []
        self.layers = nn.ModuleDict()
        for layer in config["layers"]:
            name = layer["name"]
            sources = _sources(layer["inbound_nodes"])
            if layer["class_name"] == "InputLayer":
                shape = layer["config"]["batch_shape"]
                self.input_name, self.image_size, self.channels[name] = name, shape[1], shape[3]
                continue
            module, width = _module(layer["class_name"], layer["config"], [self.channels[s] for s in sources])
            self.channels[name] = width
            self.steps.append((name, layer["class_name"], sources))
            if module is not None:
                self.layers[name] = module
        self.output_name = self.steps[-1][0]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Float [N, 3, S, S] in [0, 255] to logits."""
        values = {self.input_name: pixels}
        for name, kind, sources in self.steps:
            inputs = [values[source] for source in sources]
            if name in self.layers:
                values[name] = self.layers[name](inputs[0])
            elif kind == "Add":
                values[name] = sum(inputs[1:], inputs[0])
            elif kind == "Multiply":
                values[name] = inputs[0] * inputs[1]
            elif kind == "Concatenate":
                values[name] = torch.cat(inputs, dim=1)
            else:
                values[name] = inputs[0]
        return values[self.output_name]


class _Scale(nn.Module):
    def __init__(self, scale: float, offset: float) -> None:
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale + self.offset


class _Mean(nn.Module):
    def __init__(self, keep: bool) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3), keepdim=self.keep)


class _Image(nn.Module):
    """A vector as an image of one pixel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(*x.shape[:2], 1, 1)


class _Dense(nn.Linear):
    """Linear over channels, be it of vectors or of images of one pixel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.ndim == 4:
            return functional.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)
        return super().forward(x)


_ACTIVATIONS = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU, "swish": nn.SiLU, "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid, "hard_sigmoid": nn.Hardsigmoid, "hard_swish": nn.Hardswish, "hard_silu": nn.Hardswish,
}  # fmt: skip


def _module(kind: str, config: dict[str, Any], widths: list[int]) -> tuple[nn.Module | None, int]:
    """The PyTorch module of a Keras layer (None if `forward` spells it out), and its number of channels."""
    width = widths[0]
    if kind in ("Add", "Multiply", "Dropout", "SpatialDropout2D"):
        return None, max(widths)
    if kind == "Concatenate":
        return None, sum(widths)
    if kind == "Rescaling":
        return _Scale(config["scale"], config["offset"]), width
    if kind in ("Conv2D", "DepthwiseConv2D", "SeparableConv2D"):
        return _convolution(kind, config, width)
    if kind == "BatchNormalization":
        return nn.BatchNorm2d(width, eps=config["epsilon"], momentum=1 - config["momentum"]), width
    if kind in ("ReLU", "Activation"):
        name = "relu" if kind == "ReLU" else config["activation"]
        return _activation(name), width
    if kind in ("MaxPooling2D", "AveragePooling2D"):
        size, stride = config["pool_size"][0], config["strides"][0]
        padding = (size - 1) // 2 if config["padding"] == "same" else 0
        return (nn.MaxPool2d if kind == "MaxPooling2D" else nn.AvgPool2d)(size, stride, padding), width
    if kind == "GlobalAveragePooling2D":
        return _Mean(config["keepdims"]), width
    if kind == "Reshape" and list(config["target_shape"])[:2] == [1, 1]:
        return _Image(), width
    if kind == "Dense":
        return _with_activation(_Dense(width, config["units"], config["use_bias"]), config), config["units"]
    raise UnknownLayerError(f"layer {kind} is not spelled out in {Path(__file__).name}")


def _convolution(kind: str, config: dict[str, Any], width: int) -> tuple[nn.Module, int]:
    size, stride, bias = config["kernel_size"][0], config["strides"][0], config["use_bias"]
    padding = (size - 1) // 2 if config["padding"] == "same" else 0
    if kind == "Conv2D":
        groups = config.get("groups", 1)
        layer = nn.Conv2d(width, config["filters"], size, stride, padding, groups=groups, bias=bias)
        return _with_activation(layer, config), config["filters"]
    spread = width * config["depth_multiplier"]
    depthwise = nn.Conv2d(width, spread, size, stride, padding, groups=width, bias=bias and kind == "DepthwiseConv2D")
    if kind == "DepthwiseConv2D":
        return _with_activation(depthwise, config), spread
    both = nn.Sequential(depthwise, nn.Conv2d(spread, config["filters"], 1, bias=bias))
    return _with_activation(both, config), config["filters"]


def _activation(name: str) -> nn.Module:
    if name not in _ACTIVATIONS:
        raise UnknownLayerError(f"activation {name} is not spelled out in {Path(__file__).name}")
    return _ACTIVATIONS[name]()


def _with_activation(layer: nn.Module, config: dict[str, Any]) -> nn.Module:
    name = config["activation"]
    return layer if name == "linear" else nn.Sequential(layer, _activation(name))


def _sources(nodes: Any) -> list[str]:
    """The names of the layers whose outputs a layer takes, from Keras 3's `inbound_nodes`."""
    if isinstance(nodes, dict):
        if nodes.get("class_name") == "__keras_tensor__":
            return [nodes["config"]["keras_history"][0]]
        return [name for value in nodes.values() for name in _sources(value)]
    if isinstance(nodes, list):
        return [name for value in nodes for name in _sources(value)]
    return []
