"""Files of earlier stages: whatever is in them, the report reads them or says what is wrong."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assess.report_runs import make_run
from nevus.assess.evaluation.results import default_point, read_audit, read_metrics, read_parity, read_record
from nevus.assess.pages.report import write_report
from nevus.assess.sections.shapes import count, estimated, flag, known, number, parsed, positive, text
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate
from nevus.core.files import write_json
from nevus.core.runs import Run

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("results"), complete=True)


def ways(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value within a JSON value."""
    if way:
        yield way
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from ways(item, (*way, key))


def test_figures_become_estimates_and_null_becomes_nan() -> None:
    read = parsed({"a": {"value": 1, "low": None, "high": 2.5}}, {"a": estimated, "b?": count}, "file", "advice")
    assert read["a"].value == 1
    assert read["a"].low != read["a"].low
    assert read["b"] is None
    assert isinstance(read["a"], Estimate)


@pytest.mark.parametrize(
    ("shape", "wrong"),
    [
        (number, "1"),
        (number, True),
        (number, float("inf")),
        (known, float("nan")),
        (positive, 0),
        (count, -1),
        (count, 1.5),
        (text, 3),
        (flag, 1),
        (estimated, {"value": 1}),
        ([text], {}),
    ],
)
def test_an_error_names_the_place_and_what_was_expected(shape: Any, wrong: Any) -> None:
    with pytest.raises(RunError, match=r"file: outer\[1\]: inner: expected .*Received: .*Mend it\."):
        parsed({"outer": [{"inner": None}, {"inner": wrong}]}, {"outer": [{"inner?": shape}]}, "file", "Mend it.")


@given(data=st.data())
@settings(max_examples=150)
def test_any_change_of_metrics_is_read_or_refused(run: Run, data: st.DataObject) -> None:
    path = run.metrics_json
    before = path.read_bytes()
    metrics = json.loads(before)
    way = data.draw(st.sampled_from(sorted(ways(metrics), key=str)))
    inner = metrics
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = data.draw(ANY_JSON)
    try:
        path.write_text(json.dumps(metrics))
        with contextlib.suppress(RunError):
            default_point(run, read_metrics(run))
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize("name", ["run_json", "parity_json"])
def test_a_wrong_type_elsewhere_is_refused_too(run: Run, name: str) -> None:
    path: Path = getattr(run, name)
    before = path.read_bytes() if path.exists() else None
    try:
        write_json(path, {"status": 3, "checks": 3})
        with pytest.raises(RunError, match=f"{path.name}.*Run 'nevus"):
            _ = read_record(run), read_parity(run)
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)


def test_the_audit_is_read_worst_first(run: Run) -> None:
    findings = read_audit(run)
    assert findings is not None
    assert [finding["severity"] for finding in findings] == ["error", "info"]


def test_an_audit_of_other_images_is_none(run: Run) -> None:
    path = run.dataset.audit_json
    before = path.read_bytes()
    try:
        write_json(path, {**json.loads(before), "dataset_fingerprint": "0" * 64})
        assert read_audit(run) is None
    finally:
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("temperature",), None),
        (("temperature",), -1),
        (("class_weights",), {"benign": 1.0}),
        (("decision_curve", "test", "model"), []),
        (("screening", "test_without_leaks", "decision_curve", "thresholds"), [0.5]),
        (("triage", "test_without_leaks"), None),
        (("operating_points", 1, "test_without_leaks"), None),
        (("calibration", "test", "after", "reliability"), []),
        (("splits", "test", "roc_auc"), 0.97),
        (("operating_points", 0, "test", "ppv", "value"), "high"),
    ],
)
def test_a_report_of_damaged_figures_is_refused(run: Run, way: tuple[str | int, ...], value: Any) -> None:
    before = run.metrics_json.read_bytes()
    metrics = json.loads(before)
    inner = metrics
    for key in way[:-1]:
        inner = inner[key]
    inner[way[-1]] = value
    try:
        run.metrics_json.write_text(json.dumps(metrics))
        with pytest.raises(RunError, match=r"metrics\.json.*nevus evaluate"):
            write_report(run)
    finally:
        run.metrics_json.write_bytes(before)


def test_a_class_that_a_conformal_set_lacks_is_refused(run: Run) -> None:
    before = run.metrics_json.read_bytes()
    metrics = json.loads(before)
    del metrics["conformal"][1]["test"]["coverage"]["benign"]
    try:
        run.metrics_json.write_text(json.dumps(metrics))
        with pytest.raises(RunError, match=r"metrics\.json: the conformal sets .*nevus evaluate"):
            write_report(run)
    finally:
        run.metrics_json.write_bytes(before)
