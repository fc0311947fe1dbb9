"""Whether a model still gives the answers that its description has for the golden inputs, on this machine."""

from __future__ import annotations

import numpy as np

from nevus.core.errors import ModelFileError
from nevus.core.modelfile import GoldenCase, golden_pixels
from nevus.serve.prediction import Answer
from nevus.serve.predictor import Predictor

# As for a file whose description is rewritten: machines differ by less, another graph by more.
_TOLERANCE = 0.01
# Larger inputs, of which a description may have any, cost more time than they tell.
_MOST_PIXELS = 2**22


def check_golden(predictor: Predictor) -> int:
    """Asks a model for its golden inputs.

    Returns:
        How many there are.

    Raises:
        ModelFileError: it answers otherwise than its description says.
    """
    cases = [case for case in predictor.spec.golden if case.height * case.width <= _MOST_PIXELS]
    for case in cases:
        golden_answer(predictor, case)
    return len(cases)


def golden_answer(predictor: Predictor, case: GoldenCase) -> Answer:
    """What a model answers for a golden input, which must be what its file describes; errors as for `check_golden`."""
    (answer,) = predictor.answer(golden_pixels(case.height, case.width)[np.newaxis], heatmap=False)
    found, expected = ([float(value) for value in (*one.probabilities, one.risk)] for one in (answer, case))
    if not np.allclose(found, expected, rtol=0, atol=_TOLERANCE):
        shown = [", ".join(f"{value:.4f}" for value in values) for values in (found, expected)]
        raise ModelFileError(
            f"{predictor.path} gives the probabilities and the risk {shown[0]} for the golden input of {case.height} x "
            f"{case.width}, and describes {shown[1]}. The file, or ONNX Runtime on this machine, is not to be trusted: "
            "copy or export the model again."
        )
    return answer
