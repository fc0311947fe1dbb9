"""What `nevus validate` takes, against `nevus predict --csv` of the same images and the preparation of the page.

    python benchmarks/validate.py IMAGES [--model FILE] [--rounds 3] [--json FILE] [-- ARGUMENTS OF nevus validate]

Each is a process of its own, in turns. The bar: validation within 1.5 times of the two together. On a machine with
other work look at the processor seconds, which are printed too. Exit status 1 if the bar is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from harness import Contender, alternate, machine, nevus, script
from nevus.core.dataset import Dataset
from nevus.core.files import write_json
from nevus.core.shipped import find_model

BAR = 1.5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", default="compact")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("options", nargs="*", help="of nevus validate, after --")
    arguments = parser.parse_args()
    model = find_model(arguments.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        out = folder / "validation"
        validation = nevus(
            "validate", model, arguments.images, "--out", out, "--overwrite", *map(str, arguments.options)
        )
        results = alternate(
            [
                Contender("nevus validate", validation, None),
                Contender(
                    "nevus predict --csv",
                    nevus("predict", "--no-check", model, arguments.images, "--csv", folder / "answers.csv"),
                    None,
                ),
                Contender("the page", script("validation_page", model, out, out / "dataset"), "seconds"),
            ],
            arguments.rounds,
        )
        num_images = len(Dataset(out / "dataset").rows)
    failed = [result for result in results if result.failed]
    for result in failed:
        print(f"{result.contender.name} failed: {result.failed}")
    if failed:
        return 1
    processor = [statistics.median(result.processor_seconds) for result in results]
    for result, seconds in zip(results, processor, strict=True):
        print(f"{result.contender.name:<22} {result.median:8.1f} s   {seconds:8.1f} s of the processors")
    of_wall = results[0].median / (results[1].median + results[2].median)
    of_processor = processor[0] / (processor[1] + processor[2])
    print(f"{num_images:,} images: {of_wall:.2f} times as long, {of_processor:.2f} times the processor (bar {BAR})")
    if arguments.json:
        write_json(arguments.json, {"machine": machine(), "results": [result.to_json() for result in results]})
    return 0 if min(of_wall, of_processor) <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
