"""How much a graph computes and holds, worked out before it runs: a file of kilobytes can ask for hours and terabytes.

Each operator's shape follows from those of its inputs (`operator_shapes`), from the image's size on, which the
description states. What depends on no image is worked out by ONNX Runtime when it opens a file, and is held for as long
as the file is open, so less is allowed of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.core.errors import ModelFileError
from nevus.serve.graph_nodes import MOST_VALUES, Graph, Node, Tensor
from nevus.serve.operator_shapes import RULES, constant_value, shape_value, slices

# Numbers in one tensor, and in all that must be held at a time: 1 GiB in single precision. The largest of the networks
# that Nevus trains, at 512 x 512 pixels and four images, holds a third of that.
MOST_HELD = 2**28
# Multiplications of a pass. The largest network of the eleven takes 2**36 for four images of its own size.
MOST_WORK = 2**39
# One that is not a multiplication with an addition takes longer: powers, exponentials and the like.
_WORK_OF_A_NUMBER = 16
# Worked out at opening, besides as much as the weights in the file are themselves.
MOST_CONSTANTS = 2**22
MOST_CONSTANT_WORK = 2**30

# Of the sizes and axes that a graph works out for itself, a few numbers each.
_EVALUATED = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Max": np.maximum,
    "Min": np.minimum,
}


def check_size(graph: Graph, image_size: int, num_images: int) -> None:
    """Checks how large the intermediate results of a graph become, and how long they take.

    Args:
        graph: of a model file.
        image_size: side in pixels of the images that it is given.
        num_images: in a pass.

    Raises:
        ModelFileError: they are too large, take too long, or depend on what the image shows.
    """
    tensors = {
        **{name: _input(shape, image_size, num_images) for name, shape in graph.inputs.items()},
        # An input with a default is a weight too.
        **graph.weights,
    }
    last_use = {name: place for place, node in enumerate(graph.nodes) for name in node.inputs}
    work = constants = constant_work = held = 0
    for place, node in enumerate(graph.nodes):
        inputs = [tensors.get(name) if name else None for name in node.inputs]
        if any(name and name not in tensors for name in node.inputs):
            raise ModelFileError(f"an operation {node.operator} comes before what it works on")
        outputs, multiplications = _run(node, inputs)
        size = sum(tensor.size for tensor in outputs)
        needed = multiplications + _WORK_OF_A_NUMBER * size
        if outputs[0].is_constant:
            constants, constant_work = constants + size, constant_work + needed
        else:
            work, held = work + needed, held + size
        tensors.update(zip(node.outputs, outputs, strict=False))
        if held > MOST_HELD or work > MOST_WORK:
            raise ModelFileError(
                f"it would take more than a model may: up to operation {place + 1:,}, {node.operator}, "
                f"{4 * held / 2**20:,.0f} MiB at a time and {work:,} multiplications"
            )
        held -= sum(
            tensors[name].size
            for name in {*node.inputs, *node.outputs}
            if name and not tensors[name].is_constant and name not in graph.inputs and last_use.get(name, -1) <= place
        )
    weights = sum(tensor.size for tensor in graph.weights.values())
    if constants > MOST_CONSTANTS + 2 * weights or constant_work > MOST_CONSTANT_WORK + _WORK_OF_A_NUMBER * 2 * weights:
        raise ModelFileError(
            f"{4 * constants / 2**20:,.0f} MiB of it are constants to be worked out when it is opened, by "
            f"{constant_work:,} multiplications"
        )


def _input(shape: tuple[int | None, ...], image_size: int, num_images: int) -> Tensor:
    """An input as Nevus gives it: images that are resized already, or clinical values."""
    given = (num_images, image_size, image_size, 3)
    return Tensor(tuple(side if side is not None else given[min(at, 3)] for at, side in enumerate(shape)))


def _run(node: Node, inputs: list[Tensor | None]) -> tuple[list[Tensor], int]:
    """The outputs of a node, without their numbers unless they are sizes, and the multiplications that it takes."""
    try:
        shapes, multiplications = RULES[node.operator](node, inputs)
        given = [tensor for tensor in inputs if tensor]
        is_constant = all(tensor.is_constant for tensor in given) or node.operator == "Shape"
        value = _value(node, inputs) if is_constant and Tensor(shapes[0]).size <= MOST_VALUES else None
    except (ValueError, IndexError, TypeError, KeyError, AttributeError, ArithmeticError) as problem:
        raise ModelFileError(
            f"the size of what its operation {node.operator} gives cannot be told ({problem})"
        ) from None
    outputs = [Tensor(shape, value if at == 0 else None, is_constant) for at, shape in enumerate(shapes)]
    return outputs, multiplications


def _value(node: Node, inputs: list[Tensor | None]) -> NDArray[Any] | None:
    """What a node gives that works on sizes; None if it is none of those that exporters use for that."""
    if node.operator == "Constant":
        return constant_value(node)
    if node.operator == "Shape":
        assert inputs[0] is not None
        return shape_value(node, inputs[0])
    values = [tensor.value if tensor else None for tensor in inputs]
    first = values[0] if values else None
    if first is None or any(value is None for value, tensor in zip(values, inputs, strict=True) if tensor):
        return None
    known = [value for value in values if value is not None]
    result: NDArray[Any] | None = None
    if node.operator in ("Cast", "Identity"):
        result = first.astype(np.int64) if node.attributes.get("to") in (6, 7) else first
    elif node.operator in _EVALUATED and len(known) == 2:
        result = _EVALUATED[node.operator](*known)
    elif node.operator == "Div" and known[1].all():
        result = first // known[1] if first.dtype.kind in "iu" else first / known[1]
    elif node.operator == "Concat":
        result = np.concatenate(known, axis=node.number("axis", 0))
    elif node.operator == "Gather":
        result = np.take(first, known[1].astype(np.int64), axis=node.number("axis", 0))
    elif node.operator == "Slice":
        result = first[slices(inputs)]
    elif node.operator in ("Squeeze", "Unsqueeze", "Reshape", "Flatten"):
        result = first.reshape(RULES[node.operator](node, inputs)[0][0])
    return result
