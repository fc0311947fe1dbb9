"""Files are made with the onnx package here, and changed without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from linear_models import SIZE, make_model
from nevus.core.clinical import ClinicalHead, Variable
from nevus.core.errors import ModelFileError
from nevus.core.labels import Classes
from nevus.core.modelfile import OUTPUTS
from nevus.core.risk_update import FURTHEST_LOG_ODDS, RiskUpdate, log_odds_of
from nevus.serve.updated_graph import with_update

onnx = pytest.importorskip("onnx")

SEVEN = Classes(("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"), ("akiec", "bcc", "mel"))
TWO = Classes(("malignant", "benign"), ("malignant",))
HEAD = ClinicalHead((Variable("age", centre=50.0, scale=10.0),), np.ones((2, 7), np.float32))
PIXELS = np.random.default_rng(0).integers(0, 256, (20, SIZE, SIZE, 3), dtype=np.uint8)


def answers(content: bytes, **given: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found: list[NDArray[np.float32]] = session.run(list(OUTPUTS), {"pixels": PIXELS, **given})
    return found


def check_updated(content: bytes, classes: Classes, update: RiskUpdate, **given: NDArray[np.float32]) -> bytes:
    """Updates a file, and compares it with the formula; gives the new file."""
    updated = with_update(content, update, classes.malignant_mask)
    onnx.checker.check_model(onnx.load_from_string(updated), full_check=True)
    before, _, heatmap = answers(content, **given)
    probabilities, risk, heatmap_after = answers(updated, **given)
    expected = update.of_probabilities(before, classes.malignant_mask)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(risk, expected[:, classes.malignant_mask].sum(axis=1), rtol=0, atol=2e-6)
    np.testing.assert_array_equal(heatmap, heatmap_after)
    return updated


@pytest.mark.parametrize("update", [RiskUpdate(-1.5, 1.0), RiskUpdate(2.0, 0.3), RiskUpdate(0.5, 2.5)])
@pytest.mark.parametrize("classes", [TWO, SEVEN], ids=["two", "seven"])
def test_the_graph_works_out_the_update(classes: Classes, update: RiskUpdate) -> None:
    check_updated(make_model(classes).SerializeToString(), classes, update)


def test_probabilities_sum_to_1_and_ratios_within_malignant_and_within_benign_stay() -> None:
    content = make_model(SEVEN, scale=3.0).SerializeToString()
    before = answers(content)[0]
    after = answers(with_update(content, RiskUpdate(-1.0, 0.5), SEVEN.malignant_mask))[0]
    np.testing.assert_allclose(after.sum(axis=1), 1.0, atol=1e-6)
    for kind in (SEVEN.malignant_mask, ~SEVEN.malignant_mask):
        shares = [one[:, kind] / one[:, kind].sum(axis=1, keepdims=True) for one in (before, after)]
        np.testing.assert_allclose(*shares, atol=1e-5)
    odds = [log_odds_of(one, SEVEN.malignant_mask) for one in (before, after)]
    np.testing.assert_allclose(odds[1], -1.0 + 0.5 * odds[0], atol=1e-4)


def test_saturated_answers_stay_finite_and_in_order() -> None:
    content = make_model(TWO, scale=500.0).SerializeToString()
    odds = log_odds_of(answers(content)[0], TWO.malignant_mask)
    assert np.abs(odds).max() == FURTHEST_LOG_ODDS
    check_updated(content, TWO, RiskUpdate(1.0, 0.1))


def test_ensembles_clinical_inputs_and_updated_files_are_updated() -> None:
    from nevus.learn.export import onnx_graph

    ensemble = onnx_graph.average([make_model(SEVEN), make_model(SEVEN, scale=3.0)]).SerializeToString()
    check_updated(ensemble, SEVEN, RiskUpdate(-1.0, 0.5))
    clinical = make_model(SEVEN, HEAD).SerializeToString()
    age = np.full((len(PIXELS), 1), 70.0, np.float32)
    check_updated(clinical, SEVEN, RiskUpdate(-1.0, 0.5), metadata=age)
    twice = check_updated(check_updated(clinical, SEVEN, RiskUpdate(1.0, 0.5)), SEVEN, RiskUpdate(-0.5, 1.5))
    assert twice.count(b"update_2/intercept") > 0


@pytest.mark.parametrize("content", [b"", b"not an ONNX file", (Path(__file__).read_bytes())])
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ModelFileError):
        with_update(content, RiskUpdate(1.0), TWO.malignant_mask)
