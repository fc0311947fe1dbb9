"""How far each format of the export is from the trained network, for runs of any network and number of classes.

    python benchmarks/format_parity.py RUN [RUN ...] [--runtime node_modules/onnxruntime-web] [--markdown FILE]

The figures are those of parity.json, on up to 512 validation images. What a run's own parity.json says of its network
and thresholds as they are now is taken from there; other formats are exported in a temporary folder, and the run stays
as it is. With --runtime there is a row for the page alone too: model.onnx in Debian's Chromium, which gets the same
pixels as PNG files, against the same file in Python.
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
from nevus.core.files import read_json, sha256_of
from nevus.core.runs import Run
from nevus.core.vocabulary import EXPORTED_FILES
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
            for file_format in EXPORTED_FILES:
                print(f"{run.name}: {file_format}", file=sys.stderr, flush=True)
                rows.append(exported(run, file_format))
            if arguments.runtime:
                print(f"{run.name}: web", file=sys.stderr, flush=True)
                rows.append(in_browser(run, arguments.runtime))
    text = table(rows)
    print(text, end="")
    if arguments.markdown:
        arguments.markdown.write_text(text, encoding="utf-8")
    return 0


def copy_of(run: Run, directory: Path) -> Run:
    """What the export reads and writes of a run, in another folder, with the dataset where it is."""
    copy = Run(directory)
    copy.directory.mkdir()
    shutil.copytree(run.directory / "predictions", copy.directory / "predictions")
    for path in (run.run_json, run.config_json, run.model_keras, run.operating_points_json, run.metrics_json):
        shutil.copy(path, copy.directory)
    for path in (run.parity_json, *map(run.exported, EXPORTED_FILES)):
        if path.exists():
            shutil.copy(path, copy.directory)
    copy.update(dataset=str(run.dataset.directory))
    return copy


def exported(run: Run, file_format: str) -> dict[str, str]:
    """The row of a format."""
    entries = read_json(run.parity_json, "") if run.parity_json.exists() else {}
    now = {path.name: sha256_of(path) for path in (run.model_keras, run.operating_points_json)}
    if file_format not in entries or entries[file_format]["made_from"] != now:
        from nevus.learn.export.export import export

        try:
            export(run, run.dataset, file_format)
        except ParityError as problem:
            # The first of its figures that is past its limit; all of them are in the message of 'nevus export'.
            reason = str(problem).partition(": ")[2].partition(";")[0]
            return {"run": label(run), "format": f"`{file_format}`", "probability": f"refused ({reason})"}
        entries = read_json(run.parity_json, "")
    entry = entries[file_format]
    heatmap = max(check["largest"] for check in entry["checks"] if check["figure"] == "heatmap")
    figures = (entry["num_bytes"], entry["num_images"], entry["largest_difference"], entry["roc_auc"])
    flipped = {name: str(count) for name, count in entry["flipped"].items()}
    return {**row_of(run, file_format, *figures), "heatmap": f"{heatmap:.2g}", **flipped}


def in_browser(run: Run, runtime: Path) -> dict[str, str]:
    """The row of the page alone."""
    # Beside this file, and in need of Playwright.
    from browser_parity import in_browser as rows_of_page

    predictor, dataset = load(run.model_onnx), run.dataset
    rows = dataset.rows_of("val")
    rows = [rows[index] for index in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 512)).round().astype(int))]
    files = [run.directory / f"{number:04}.png" for number in range(len(rows))]
    for row, path in zip(rows, files, strict=True):
        Image.fromarray(dataset.pixels[row.pixel_index]).save(path)
    page = run.directory / "page"
    write_web_folder(run.model_onnx, page, runtime)
    said = rows_of_page(page, files)
    answered = [index for index, row in enumerate(said) if not row["error"]]
    names = predictor.spec.classes.names
    received = np.array(
        [[float(said[index][name]) for name in ("risk", *(f"p_{name}" for name in names))] for index in answered]
    )
    expected = predictor.predict([files[index] for index in answered], check=False)
    wanted = np.array([[one.risk, *(one.probabilities[name] for name in names)] for one in expected])
    truth = [rows[index].label in predictor.spec.classes.malignant for index in answered]
    areas = {"model.keras": roc_auc_score(truth, wanted[:, 0]), "exported": roc_auc_score(truth, received[:, 0])}
    num_bytes = sum(path.stat().st_size for path in page.iterdir())
    spec = predictor.spec
    thresholds = {point.name: point.threshold for point in spec.operating_points}
    thresholds |= {"triage, low": spec.triage.rule_out, "triage, high": spec.triage.rule_in}
    flipped = {
        name: str(((received[:, 0] >= threshold) != (wanted[:, 0] >= threshold)).sum())
        for name, threshold in thresholds.items()
    }
    difference = float(np.abs(received - wanted).max())
    return {**row_of(run, "web", num_bytes, len(answered), difference, areas), **flipped}


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
        "ROC-AUC lost": f"{round(areas['model.keras'] - areas['exported'], 4) + 0.0:.4f}",
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
