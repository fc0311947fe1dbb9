"""What shape each operator of a model file gives, from the shapes of its inputs.

The operators are those of https://onnx.ai/onnx/operators, opset 18. A rule takes the node and its inputs and gives the
shapes of its outputs, and how many multiplications they take where that is more than one or a few for each number. It
raises ValueError, IndexError or TypeError for a graph that makes no sense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.serve.graph_nodes import Node, Shape, Tensor

Inputs = Sequence[Tensor | None]
Rule = Callable[[Node, Inputs], tuple[list[Shape], int]]


def _given(inputs: Inputs, place: int) -> Tensor:
    tensor = inputs[place] if place < len(inputs) else None
    if tensor is None:
        raise ValueError("an input is missing")
    return tensor


def _values(inputs: Inputs, place: int) -> list[int] | None:
    """The whole numbers in an input, None if it is left out."""
    tensor = inputs[place] if place < len(inputs) else None
    if tensor is None:
        return None
    if tensor.value is None:
        raise ValueError("a size depends on the image, or is not a small tensor")
    return [int(value) for value in tensor.value.reshape(-1)]


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank}")
    return axis % rank


def broadcast(*shapes: Shape) -> Shape:
    """The shape of numbers that are worked out one by one from tensors of several shapes."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    sides = []
    for column in zip(*padded, strict=True):
        wide = {side for side in column if side != 1}
        if len(wide) > 1:
            raise ValueError(f"shapes {shapes} do not go together")
        sides.append(wide.pop() if wide else 1)
    return tuple(sides)


