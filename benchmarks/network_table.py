"""The table of README: size, quality, training time and scoring time of the networks of finished runs.

    nevus run DATA --config FILE --out RUN            # for each row
    python benchmarks/network_table.py RUN [RUN ...] [--rounds 3]

Prints Markdown. Quality is that of the test split, with 95 % intervals: of many classes the macro ROC-AUC, and balanced
accuracy where each image is named after its most probable class. Training is the time of the epochs. Scoring is from
pixels of the network's own size in memory to risks by model.onnx, in turns, the median of the rounds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness import Contender, Result, alternate, script
from nevus.assess.evaluation.results import read_info, read_metrics
from nevus.core.runs import Run

COLUMNS = (
    "network",
    "classes",
    "side, px",
    "parameters",
    "test images",
    "ROC-AUC",
    "balanced accuracy",
    "training, minutes",
    "scoring, ms an image",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--rounds", type=int, default=3, help="each file is timed once a round (default: 3)")
    arguments = parser.parse_args()
    runs = [Run(directory) for directory in arguments.runs]
    contenders = [
        Contender(run.name, script("nevus_scoring", run.model_onnx, "memory"), "images_per_second") for run in runs
    ]
    results = alternate(contenders, arguments.rounds)
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(row_of, runs, results)]
    print("".join(f"| {' | '.join(row)} |\n" for row in rows), end="")
    return 0


def row_of(run: Run, scoring: Result) -> tuple[str, ...]:
    metrics, training, info = read_metrics(run), run.record["training"], read_info(run)
    test, named = metrics["splits"]["test"], metrics["classification"]["test"]
    area = test["roc_auc"] if len(info.classes.names) == 2 else named["macro_roc_auc"]
    return (
        f"`{training['network']}`, recipe `{training['recipe']['name']}`",
        str(len(info.classes.names)),
        str(info.image_size),
        f"{training['num_parameters']:,}",
        f"{test['num_images']:,}",
        area.text(),
        named["balanced_accuracy"].text(),
        f"{training['minutes']:.0f} ({training['epochs_run']} epochs)",
        scoring.failed or f"{1000 / scoring.median:.2g}",
    )


if __name__ == "__main__":
    sys.exit(main())
