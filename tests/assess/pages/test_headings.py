"""Every table shows each metric under its own heading: each metric is given a number of its own, and looked for.

The titles are here once more on purpose: a heading that moves to another metric's numbers must not move both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from assess.fold_runs import make_cross_validation
from assess.report_runs import make_run
from assess.simulated_runs import CLASSES, make_predictions
from assess.simulated_runs import make_run as make_run_of_classes
from assess.source_runs import make_run as make_run_of_sources
from nevus.assess.evaluation.compare import compare, format_comparison
from nevus.assess.evaluation.cross_validation import cross_validate
from nevus.assess.pages.comparison_page import write_comparison
from nevus.assess.pages.cross_validation_page import write_cross_validation_page
from nevus.assess.pages.report import write_report
from nevus.assess.pages.sources_page import write_sources_page
from nevus.core.files import read_json, write_json
from nevus.core.runs import Run

TITLES = {
    "roc_auc": ["ROC-AUC"],
    "average_precision": ["Average precision"],
    "brier": ["Brier score"],
    "sensitivity": ["Sensitivity", "Sensitivity of the most probable class"],
    "specificity": ["Specificity"],
    "ppv": ["PPV", "PPV of the most probable class"],
    "npv": ["NPV"],
    "f1": ["F1"],
    "accuracy": ["Accuracy"],
    "balanced_accuracy": ["Balanced accuracy"],
    "kappa": ["Cohen's kappa", "Kappa"],
    "macro_roc_auc": ["Macro ROC-AUC"],
    "weighted_roc_auc": ["Weighted ROC-AUC"],
    "macro_average_precision": ["Macro average precision"],
    "weighted_average_precision": ["Weighted average precision"],
    "top_2_accuracy": ["Top-2 accuracy"],
    "ece": ["ECE", "Expected calibration error"],
    "slope": ["Slope"],
    "intercept": ["Intercept"],
}
NUMBERS = {name: 0.101 + 0.007 * place for place, name in enumerate(TITLES)}
NAMES = {title: name for name, titles in TITLES.items() for title in titles}
OF_THE_RISK = {"roc_auc", "average_precision", "brier"}
OF_DECISIONS = {"sensitivity", "specificity", "ppv", "npv", "f1", "accuracy", "balanced_accuracy", "kappa"}
OF_CALIBRATION = {"ece", "slope", "intercept"}
OF_CLASSES = {
    *("macro_roc_auc", "weighted_roc_auc", "macro_average_precision", "weighted_average_precision"),
    *("balanced_accuracy", "kappa", "accuracy", "top_2_accuracy"),
}


def numbered(data: Any, name: str = "") -> Any:
    """JSON in which every estimate, mean over folds and number of a metric is the metric's own number."""
    if isinstance(data, list):
        return [numbered(item, name) for item in data]
    if not isinstance(data, dict):
        return NUMBERS[name] if name in NUMBERS and isinstance(data, float) else data
    if name in NUMBERS and data.keys() >= {"value", "low", "high"}:
        predicted = {"prediction_low": NUMBERS[name]} if "prediction_low" in data else {}
        return {
            **data,
            "value": NUMBERS[name],
            "low": NUMBERS[name] - 0.001,
            "high": NUMBERS[name] + 0.001,
            **predicted,
        }
    if name in NUMBERS and "mean" in data:
        return {**data, "mean": NUMBERS[name]}
    return {key: numbered(item, key) for key, item in data.items()}


def with_numbers(path: Path) -> None:
    write_json(path, numbered(json.loads(path.read_text(encoding="utf-8"))))


class Tables(HTMLParser):
    """The tables of a page: for each its rows, each a list of cells, each the text that comes first in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._depth = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._depth = 1
        elif self._depth:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if self._depth:
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._depth == 1:
            self.tables[-1][-1][-1] += data.strip()


def shown(run_page: Path) -> Iterator[tuple[str, str]]:
    """The heading and the text of each cell that is in a column or a row of a metric's title."""
    for headings, *rows in Tables(run_page.read_text(encoding="utf-8")).tables:
        for row in rows:
            assert len(row) == len(headings), (headings, row)
            for heading, cell in zip(headings[1:], row[1:], strict=True):
                title = heading if heading in NAMES else row[0]
                if title in NAMES and cell:
                    yield title, cell


def check_page(page: Path, expected: set[str]) -> None:
    """Every cell under a metric's title begins with its number, and all the expected metrics are there."""
    found = set()
    for title, cell in shown(page):
        number = NUMBERS[NAMES[title]]
        assert cell.split()[0].rstrip("\N{NO-BREAK SPACE}%") in (f"{number:.3f}", f"{100 * number:.1f}"), (title, cell)
        found.add(NAMES[title])
    assert found == expected


