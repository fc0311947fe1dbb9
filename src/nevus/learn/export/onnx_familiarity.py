"""The nodes of a graph that answer how familiar an image is, by the formulas of `familiarity`."""

from __future__ import annotations

import numpy as np
import onnx

from nevus.core.modelfile import FAMILIARITY
from nevus.learn.export.familiarity import ROOT_OFFSET, Familiarity
from nevus.learn.export.onnx_nodes import constant, make_node
from nevus.learn.networks.tensors import FEATURES


def familiarity_nodes(measure: Familiarity) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The last feature maps to the output `familiarity`, float32 [N].

    The squared distance of a to the nearest of the prototypes p is |a|^2 less the largest of 2 a.p - |p|^2.
    """
    ends, slopes, shares = measure.pieces
    weights = {
        "map_axes": np.array([1, 2], dtype=np.int64),
        "last_axis": np.array([1], dtype=np.int64),
        "root_offset": np.array(ROOT_OFFSET, dtype=np.float32),
        "centre": measure.centre,
        "directions": measure.directions,
        "twice_prototypes": 2 * measure.prototypes.T,
        "squared_prototypes": (measure.prototypes**2).sum(axis=1),
        "ends": ends,
        "slopes": slopes,
        "shares": shares,
        "none": np.array(0, dtype=np.float32),
        "all": np.array(1, dtype=np.float32),
    }
    steps = [
        ("ReduceMean", [FEATURES, "map_axes"], "pooled", {"keepdims": 0}),
        ("Abs", ["pooled"], "sizes", {}),
        ("Add", ["sizes", "root_offset"], "offset", {}),
        ("Sqrt", ["offset"], "root_sizes", {}),
        ("Div", ["pooled", "root_sizes"], "roots", {}),
        ("Sub", ["roots", "centre"], "centred", {}),
        ("MatMul", ["centred", "directions"], "whitened", {}),
        ("Mul", ["whitened", "whitened"], "squares", {}),
        ("ReduceSum", ["squares", "last_axis"], "squared_size", {"keepdims": 1}),
        ("MatMul", ["whitened", "twice_prototypes"], "twice_products", {}),
        ("Sub", ["twice_products", "squared_prototypes"], "nearness", {}),
        ("ReduceMax", ["nearness", "last_axis"], "nearest", {"keepdims": 1}),
        ("Sub", ["squared_size", "nearest"], "squared_distance", {}),
        ("Sub", ["ends", "squared_distance"], "before_ends", {}),
        ("Mul", ["before_ends", "slopes"], "parts", {}),
        ("Clip", ["parts", "none", "all"], "covered", {}),
        ("MatMul", ["covered", "shares"], FAMILIARITY, {}),
    ]

    def own(name: str) -> str:
        return name if name in (FEATURES, FAMILIARITY) else f"{FAMILIARITY}/{name}"

    nodes = [
        make_node(kind, [own(name) for name in given], own(output), **options) for kind, given, output, options in steps
    ]
    return nodes, [constant(own(name), value) for name, value in weights.items()]
