"""The figures: what they show, and the form in which they leave."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.cbook import pts_to_poststep
from matplotlib.figure import Figure
from PIL import Image
from scipy.integrate import trapezoid
from sklearn.metrics import average_precision_score

from nevus.assess.plots import curve_plots, decision_plots, drawing
from nevus.assess.plots.decision_plots import Mark
from nevus.assess.plots.drawing import Flags, Floats, Plot
from nevus.assess.plots.history import read_history, training_curves
from nevus.assess.statistics.bands import GRID, _both, curve_bands
from nevus.core.errors import RunError
from nevus.core.estimate import Estimate

ESTIMATE = Estimate(0.95, 0.94, 0.96)
UNDEFINED = Estimate(float("nan"), float("nan"), float("nan"))


def scores(num_images: int) -> tuple[Flags, Floats]:
    rng = np.random.default_rng(0)
    is_malignant = rng.random(num_images) < 0.4
    logits = rng.normal(size=num_images) * 2 + np.where(is_malignant, 2.3, -2.3)
    return is_malignant, 1 / (1 + np.exp(-logits))


def mark(name: str, threshold: float, is_malignant: Flags, risk: Floats, is_default: bool = False) -> Mark:
    called = risk >= threshold
    confusion = tuple(
        (int((~called & (is_malignant == truth)).sum()), int((called & (is_malignant == truth)).sum()))
        for truth in (False, True)
    )
    (true_negatives, false_positives), (false_negatives, true_positives) = confusion
    return Mark(
        name=name,
        threshold=threshold,
        is_default=is_default,
        sensitivity=true_positives / max(1, true_positives + false_negatives),
        specificity=true_negatives / max(1, true_negatives + false_positives),
        ppv=true_positives / max(1, true_positives + false_positives),
        confusion=((true_negatives, false_positives), (false_negatives, true_positives)),
    )


def all_plots(num_images: int = 1_500, name: str = "youden", num_epochs: int = 30) -> list[Plot]:
    is_malignant, risk = scores(num_images)
    thresholds = {"best-f1": 0.5, name: 0.45, "sensitivity-90": 0.4, "sensitivity-95": 0.2, "sensitivity-98": 0.1}
    marks = [mark(key, value, is_malignant, risk, key == "sensitivity-95") for key, value in thresholds.items()]
    epochs = np.arange(1.0, num_epochs + 1)
    history = {
        "epoch": epochs,
        "loss": np.exp(-epochs / 8),
        "val_loss": np.exp(-epochs / 6) + 0.1,
        "val_roc_auc": 0.95 - 0.1 * np.exp(-epochs / 4),
        "learning_rate": np.where(epochs < 15, 1e-4, 5e-5),
    }
    bands = curve_bands(is_malignant, risk, np.arange(num_images), resamples=20)
    return [
        curve_plots.roc(is_malignant, risk, marks, ESTIMATE, bands[0]),
        curve_plots.precision_recall(is_malignant, risk, marks, ESTIMATE, bands[1]),
        decision_plots.threshold_sweep(is_malignant, risk, marks),
        decision_plots.confusion_matrices(marks),
        decision_plots.score_histogram(is_malignant, risk, marks[3]),
        training_curves(history, best_epoch=min(18, num_epochs)),
    ]


def test_svgs_are_small_described_and_can_share_a_page() -> None:
    svgs = [plot.svg() for plot in all_plots(num_images=50_000, num_epochs=300)]
    for svg in svgs:
        assert len(svg.encode()) < 90_000
        assert "<style" not in svg  # It would apply to the whole page.
        assert not re.search(r'href="(?!#)', svg)
        root = ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
        assert root.get("role") == "img"
        assert len(root.get("aria-label", "")) > 50
    ids = [name for svg in svgs for name in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(ids) == len(set(ids))
    for svg in svgs:
        used = re.findall(r'(?:href="#|url\(#)([^")]+)', svg)
        assert used
        assert set(used) <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_a_figure_gives_the_same_svg_twice() -> None:
    assert [plot.svg() for plot in all_plots()] == [plot.svg() for plot in all_plots()]


def test_names_are_drawn_as_they_are() -> None:
    name = '<script>"$x_{$ & \\frac'
    for plot in all_plots(name=name):
        svg = plot.svg()
        assert "<script" not in svg
        if plot.name in ("roc", "precision-recall", "threshold-sweep", "confusion-matrices"):
            assert "&lt;script&gt;" in svg


def test_png_is_light_and_1000_pixels_wide() -> None:
    plot = all_plots()[0]
    svg, png = plot.svg_and_png()
    assert svg == plot.svg()
    with Image.open(io.BytesIO(png)) as image:
        assert image.width == 1_000
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
        assert image.info["Description"] == plot.alternative


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    all_plots()[0].svg()
    assert dict(matplotlib.rcParams) == before


def test_benign_and_malignant_differ_in_grey() -> None:
    def grey(colour: str) -> float:
        red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    assert grey(drawing.BENIGN) - grey(drawing.MALIGNANT) > 64


def test_texts_carry_the_numbers() -> None:
    roc, precision_recall, sweep, matrices, histogram, training = all_plots()
    assert "0.950 (95 % interval 0.940 to 0.960)" in roc.caption
    assert "20 resamples" in roc.caption
    assert "prevalence" in precision_recall.caption
    assert "sensitivity-95 (default) at 0.200" in sweep.alternative
    assert "missed" in matrices.alternative
    assert "Median risk of benign images 0.0" in histogram.alternative
    assert "epoch 18" in training.caption


@pytest.mark.parametrize("num_images", [3, 40, 400])
def test_the_steps_of_precision_and_recall_enclose_the_average_precision(num_images: int) -> None:
    is_malignant, risk = scores(num_images)
    is_malignant[:2] = True, False
    plot = curve_plots.precision_recall(is_malignant, risk, [], ESTIMATE, parts=[(is_malignant, risk)])
    figure = Figure()
    plot.draw(figure)
    lines = [line for line in figure.axes[0].lines if line.get_drawstyle().startswith("steps")]
    assert [line.get_drawstyle() for line in lines] == ["steps-post"] * 2
    for line in lines:
        recall, precision = pts_to_poststep(*line.get_data())
        area = -trapezoid(precision, recall)
        assert area == pytest.approx(average_precision_score(is_malignant, risk), abs=0.001)


def test_the_band_of_precision_has_the_steps_of_the_curve() -> None:
    is_malignant, risk = scores(40)
    recall, precision = curve_plots._precision_recall_points(is_malignant, risk)
    order = np.argsort(-risk)
    found, called = np.cumsum(is_malignant[order]).astype(float), np.arange(1.0, 41.0)
    banded = _both(found, called)[GRID.size :]
    # A step "post" of falling recall: the precision of the lowest recall that is not below the point.
    drawn = [precision[np.flatnonzero(recall >= point - 0.001)[-1]] for point in GRID[1:]]
    assert np.mean(np.abs(banded[1:] - drawn) < 0.001) > 0.98


def test_a_figure_beside_another_of_its_kind_says_whose_it_is() -> None:
    plot = all_plots()[0]
    clean = plot.of("without the leaked images")
    assert (clean.name, clean.title) == ("roc-without-the-leaked-images", "ROC curve, without the leaked images")
    assert clean.alternative.endswith("images without the leaked images.")
    assert not set(re.findall(r'id="[^"]+', plot.svg())) & set(re.findall(r'id="[^"]+', clean.svg()))


@pytest.mark.parametrize("truth", [False, True])
def test_an_absent_class_is_not_defined(truth: bool) -> None:
    is_malignant, risk = np.full(20, truth), np.linspace(0, 1, 20)
    nan = float("nan")
    marks = [Mark("youden", 0.5, True, nan, nan, nan, ((0, 0), (10, 10)) if truth else ((10, 10), (0, 0)))]
    made = [
        curve_plots.roc(is_malignant, risk, marks, UNDEFINED),
        curve_plots.precision_recall(is_malignant, risk, marks, UNDEFINED),
        decision_plots.threshold_sweep(is_malignant, risk, marks),
        decision_plots.confusion_matrices(marks),
        decision_plots.score_histogram(is_malignant, risk, marks[0]),
    ]
    for plot in made:
        assert plot.svg().endswith("</svg>\n")
        assert not re.search(r"\bnan\b", plot.caption + plot.alternative)
    assert "not defined" in made[0].caption


risks = hnp.arrays(np.float64, st.integers(1, 40), elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]))


@given(risk=risks, data=st.data())
@settings(deadline=None)
def test_the_sweep_counts_as_the_decision_rule_does(risk: Floats, data: st.DataObject) -> None:
    is_malignant = data.draw(hnp.arrays(np.bool_, risk.shape))
    thresholds = np.array([0.0, 0.1, 0.3, 0.75, 1.0])
    swept = decision_plots._sweep(is_malignant, risk, thresholds)
    for index, threshold in enumerate(thresholds):
        called = risk >= threshold
        for name, part, whole in (
            ("sensitivity", called & is_malignant, is_malignant),
            ("specificity", ~called & ~is_malignant, ~is_malignant),
            ("PPV", called & is_malignant, called),
        ):
            expected = part.sum() / whole.sum() if whole.any() else float("nan")
            np.testing.assert_allclose(swept[name][index], expected)


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 200), st.just(2)), elements=st.floats(0, 1)))
def test_thinning_moves_no_point_by_more_than_a_thousandth(points: Floats) -> None:
    x, y = drawing.thin(points[:, 0], points[:, 1])
    assert len(x) <= len(points)
    kept = np.column_stack([x, y])
    for point in points:
        assert np.abs(kept - point).max(axis=1).min() <= 0.0005 + 1e-12


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("learning_rate", ["0.0001", "0"], ids=["trained", "linear-probe"])
def test_history_of_one_epoch_is_drawn(tmp_path: Path, learning_rate: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(f"epoch,loss,val_loss,val_roc_auc,learning_rate,other\n1,0.7,0.6,,{learning_rate},x\n")
    history = read_history(path)
    assert np.isnan(history["val_roc_auc"]).all()
    plot = training_curves(history, best_epoch=None)
    assert plot.svg().endswith("</svg>\n")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("epoch,loss,val_loss,val_roc_auc,learning_rate\n", "no epoch"),
        ("epoch,loss\n1,0.5\n", "val_loss"),
        ("epoch,loss,val_loss,val_roc_auc,learning_rate\n1,a,b,c,d\n", "expected numbers"),
    ],
)
def test_a_damaged_history_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "history.csv"
    path.write_text(text)
    with pytest.raises(RunError, match=complaint):
        read_history(path)


def test_importing_the_report_loads_neither_matplotlib_nor_tensorflow() -> None:
    code = (
        "import sys, nevus.assess.pages.report; print({'matplotlib', 'tensorflow', 'keras', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
