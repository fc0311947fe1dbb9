"""How far each format of the export is from the trained network, for runs of any network and number of classes.

    python benchmarks/format_parity.py RUN [RUN ...] [--runtime node_modules/onnxruntime-web] [--markdown FILE]

Exports every run in every format, in a temporary folder: the runs themselves stay as they are. The figures are those
of each export's parity.json, on up to 512 validation images. With --runtime there is a row for the page alone too: the
same model.onnx in Debian's Chromium, which gets the same pixels as PNG files.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.metrics import roc_auc_score

from nevus.core.errors import ParityError
from nevus.core.files import read_json
from nevus.core.runs import Run
from nevus.learn.activation_map import tap
from nevus.learn.export import FORMATS, export, validation_sample
from nevus.learn.parity import answers_of_keras
from nevus.learn.predict import load_model
from nevus.serve.predictor import load
from nevus.serve.web import write_web_folder

COLUMNS = ("run", "format", "KiB", "images", "probability", "heatmap", "ROC-AUC", "ROC-AUC lost")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--runtime", type=Path, metavar="DIR", help="the npm package onnxruntime-web")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    arguments = parser.parse_args()
    rows: list[dict[str, str]] = []
    for directory in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            run = copy_of(Run(directory), Path(folder) / directory.resolve().name)
            for file_format in FORMATS:
                print(f"{run.name}: {file_format}", file=sys.stderr, flush=True)
                rows.append(exported(run, file_format))
            if arguments.runtime and run.model_onnx.exists():
                print(f"{run.name}: web", file=sys.stderr, flush=True)
                rows.append(in_browser(run, arguments.runtime))
    text = table(rows)
    print(text, end="")
    if arguments.markdown:
        arguments.markdown.write_text(text, encoding="utf-8")
    return 0


def copy_of(run: Run, directory: Path) -> Run:
    """What the export reads of a run, in another folder, with the dataset where it is."""
    copy = Run(directory)
    copy.directory.mkdir()
    shutil.copytree(run.directory / "predictions", copy.directory / "predictions")
    for path in (run.run_json, run.config_json, run.model_keras, run.operating_points_json, run.metrics_json):
        shutil.copy(path, copy.directory)
    copy.update(dataset=str(run.dataset.directory))
    return copy


def exported(run: Run, file_format: str) -> dict[str, str]:
    """The row of a format."""
    try:
        export(run, run.dataset, file_format)
    except ParityError as problem:
        return {"run": label(run), "format": f"`{file_format}`", "probability": str(problem)}
    entry = read_json(run.parity_json, "")[file_format]
    areas = entry["roc_auc"]
    heatmap = max(check["largest"] for check in entry["checks"] if check["figure"] == "heatmap")
    row = row_of(run, file_format, entry["num_bytes"], entry["num_images"], entry["largest_difference"], areas)
    return {**row, "heatmap": f"{heatmap:.2g}", **{name: str(count) for name, count in entry["flipped"].items()}}


def in_browser(run: Run, runtime: Path) -> dict[str, str]:
    """The row of the page alone."""
    # Beside this file, and in need of Playwright.
    from browser_parity import in_browser as rows_of_page

    spec, sample = load(run.model_onnx).spec, validation_sample(run.dataset)
    expected = answers_of_keras(tap(load_model(run)), sample.pixels, spec)
    page = run.directory / "page"
    write_web_folder(run.model_onnx, page, runtime)
    files = [run.directory / f"{number:04}.png" for number in range(len(sample.pixels))]
    for pixels, path in zip(sample.pixels, files, strict=True):
        Image.fromarray(pixels).save(path)
    said = rows_of_page(page, files)
    answered = np.array([not row["error"] for row in said])
    columns = ["risk", *(f"p_{name}" for name in spec.classes.names)]
    received = np.array([[float(row[name]) for name in columns] for row in said if not row["error"]])
    wanted = np.column_stack([expected.risk, expected.probabilities])[answered]
    truth = sample.is_malignant[answered]
    areas = {
        name: float(roc_auc_score(truth, risk))
        for name, risk in (("model.keras", wanted[:, 0]), ("exported", received[:, 0]))
    }
    num_bytes = sum(path.stat().st_size for path in page.iterdir())
    row = row_of(run, "web", num_bytes, len(received), float(np.abs(received - wanted).max()), areas)
    thresholds = {point.name: point.threshold for point in spec.operating_points}
    thresholds |= {"triage, low": spec.triage.rule_out, "triage, high": spec.triage.rule_in}
    flipped = {
        name: str(((received[:, 0] >= threshold) != (wanted[:, 0] >= threshold)).sum())
        for name, threshold in thresholds.items()
    }
    return {**row, **flipped}


def row_of(
    run: Run, file_format: str, num_bytes: int, num_images: int, difference: float, areas: dict[str, Any]
) -> dict[str, str]:
    return {
        "run": label(run),
        "format": f"`{file_format}`",
        "KiB": f"{num_bytes / 1024:,.0f}",
        "images": str(num_images),
        "probability": f"{difference:.2g}",
        "ROC-AUC": f"{areas['exported']:.4f}",
        "ROC-AUC lost": f"{areas['model.keras'] - areas['exported']:.4f}",
    }


def label(run: Run) -> str:
    """What a reader has to know of a run."""
    info = run.dataset_info
    return f"{run.record['training']['network']}, {len(info.classes.names)} classes, {info.image_size} px"


def table(rows: list[dict[str, str]]) -> str:
    """Markdown; a column for each threshold holds the number of decisions that flip there."""
    columns = list(COLUMNS) + [
        name for name in dict.fromkeys(name for row in rows for name in row) if name not in COLUMNS
    ]
    lines = [columns, ["---"] * len(columns)]
    lines += [[row.get(name, "") for name in columns] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
