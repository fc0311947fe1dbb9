"""Measures the check of images as it ships: the share of the images of each folder that it refuses, as Markdown.

    python scripts/measure_image_check.py FOLDER... [--count 1000]

The images of a folder are looked for at any depth; `--count` of them, evenly spread, are asked about.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from nevus.core.errors import ImageError
from nevus.serve.image_files import find_images
from nevus.serve.images import to_pixels
from nevus.serve.quality import CODES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--count", type=int, default=1000, help="images of each folder (default: 1000)")
    arguments = parser.parse_args()
    print(f"| images | number | {' | '.join(CODES)} | passed |\n|{' --- |' * (len(CODES) + 3)}")
    for folder in arguments.folders:
        paths = list(find_images([folder]))
        chosen = np.linspace(0, len(paths) - 1, min(arguments.count, len(paths))).astype(int)
        outcomes = [outcome(paths[index]) for index in chosen]
        counts = Counter(outcomes)
        num_readable = sum(counts[code] for code in ("passed", *CODES))
        shares = " | ".join(f"{counts[code] / num_readable:.3f}" for code in (*CODES, "passed"))
        print(f"| {folder} | {num_readable:,} | {shares} |", flush=True)


def outcome(path: Path) -> str:
    """'passed', or the code of the reason why not."""
    try:
        to_pixels(path, 1, check=True)
    except ImageError as problem:
        return problem.code
    return "passed"


if __name__ == "__main__":
    main()