def _same(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    return [_given(inputs, 0).shape] * len(node.outputs), 0


def _broadcast(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    return [broadcast(*(tensor.shape for tensor in inputs if tensor))], 0


def _concat(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shapes = [_given(inputs, place).shape for place in range(len(inputs))]
    axis = _axis(node.number("axis", 0), len(shapes[0]))
    return [(*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])], 0


def _constant(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    value = constant_value(node)
    return [value.shape if value is not None else node.attributes["value"].shape], 0


def constant_value(node: Node) -> NDArray[Any] | None:
    """The value of a node 'Constant'; None of a large tensor."""
    ((name, held),) = node.attributes.items()
    if isinstance(held, Tensor):
        return held.value
    if name == "value_float":
        return np.zeros(())  # No size depends on it.
    if name not in ("value_int", "value_ints"):
        raise ValueError(f"a constant by its '{name}'")
    return np.array(held)


def _windows(node: Node, sides: Shape, kernel: Sequence[int]) -> Shape:
    """How many places a window has on each side."""
    rank = len(sides)
    strides, dilations = node.numbers("strides", [1] * rank), node.numbers("dilations", [1] * rank)
    pads = node.numbers("pads", [0] * 2 * rank)
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if not len(kernel) == len(strides) == len(dilations) == rank or len(pads) != 2 * rank or min(strides) < 1:
        raise ValueError("a window of another rank than the image, or without strides")
    places = []
    for at, side in enumerate(sides):
        extent = dilations[at] * (kernel[at] - 1) + 1
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            places.append(ceil(side / strides[at]))
            continue
        padded = side + (pads[at] + pads[at + rank] if automatic == "NOTSET" else 0)
        steps = (padded - extent) / strides[at]
        places.append(max(0, (ceil(steps) if node.number("ceil_mode", 0) else int(steps // 1)) + 1))
    return tuple(places)


def _conv(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    image, kernel = _given(inputs, 0).shape, _given(inputs, 1).shape
    shape = (image[0], kernel[0], *_windows(node, image[2:], kernel[2:]))
    return [shape], prod(shape) * prod(kernel[1:])


def _pool(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    image, kernel = _given(inputs, 0).shape, node.numbers("kernel_shape", [])
    shape = (*image[:2], *_windows(node, image[2:], kernel))
    return [shape] * len(node.outputs), prod(shape) * prod(kernel)


def _global_pool(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    image = _given(inputs, 0).shape
    return [(*image[:2], *(1 for _ in image[2:]))], prod(image)


def _expand(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    return [broadcast(_given(inputs, 0).shape, tuple(_values(inputs, 1) or ()))], 0


def _flatten(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape, axis = _given(inputs, 0).shape, node.number("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return [(prod(shape[:axis]), prod(shape[axis:]))], 0


def _gather(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape, indices = _given(inputs, 0).shape, _given(inputs, 1).shape
    axis = _axis(node.number("axis", 0), len(shape))
    return [(*shape[:axis], *indices, *shape[axis + 1 :])], 0


def _gemm(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    (rows, inner), (other, columns) = _given(inputs, 0).shape, _given(inputs, 1).shape
    if node.number("transA", 0):
        rows, inner = inner, rows
    if node.number("transB", 0):
        other, columns = columns, other
    return [(rows, columns)], rows * columns * max(inner, other)


def _matmul(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    one, other = _given(inputs, 0).shape, _given(inputs, 1).shape
    left = one if len(one) > 1 else (1, *one)
    right = other if len(other) > 1 else (*other, 1)
    sides = ((left[-2],) if len(one) > 1 else ()) + ((right[-1],) if len(other) > 1 else ())
    shape = broadcast(left[:-2], right[:-2]) + sides
    return [shape], prod(shape) * max(left[-1], right[-2])


def _pad(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape = list(_given(inputs, 0).shape)
    pads = node.numbers("pads", []) or _values(inputs, 1) or []
    axes = _values(inputs, 3) or list(range(len(shape)))
    for at, axis in enumerate(axes):
        shape[_axis(axis, len(shape))] += pads[at] + pads[at + len(axes)]
    if min(shape, default=0) < 0:
        raise ValueError("padded to a negative size")
    return [tuple(shape)], 0


def _reduce(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape = _given(inputs, 0).shape
    axes = node.numbers("axes", []) or _values(inputs, 1) or []
    if not axes and node.number("noop_with_empty_axes", 0):
        return [shape], 0
    dropped = {_axis(axis, len(shape)) for axis in axes} or set(range(len(shape)))
    keeps = node.number("keepdims", 1)
    return [tuple(1 if at in dropped else side for at, side in enumerate(shape) if keeps or at not in dropped)], prod(
        shape
    )


def _reshape(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    data, wanted = _given(inputs, 0), _values(inputs, 1) or []
    if not node.number("allowzero", 0):
        wanted = [data.shape[at] if side == 0 else side for at, side in enumerate(wanted)]
    known = prod(side for side in wanted if side != -1)
    sides = [data.size // known if side == -1 else side for side in wanted]
    if wanted.count(-1) > 1 or min(sides, default=0) < 0 or prod(sides) != data.size:
        raise ValueError(f"{data.shape} cannot become {wanted}")
    return [tuple(sides)], 0


def _resize(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    image = _given(inputs, 0).shape
    axes = [_axis(axis, len(image)) for axis in node.numbers("axes", list(range(len(image))))]
    shape = list(image)
    sizes = _values(inputs, 3)
    scales = inputs[2].value if len(inputs) > 2 and inputs[2] is not None and inputs[2].size else None
    for at, axis in enumerate(axes):
        if sizes is not None:
            shape[axis] = sizes[at]
        elif scales is not None:
            shape[axis] = int(image[axis] * float(scales.reshape(-1)[at]))
        else:
            raise ValueError("resized to a size that depends on the image")
    if min(shape, default=0) < 0:
        raise ValueError("resized to a negative size")
    # Antialiased, each number is a mean of all that lie under it, one side after the other.
    return [tuple(shape)], len(shape) * (prod(image) + prod(shape))


def _shape(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    return [(len(shape_value(node, _given(inputs, 0))),)], 0


def shape_value(node: Node, tensor: Tensor) -> NDArray[np.int64]:
    """The value of a node 'Shape'."""
    end = node.attributes.get("end")
    return np.array(tensor.shape[node.number("start", 0) : end if isinstance(end, int) else None], np.int64)


def slices(inputs: Inputs) -> tuple[slice, ...]:
    """What a node 'Slice' takes of each side."""
    shape = _given(inputs, 0).shape
    starts, ends = _values(inputs, 1) or [], _values(inputs, 2) or []
    axes = _values(inputs, 3) or list(range(len(starts)))
    steps = _values(inputs, 4) or [1] * len(starts)
    taken = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        # An end far below 0, going backwards, is before the first.
        backwards_out = step < 0 and end < -shape[_axis(axis, len(shape))]
        taken[_axis(axis, len(shape))] = slice(start, None if backwards_out else end, step)
    return tuple(taken)


def _slice(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape = _given(inputs, 0).shape
    return [tuple(len(range(*one.indices(side))) for one, side in zip(slices(inputs), shape, strict=True))], 0


def _split(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape, count = _given(inputs, 0).shape, len(node.outputs)
    axis = _axis(node.number("axis", 0), len(shape))
    parts = node.numbers("split", []) or _values(inputs, 1) or [ceil(shape[axis] / count)] * count
    return [(*shape[:axis], part, *shape[axis + 1 :]) for part in parts], 0


def _squeeze(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape = _given(inputs, 0).shape
    axes = node.numbers("axes", []) or _values(inputs, 1) or [at for at, side in enumerate(shape) if side == 1]
    dropped = {_axis(axis, len(shape)) for axis in axes}
    return [tuple(side for at, side in enumerate(shape) if at not in dropped)], 0


def _unsqueeze(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape = _given(inputs, 0).shape
    axes = node.numbers("axes", []) or _values(inputs, 1) or []
    added = {_axis(axis, len(shape) + len(axes)) for axis in axes}
    sides = iter(shape)
    return [tuple(1 if at in added else next(sides) for at in range(len(shape) + len(added)))], 0


def _transpose(node: Node, inputs: Inputs) -> tuple[list[Shape], int]:
    shape = _given(inputs, 0).shape
    order = node.numbers("perm", list(range(len(shape)))[::-1])
    if sorted(order) != list(range(len(shape))):
        raise ValueError(f"{shape} in the order {order}")
    return [tuple(shape[at] for at in order)], 0


_BY_RULE: dict[Rule, str] = {
    _same: "Abs BatchNormalization Cast Clip DequantizeLinear Elu Erf Exp Gelu HardSigmoid HardSwish Identity IsNaN "
    "LayerNormalization LeakyRelu Log Neg QuantizeLinear Reciprocal Relu ReverseSequence Sigmoid Softmax Softplus "
    "Softsign Sqrt Tanh",
    _broadcast: "Add Div Equal Max Mean Min Mul PRelu Pow Sub Where",
    _concat: "Concat",
    _constant: "Constant",
    _conv: "Conv",
    _pool: "AveragePool MaxPool",
    _global_pool: "GlobalAveragePool GlobalMaxPool",
    _expand: "Expand",
    _flatten: "Flatten",
    _gather: "Gather",
    _gemm: "Gemm",
    _matmul: "MatMul",
    _pad: "Pad",
    _reduce: "ReduceMax ReduceMean ReduceSum",
    _reshape: "Reshape",
    _resize: "Resize",
    _shape: "Shape",
    _slice: "Slice",
    _split: "Split",
    _squeeze: "Squeeze",
    _unsqueeze: "Unsqueeze",
    _transpose: "Transpose",
}
RULES: dict[str, Rule] = {operator: rule for rule, operators in _BY_RULE.items() for operator in operators.split()}
