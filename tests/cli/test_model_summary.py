"""What the summaries let through: no stranger's lines as ours, no warnings in place of the figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nevus.cli.evaluation_summary import run_summary
from nevus.cli.model_summary import model_summary, shipped_summary
from nevus.core.files import read_json, write_json
from nevus.core.labels import Classes
from nevus.core.runs import Run
from nevus.core.shipped import find_model
from nevus.serve.session import read_spec


def test_words_of_several_lines_are_printed_on_one() -> None:
    path = find_model("compact")
    spec = read_spec(path)
    words = dict.fromkeys(("licence", "trained_on", "intended_use", "limitations"), "said\r\n\tlicence      free")
    hostile = replace(spec, **words)
    for summary in (model_summary, lambda one: shipped_summary(Path(path), one)):
        assert len(summary(hostile).splitlines()) == len(summary(spec).splitlines())
        assert "said licence free" in summary(hostile)


def test_words_that_turn_the_direction_of_a_text_around_are_escaped() -> None:
    path = find_model("compact")
    spec = read_spec(path)
    turned = "licence \u202efree\u2069 of \u200fcharge"
    classes = Classes(("nevus", "mel\u202eanoma"), ("mel\u202eanoma",))
    hostile = replace(spec, licence=turned, network=turned, limitations=turned, classes=classes)
    for summary in (model_summary, lambda one: shipped_summary(Path(path), one)):
        text = summary(hostile)
        assert r"licence \u202efree\u2069 of \u200fcharge" in text
        assert all(character.isprintable() for line in text.splitlines() for character in line)


def test_many_warnings_leave_the_figures_on_the_screen(run_copy: Run) -> None:
    metrics = read_json(run_copy.metrics_json, "")
    write_json(run_copy.metrics_json, {**metrics, "warnings": [f"number {number}" for number in range(12)]})
    lines = run_summary(run_copy).splitlines()
    assert "  Warning: number 4" in lines
    assert f"  7 more warnings in {run_copy.metrics_json}" in lines
    assert sum("number" in line for line in lines) == 5


def test_long_names_of_classes_stay_apart(run_copy: Run) -> None:
    names = ["actinic_keratosis", "basal_cell_carcinoma", "bad\x1b[31m"]
    run_copy.update(split_counts={split: dict.fromkeys(names, 7) for split in ("train", "val", "test")})
    summary = run_summary(run_copy)
    assert "actinic_keratosis  basal_cell_carcinoma" in summary
    assert "\x1b" not in summary
