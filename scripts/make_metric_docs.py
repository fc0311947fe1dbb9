"""Writes the tables of metrics in docs/evaluation.md from the rows of the code; --check only compares them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from nevus.assess.sections.calibration import CALIBRATION
from nevus.assess.sections.classified import CLASSIFICATION
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.metric import Metric
from nevus.assess.sections.scores import SCORES

DOCS = Path(__file__).parents[1] / "docs" / "evaluation.md"

_INTERVALS = {
    "proportions": "Wilson",
    "roc_auc": "DeLong",
    "macro_roc_auc": "DeLong",
    "balanced_accuracy": "from those of the classes",
    "linearised": "linearisation",
    "others": "bootstrap",
}
TABLES: dict[str, Sequence[object]] = {
    "scores": SCORES,
    "decisions": DECISIONS,
    "classification": CLASSIFICATION,
    "calibration": CALIBRATION,
}


def metric_docs(text: str) -> str:
    """The page with its tables written again, each between `<!-- metrics: NAME -->` and `<!-- end -->`."""
    for name, rows in TABLES.items():
        start = f"<!-- metrics: {name} -->\n"
        text, found = re.subn(rf"{start}.*?(?=<!-- end -->)", lambda _: start + _table(rows), text, flags=re.DOTALL)  # noqa: B023
        if found != 1:
            raise SystemExit(f"{DOCS} has {found} tables '{name}'. Expected one between comments.")
    return text


def _table(rows: Sequence[object]) -> str:
    metrics = [row for row in rows if isinstance(row, Metric)]
    columns = ["metric", "key", *(["formula"] if any(row.formula for row in metrics) else []), "in words"]
    lines = [[*columns, "interval", "source"], ["---"] * (len(columns) + 2)]
    for row in metrics:
        formula = [row.formula] if "formula" in columns else []
        lines.append([row.title, f"`{row.name}`", *formula, row.words, _INTERVALS[row.how.method], row.source])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    """Writes the page, or checks that it is current."""
    page = DOCS.read_text(encoding="utf-8")
    current = metric_docs(page)
    if sys.argv[1:] != ["--check"]:
        DOCS.write_text(current, encoding="utf-8")
        return 0
    if page == current:
        return 0
    print("docs/evaluation.md is not current. Run: python scripts/make_metric_docs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
