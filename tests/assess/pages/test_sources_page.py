"""The page of sources left out: what it shows of each, of all, and of a new one; and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from assess.source_runs import SKILLS, make_run
from nevus.assess.evaluation.sources import measure_sources
from nevus.assess.pages.sources_page import write_sources_page
from nevus.core.errors import RunError
from nevus.core.files import write_json
from nevus.core.runs import Run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("sources") / "run")
    run.left_out["north"].report_html.write_text("the report")
    return run


@pytest.fixture
def copy(finished: Run, tmp_path: Path) -> Run:
    shutil.copytree(finished.directory, tmp_path / "copy")
    return Run(tmp_path / "copy")


def test_the_page_gives_each_source_the_mean_and_the_prediction_interval(finished: Run) -> None:
    page = write_sources_page(finished).read_text(encoding="utf-8")
    result = json.loads(finished.sources_json.read_text())
    area = result["pooled"]["roc_auc"]
    assert f'<p class="big">{area["value"]:.3f}</p>' in page
    assert f"A new source: {area['prediction_low']:.3f} to {area['prediction_high']:.3f}" in page
    for one in result["sources"]:
        assert f"{one['roc_auc']['value']:.3f}" in page
        assert f"{one['roc_auc']['low']:.3f} to {one['roc_auc']['high']:.3f}" in page
    sensitivity = next(one for one in result["pooled"]["operating_points"] if one["name"] == "sensitivity-90")
    assert f"<strong>{100 * sensitivity['sensitivity']['value']:.0f}</strong> are found" in page


def test_a_source_links_to_its_report_where_there_is_one(finished: Run) -> None:
    page = write_sources_page(finished).read_text(encoding="utf-8")
    assert '<a href="without-north/report.html">north</a>' in page
    assert "without-south/report.html" not in page


def test_the_name_of_a_source_cannot_become_markup(finished: Run) -> None:
    page = write_sources_page(finished).read_text(encoding="utf-8")
    assert "with &lt;a&gt; camera" in page
    assert "with <a> camera" not in page


def test_two_sources_have_no_prediction_interval_and_one_no_interval(tmp_path: Path) -> None:
    for number in (2, 1):
        run = make_run(tmp_path / str(number), skills=dict(list(SKILLS.items())[:number]), last_model=False)
        page = write_sources_page(run).read_text(encoding="utf-8")
        assert "no prediction interval, which needs 3 sources or more" in page
        assert ("mean of 2 sources; 95&nbsp;% interval" in page) == (number == 2)
        assert "It is not trained yet." in page


def test_sources_that_are_not_left_out_yet_are_named(copy: Run) -> None:
    copy.left_out["east"].metrics_json.unlink()
    result = measure_sources(copy, default_operating_point="sensitivity-90", bootstrap=100, seed=0)
    assert [one["name"] for one in result["sources"]] == [name for name in SKILLS if name != "east"]
    assert "Not left out yet: east." in write_sources_page(copy).read_text(encoding="utf-8")


def test_other_predictions_are_refused(copy: Run) -> None:
    path = copy.predictions_csv("out_of_source")
    path.write_text(path.read_text().replace("north_1,", "north_one,"))
    with pytest.raises(RunError, match=r"out_of_source\.csv is not the file that .* was made from"):
        write_sources_page(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found["pooled"].pop("slope"), "lacks a field 'slope'"),
        (lambda found: found["pooled"].update(roc_auc=3), "expected a pooled metric"),
        (lambda found: found["pooled"]["roc_auc"].update(tau="x"), "expected a pooled metric"),
        (lambda found: found["sources"].clear(), "has no source"),
        (lambda found: found.update(default_operating_point="x"), "is none of: best-f1"),
        (lambda found: found["sources"][0]["operating_points"].pop(), "other operating points"),
        (lambda found: found.update(schema_version=2), "newer version of Nevus"),
    ],
)
def test_a_damaged_file_is_refused(copy: Run, change, message: str) -> None:
    found = json.loads(copy.sources_json.read_text())
    change(found)
    write_json(copy.sources_json, found)
    with pytest.raises(RunError, match=message):
        write_sources_page(copy)
