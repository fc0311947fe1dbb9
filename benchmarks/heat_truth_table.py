"""The tables of docs/explain.md: whether the heatmaps of several runs tell the truth, against two baselines.

    nevus probe RUN DATA --num-images 300            # for each run; writes RUN/probe.json
    python benchmarks/heat_truth_table.py RUN/probe.json [...]

Prints Markdown, a group of rows for each file, which goes by the name of its folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from nevus.assess.probing.probe import CURVES, MODEL
from nevus.core.estimate import Estimate
from nevus.core.files import read_json

Probes = dict[str, dict[str, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("probes", type=Path, nargs="+", metavar="PROBE.json")
    paths = parser.parse_args().probes
    probes = {path.resolve().parent.name: read_json(path, "Run 'nevus probe' first.") for path in paths}
    for rows in (heat(probes), randomised(probes), changed(probes)):
        head, *body = rows
        print("".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *body)))
    return 0


def heat(probes: Probes) -> list[list[str]]:
    """The heatmaps of malignant images, and the baselines: the same maps for all, but deletion asks the network."""
    rows = [["network", "map", *CURVES.values()]]
    for name, probe in probes.items():
        for kind, measured in probe["heat"].items():
            rows.append([name if kind == MODEL else "", kind, *(text(measured[key]) for key in CURVES)])
    return rows


def randomised(probes: Probes) -> list[list[str]]:
    """How alike the heatmaps stay when weights are shuffled, in the last layer and in all."""
    rows = [["network", "rank correlation, last layer random", "all layers random"]]
    for name, probe in probes.items():
        if probe["randomised"]:
            rows.append([name, *(text(probe["randomised"][place]["correlation"]) for place in (0, -1))])
    return rows


def changed(probes: Probes) -> list[list[str]]:
    """What the networks say of changed images."""
    rows = [["network", "images", "ROC-AUC", "the risk moves by", "decisions that flip"]]
    for name, probe in probes.items():
        unchanged, *others = probe["artefacts"]
        rows.append([name, unchanged["images"], text(unchanged["roc_auc"]), "", ""])
        for row in others:
            flipped = f"{100 * row['flipped']['value']:.1f} %"
            rows.append(["", row["images"], text(row["roc_auc"]), text(row["mean_change"], "+"), flipped])
    return rows


def text(figure: dict[str, float | None], sign: str = "") -> str:
    return Estimate.from_json(figure).text(sign)


if __name__ == "__main__":
    sys.exit(main())