def check_text(text: str, expected: set[str]) -> None:
    """A text in which a metric's title is followed by its number, for each of the expected metrics."""
    for name in expected:
        titles = "|".join(re.escape(title) for title in TITLES[name])
        found = re.findall(rf"(?<![\w-] )\b(?:{titles})(?: at [\w-]+)?:? +(-?\d\.\d+)", text, re.IGNORECASE)
        assert found, name
        assert set(found) == {f"{NUMBERS[name]:.3f}"}, (name, found)


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("headings"), complete=True)
    with_numbers(run.metrics_json)
    write_report(run)
    return run


@pytest.fixture(scope="module")
def of_classes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("classes")
    run = make_run_of_classes(
        folder / "run", {split: make_predictions(split, 120, seed) for seed, split in enumerate(("val", "test"))}
    )
    with_numbers(run.metrics_json)
    return run


def test_the_report(complete: Run) -> None:
    check_page(complete.report_html, OF_THE_RISK | OF_DECISIONS | OF_CALIBRATION)


def test_the_model_card(complete: Run) -> None:
    text = complete.model_card_md.read_text(encoding="utf-8").replace("\\", "")
    check_text(text, {"roc_auc", "average_precision", "brier", "sensitivity", "specificity", *OF_CALIBRATION} - {"ece"})
    head = re.findall(r'type: "(\w+)"\n +name: "[^"]+"\n +value: ([\d.]+)', text)
    assert set(head) == {
        (kind, str(round(NUMBERS[name], 4)))
        for kind, name in {
            "roc_auc": "roc_auc",
            "average_precision": "average_precision",
            "brier_score": "brier",
            "recall": "sensitivity",
            "specificity": "specificity",
        }.items()
    }


def test_the_terminal(complete: Run) -> None:
    from nevus.cli.evaluation_summary import run_summary

    text = run_summary(complete)
    check_text(text, OF_THE_RISK)
    check_columns(text)


def check_columns(text: str) -> None:
    """The tables of operating points: numbers in each row under their headings, which can be in any order."""
    lines = text.splitlines()
    places = [index for index, line in enumerate(lines) if re.search(r"Sensitivity +Specificity", line)]
    assert places
    for place in places:
        headings = re.findall("|".join(NAMES), lines[place])
        assert {NAMES[heading] for heading in headings} == {"sensitivity", "specificity", "f1", "accuracy"}
        for line in lines[place + 1 : place + 6]:
            numbers = re.sub(r"\(.*?\)", "", line).split()[-4:]
            assert numbers == [f"{NUMBERS[NAMES[heading]]:.3f}" for heading in headings]


def test_several_classes_on_the_terminal(of_classes: Run) -> None:
    from nevus.cli.evaluation_summary import _class_lines

    found = read_json(of_classes.metrics_json, "")["classification"]["test"]
    text = "\n".join(_class_lines(found))
    check_text(text, OF_CLASSES - {"weighted_roc_auc", "weighted_average_precision"})
    for name in CLASSES.names:
        assert re.search(rf"{name} +{NUMBERS['roc_auc']:.3f} \(.*\) +{NUMBERS['sensitivity']:.3f} \(", text)


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, of_classes: Run) -> tuple[list[Run], dict[str, Any]]:
    runs = [of_classes, of_classes]
    made = compare(runs)
    # Differences are computed from the predictions, and get their numbers here.
    return runs, numbered(made)


def test_the_page_of_a_comparison(comparison: tuple[list[Run], dict[str, Any]], tmp_path: Path) -> None:
    runs, found = comparison
    write_comparison(runs, found, tmp_path / "comparison.html")
    check_page(tmp_path / "comparison.html", OF_THE_RISK | OF_DECISIONS | OF_CLASSES)


def test_a_comparison_on_the_terminal(comparison: tuple[list[Run], dict[str, Any]]) -> None:
    text = format_comparison(comparison[1])
    check_text(text, (OF_THE_RISK | OF_DECISIONS | OF_CLASSES) - {"balanced_accuracy", "kappa"})


def test_the_page_and_the_summary_of_a_cross_validation(tmp_path: Path) -> None:
    from nevus.cli.evaluation_summary import cross_validation_summary

    run = make_cross_validation(tmp_path)
    cross_validate(run, default_operating_point="youden", bootstrap=100, seed=0, prevalence=0.02)
    with_numbers(run.cross_validation_json)
    write_cross_validation_page(run)
    check_page(run.report_html, OF_THE_RISK | OF_DECISIONS | OF_CALIBRATION)
    text = cross_validation_summary(run)
    check_text(text, OF_THE_RISK)
    check_columns(text)


def test_each_table_of_sources_left_out_has_each_metric_under_its_heading(tmp_path: Path) -> None:
    run = make_run_of_sources(tmp_path / "run")
    with_numbers(run.sources_json)
    check_page(write_sources_page(run), OF_THE_RISK | {"slope", "intercept", "sensitivity", "specificity"})
