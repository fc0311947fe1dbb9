from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from nevus.core.modelfile import DISCLAIMER
from nevus.serve.output import write_csv, write_json, write_table
from nevus.serve.predictor import Prediction, load

SPEC = load(Path(__file__).with_name("darkness.onnx")).spec
PREDICTIONS = [
    Prediction("a.jpg", 0.75, True, "youden", {"benign": 0.25, "malignant": 0.75}, "uncertain",
               familiarity=0.4375, unfamiliar=False),
    Prediction("b, \"c\"\n\x1b[31m.jpg", 0.125, False, "youden", {"benign": 0.875, "malignant": 0.125}, "low",
               familiarity=0.0, unfamiliar=True),
    Prediction("bytes\udcff.jpg", None, None, "youden", {}, error="empty file", error_code="not_readable"),
]  # fmt: skip


@pytest.mark.parametrize("write", [write_table, write_csv, write_json])
def test_writers_count_failures_and_can_be_encoded(write: object) -> None:
    file = io.StringIO()
    refused = Prediction("cat.jpg", None, None, "youden", {}, error="a cat", error_code="not_dermoscopic")
    unavailable = Prediction("dog.jpg", None, None, "youden", {}, error="Stale file handle", error_code="unavailable")
    assert write([*PREDICTIONS, refused, refused, unavailable], SPEC, file) == (1, 2, 1)
    file.getvalue().encode("utf-8")


@pytest.mark.parametrize("write", [write_table, write_csv, write_json])
def test_writers_write_each_prediction_as_it_comes(write: object) -> None:
    file = io.StringIO()
    lengths = []

    def stream() -> object:
        for prediction in itertools.islice(itertools.cycle(PREDICTIONS), 9):
            lengths.append(len(file.getvalue()))
            yield prediction

    write(stream(), SPEC, file)
    assert lengths == sorted(set(lengths))


def test_table_is_aligned_and_safe_for_a_terminal() -> None:
    file = io.StringIO()
    write_table(PREDICTIONS, SPEC, file)
    first, triage, familiar, disclaimer, blank, heading, *rows = file.getvalue().split("\n")[:-1]
    assert "0.5 or more (operating point youden)" in first
    assert triage == "Triage: low below 0.2, high from 0.8 on, uncertain between."
    assert "Below 0.02 an image is unlike the images this model learned from." in familiar
    assert disclaimer == DISCLAIMER
    assert blank == ""
    assert len(rows) == 3
    assert {row.index(name) for row, name in zip(rows, ("a.jpg", "b, ", "bytes"), strict=True)} == {
        heading.index("file")
    }
    assert rows[0].split()[:6] == ["0.750", "malignant", "uncertain", "0.44", "0.250", "0.750"]
    assert rows[1].split()[3] == "unlike"
    assert "\x1b" not in file.getvalue()
    assert rows[2].endswith("bytes\\udcff.jpg: empty file")


def test_the_table_tells_refused_images_from_those_that_cannot_be_used() -> None:
    file = io.StringIO()
    refused = Prediction("cat.jpg", None, None, "youden", {}, error="not a lesion", error_code="not_dermoscopic")
    write_table([PREDICTIONS[2], refused], SPEC, file)
    failed, last = file.getvalue().split("\n")[-3:-1]
    assert failed.split()[:2] == ["-", "error"]
    assert last.split()[:2] == ["-", "refused"]
    assert last.endswith("cat.jpg: not a lesion")
    assert failed.index("bytes") == last.index("cat.jpg")


def test_table_has_a_column_for_the_risk_at_a_prevalence() -> None:
    file = io.StringIO()
    predictions = [replace(one, prevalence=0.0176) for one in PREDICTIONS]
    predictions[0] = replace(predictions[0], risk_at_prevalence=0.074609)
    predictions[1] = replace(predictions[1], risk_at_prevalence=0.003821)
    write_table(predictions, SPEC, file)
    lines = file.getvalue().split("\n")[:-1]
    assert "1.76 of 100 lesions are malignant, by Bayes' theorem; the risk itself assumes 40 of 100." in lines[2]
    assert [line.split()[1] for line in lines[-4:]] == ["there", "0.0746", "0.0038", "-"]
    assert {row.index(name) for row, name in zip(lines[-3:], ("a.jpg", "b, ", "bytes"), strict=True)} == {
        lines[-4].index("file")
    }


def test_the_table_of_a_model_that_does_not_tell_familiarity_has_no_column_for_it() -> None:
    file = io.StringIO()
    silent = [replace(one, familiarity=None, unfamiliar=None) for one in PREDICTIONS]
    write_table(silent, replace(SPEC, familiarity=None), file)
    assert "amiliar" not in file.getvalue()
    *_, heading, first, _, _ = file.getvalue().split("\n")[:-1]
    assert first.index("a.jpg") == heading.index("file")


def test_csv_reads_back() -> None:
    file = io.StringIO(newline="")
    write_csv(PREDICTIONS, SPEC, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert list(rows[0]) == [
        "file", "risk", "decision", "operating_point", "threshold", "triage", "prevalence", "risk_at_prevalence",
        "familiarity", "unfamiliar", "p_benign", "p_malignant", "error", "error_code", "note",
    ]  # fmt: skip
    assert rows[0]["risk"] == "0.75"
    assert rows[0]["decision"] == "malignant"
    assert rows[1]["file"] == PREDICTIONS[1].source
    assert [(row["familiarity"], row["unfamiliar"]) for row in rows] == [("0.4375", "false"), ("0.0", "true"), ("", "")]
    assert rows[2]["risk"] == rows[2]["decision"] == rows[2]["p_benign"] == ""
    assert (rows[2]["error"], rows[2]["error_code"]) == ("empty file", "not_readable")


def test_json_reads_back_line_by_line() -> None:
    file = io.StringIO()
    write_json(PREDICTIONS, SPEC, file)
    records = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [record["file"] for record in records] == [p.source for p in PREDICTIONS]
    assert records[0] == {
        "file": "a.jpg", "risk": 0.75, "decision": "malignant", "operating_point": "youden", "threshold": 0.5,
        "triage": "uncertain", "prevalence": None, "risk_at_prevalence": None,
        "familiarity": 0.4375, "unfamiliar": False,
        "probabilities": {"benign": 0.25, "malignant": 0.75}, "error": None, "error_code": None, "note": None,
    }  # fmt: skip
    assert records[2]["risk"] is records[2]["decision"] is None


def test_csv_has_no_formulas() -> None:
    file = io.StringIO(newline="")
    names = ['=HYPERLINK("http:evil")', "+1", "-1", "@SUM(1)", "\ttab", "\rreturn", "good=.jpg"]
    write_csv([replace(PREDICTIONS[2], source=name, error=name) for name in names], SPEC, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue(), newline="")))
    assert [row["file"] for row in rows] == [f"'{name}" for name in names[:-2]] + ["'\\rreturn", "good=.jpg"]
    assert [row["error"] for row in rows] == [row["file"] for row in rows]
