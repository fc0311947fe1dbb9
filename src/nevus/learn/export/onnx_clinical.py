"""The optional input of a graph: clinical values, encoded by nodes and added to the logits of the image."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from nevus.core.clinical import FURTHEST, ClinicalHead
from nevus.core.modelfile import CLINICAL_INPUT
from nevus.learn.export.onnx_nodes import constant, make_node
from nevus.learn.networks.tensors import LOGITS


def clinical_nodes(head: ClinicalHead) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Clinical values, float32 [N, M] or the default [1, M], to what they add; the last node gives the logits.

    The formulas are those of `nevus.core.clinical.encode`, with the numbers of the encoding in another order:
    all indicators, all scaled numbers, all categories. An initializer of the input's name is its default (ONNX IR
    version 4 and later): every value missing, so that pixels alone are a whole question.
    """
    starts = np.cumsum([0, *(variable.size for variable in head.variables)])
    numbers = [place for place, variable in enumerate(head.variables) if variable.is_number]
    categories = [
        (place, code) for place, variable in enumerate(head.variables) for code in range(len(variable.categories))
    ]
    order = [*starts[:-1], *(starts[place] + 1 for place in numbers)]
    order += [starts[place] + 1 + code for place, code in categories]
    weights = [
        constant(CLINICAL_INPUT, np.full((1, len(head.variables)), np.nan, dtype=np.float32)),
        constant("metadata/weights", head.weights[order]),
    ]
    nodes = [
        make_node("IsNaN", [CLINICAL_INPUT], "metadata/are_missing"),
        make_node("Cast", ["metadata/are_missing"], "metadata/missing", to=TensorProto.FLOAT),
    ]
    parts = ["metadata/missing"]
    if numbers:
        scaling = [(head.variables[place].centre, head.variables[place].scale) for place in numbers]
        centre, scale = np.array(scaling, dtype=np.float32).T
        weights += [
            constant("metadata/number_places", np.array(numbers, dtype=np.int64)),
            constant("metadata/centre", centre),
            constant("metadata/scale", scale),
            constant("metadata/nearest", np.array(-FURTHEST, dtype=np.float32)),
            constant("metadata/furthest", np.array(FURTHEST, dtype=np.float32)),
        ]
        nodes += [
            make_node("Gather", [CLINICAL_INPUT, "metadata/number_places"], "metadata/numbers", axis=1),
            make_node("IsNaN", ["metadata/numbers"], "metadata/no_numbers"),
            # What is missing is at the centre, which adds nothing.
            make_node("Where", ["metadata/no_numbers", "metadata/centre", "metadata/numbers"], "metadata/filled"),
            make_node("Sub", ["metadata/filled", "metadata/centre"], "metadata/centred"),
            make_node("Div", ["metadata/centred", "metadata/scale"], "metadata/standardised"),
            make_node("Clip", ["metadata/standardised", "metadata/nearest", "metadata/furthest"], "metadata/scaled"),
        ]
        parts.append("metadata/scaled")
    if categories:
        places, codes = zip(*categories, strict=True)
        weights += [
            constant("metadata/category_places", np.array(places, dtype=np.int64)),
            constant("metadata/codes", np.array(codes, dtype=np.float32)),
        ]
        nodes += [
            make_node("Gather", [CLINICAL_INPUT, "metadata/category_places"], "metadata/given", axis=1),
            make_node("Equal", ["metadata/given", "metadata/codes"], "metadata/is_category"),
            make_node("Cast", ["metadata/is_category"], "metadata/categories", to=TensorProto.FLOAT),
        ]
        parts.append("metadata/categories")
    nodes += [
        make_node("Concat", parts, "metadata/encoded", axis=1),
        make_node("MatMul", ["metadata/encoded", "metadata/weights"], "metadata/logits"),
        make_node("Add", [LOGITS, "metadata/logits"], "metadata/logits_with_metadata"),
    ]
    return nodes, weights
