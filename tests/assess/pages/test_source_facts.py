"""The report and the card of a model open with what its recipe did at sources left out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from assess.report_runs import make_run
from assess.source_runs import make_run as make_run_of_sources
from nevus.assess.pages.report import write_report
from nevus.assess.pages.source_facts import NOT_MEASURED
from nevus.assess.pages.sources_page import write_sources_page
from nevus.core.errors import RunError
from nevus.core.files import write_json
from nevus.core.runs import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = make_run_of_sources(tmp_path_factory.mktemp("sources") / "left out")
    write_sources_page(made)
    config = json.loads(made.config_json.read_text())
    write_json(made.config_json, {**config, "epochs": 7})
    return made


def test_the_card_opens_with_sources_left_out_then_stress_then_the_test(run: Run, sources: Run) -> None:
    write_report(run, sources)
    card = run.model_card_md.read_text(encoding="utf-8")
    first = card[card.index("\n## ") : card.index("\n## ", card.index("\n## ") + 1)]
    assert first.startswith("\n## What to expect")
    places = [
        first.index(name) for name in ("**At a source that it", "**When the picture", "**Results on images of its")
    ]
    assert places == sorted(places)
    found = json.loads(sources.sources_json.read_text())
    for one in found["sources"]:
        area = one["roc_auc"]
        assert f"ROC-AUC {area['value']:.3f} (95 % interval {area['low']:.3f} to {area['high']:.3f})" in first
    predicted = found["pooled"]["roc_auc"]
    text = f"{predicted['prediction_low']:.3f} to {predicted['prediction_high']:.3f}"
    assert f"a new source, with 95 % prediction intervals: ROC-AUC {text}" in first
    assert "Unlike this model, these models have other options (epochs) and they were trained on another" in first
    assert "camera" in first
    assert "<a>" not in card.split("---")[2]


def test_hubs_read_the_sources_left_out_first(run: Run, sources: Run) -> None:
    write_report(run, sources)
    head = run.model_card_md.read_text(encoding="utf-8").split("---")[1]
    names = re.findall(r"dataset:\n +name: (.*)", head)
    assert [name.endswith('(left out of training)"') for name in names] == [True] * 4 + [False]
    found = json.loads(sources.sources_json.read_text())["sources"][0]
    point = next(one for one in found["operating_points"] if one["name"] == "sensitivity-90")
    first = head.split("(left out of training)")[1]
    assert f"value: {round(found['roc_auc']['value'], 4)}" in first
    assert f"value: {round(point['specificity']['value'], 4)}" in first


def test_the_report_shows_them_first_and_links_to_their_page(run: Run, sources: Run) -> None:
    page = write_report(run, sources).read_text(encoding="utf-8")
    area = json.loads(sources.sources_json.read_text())["pooled"]["roc_auc"]
    assert page.index("ROC-AUC at a source that it has not seen") < page.index("Test ROC-AUC, on images of its own")
    assert f"<strong>a new source: {area['prediction_low']:.3f} to {area['prediction_high']:.3f}</strong>" in page
    (link,) = re.findall(r'<a href="([^"]+)">All about sources left out</a>', page)
    assert link.endswith("left%20out/sources.html")


def test_a_run_without_them_says_so(run: Run) -> None:
    page = write_report(run).read_text(encoding="utf-8")
    assert "At a source that it has not seen:** " + NOT_MEASURED in run.model_card_md.read_text(encoding="utf-8")
    assert "ROC-AUC at a source that it has not seen" not in page


def test_a_run_that_left_no_source_out_is_refused(run: Run, tmp_path: Path) -> None:
    other = make_run(tmp_path)
    with pytest.raises(RunError, match=r"left no source out\. Expected the folder of a run that was made with"):
        write_report(run, other)
