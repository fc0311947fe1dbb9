"""The end of a validation on the terminal: how the model does here against where it was developed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nevus.assess.evaluation import validation
from nevus.assess.pages.validation_words import in_words
from nevus.cli.evaluation_summary import score_lines, warning_lines
from nevus.core.files import finite
from nevus.core.modelfile import DISCLAIMER
from nevus.pipeline.validating import ValidationFiles


def validation_summary(result: Mapping[str, Any], out: Path) -> str:
    """The outcome of a validation: sentences, metrics, operating points, sources, warnings, files."""
    files, split = ValidationFiles(out), validation.quoted(result)
    metrics = validation.read(result)
    point = next(one for one in metrics["operating_points"] if one["name"] == metrics["default_operating_point"])
    lines = ["", *in_words(metrics, split, point), ""]
    trained = result["data"]["trained_on"]
    if trained["num_found"]:
        # All of them, where none is left without.
        without = (
            f"the metrics are without them; with them ROC-AUC is {metrics['splits']['test']['roc_auc']}"
            if split != "test"
            else "no others are left, so the metrics are of images that it has seen"
        )
        lines += [f"The model knows {trained['num_found']:,} of the images; {without}.", ""]
    elif not trained["how"]:
        lines += [
            f"It is not known whether the model was trained on some of these images: {trained['why_not']}.",
            "",
        ]
    lines += score_lines(finite(dict(result)), split, "These images")
    if len(metrics["sources"]) > 1:
        lines.append("Sources:")
        lines += [
            f"  {one['name']:<32} {one['num_images']:>7,} images, {one['num_malignant']:>6,} malignant, ROC-AUC "
            f"{one['roc_auc']}{', too small' if one['too_small'] else ''}"
            for one in metrics["sources"]
        ]
        lines.append("")
    lines += warning_lines(result["warnings"], files.metrics_json)
    return "\n".join([*lines, str(files.metrics_json), str(files.page_html), DISCLAIMER])
