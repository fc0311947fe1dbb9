"""The benchmark of Nevus: one command, one table.

    python benchmarks/run.py [--only PART ...] [--rounds 3] [--json FILE] [--markdown FILE]

Training, time to quality, scoring, cold start and peak memory, against the classic network as notebooks write it in
Keras, the same networks in PyTorch, and the physical limits. docs/benchmarks.md explains every row. PyTorch is
needed by its rows alone (pip install torch==2.13.0), which are left out without it. What is prepared once (a
folder of links to images, datasets, untrained models) stays in --work.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from pathlib import Path

from harness import Result, alternate, environment, machine, nevus
from nevus.core.files import finite, write_json, write_text
from operations import operations
from parts import PARTS, QUICK_OPTIONS, REPEATS, Setting
from table import markdown, text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--networks", nargs="+", default=["classic", "compact"], help="of Nevus; classic comes first")
    parser.add_argument("--images", type=Path, help="folder of benign/ and malignant/ (default: the melanoma set)")
    parser.add_argument("--num-images", type=int, default=1000, help="for all but time-to-quality (default: 1000)")
    parser.add_argument("--image-size", type=int, default=128, help="default: 128")
    parser.add_argument("--rounds", type=int, default=3, help="each contender once a round (default: 3)")
    parser.add_argument("--target", type=float, default=0.95, help="validation ROC-AUC of time-to-quality")
    parser.add_argument("--epochs", type=int, default=30, help="most epochs of time-to-quality (default: 30)")
    parser.add_argument("--at-most", type=float, default=math.inf, help="seconds of a time-to-quality (default: any)")
    parser.add_argument("--without-notebook", action="store_true", help="leave the notebook out of time-to-quality")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmark"), help="default: runs/benchmark")
    parser.add_argument("--json", type=Path, help="write all figures to FILE (default: WORK/benchmark.json)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown too")
    arguments = parser.parse_args()
    folder = arguments.images or Path(os.environ.get("NEVUS_DATA", "../shared/data")) / "melanoma10000" / "train"
    if not folder.is_dir():
        parser.error(f"no images at {folder}. Name a folder with --images, or set NEVUS_DATA.")
    size, work = arguments.image_size, arguments.work
    setting = Setting(
        folder=folder,
        work=work,
        networks=tuple(arguments.networks),
        image_size=size,
        target=arguments.target,
        epochs=arguments.epochs,
        at_most=arguments.at_most,
        without_notebook=arguments.without_notebook,
    )
    described = machine()
    prepare(setting, arguments.num_images, whole="time-to-quality" in arguments.only)
    results: dict[str, list[Result]] = {}
    for part in arguments.only:
        print(f"== {part}", file=sys.stderr)
        results[part] = alternate(PARTS[part](setting), arguments.rounds * REPEATS.get(part, 1))
    per_image = {network: operations(setting.model(network), size) for network in setting.networks}
    report = {
        "machine": described,
        "operations_per_image": per_image,
        "command": ["python", *sys.argv],
        "parts": {part: [result.to_json() for result in rows] for part, rows in results.items()},
    }
    write_json(arguments.json or work / "benchmark.json", finite(report))
    if arguments.markdown:
        write_text(arguments.markdown, markdown(described, results, per_image))
    print(text(described, results, per_image))
    return 0


def prepare(setting: Setting, num_images: int, whole: bool) -> None:
    """Makes what contenders read, unless it is there: links to images, a dataset of them, a model of each network."""
    if not setting.links.is_dir():
        for label in ("benign", "malignant"):
            (setting.links / label).mkdir(parents=True)
            paths = sorted((setting.folder / label).glob("*.jpg"))
            step = max(1, 2 * len(paths) // num_images)
            for path in paths[::step][: num_images // 2]:
                (setting.links / label / path.name).symlink_to(path.resolve())
    size = ["--image-size", str(setting.image_size)]
    wanted = [(setting.links, setting.dataset, setting.image_size)]
    if whole:
        sizes = sorted({setting.image_size, QUICK_OPTIONS["image_size"]})
        wanted += [(setting.folder, setting.whole_dataset(side), side) for side in sizes]
    for images, dataset, side in wanted:
        if not (dataset / "dataset.json").exists():
            _run(nevus("prepare", images, "--out", dataset, "--image-size", str(side)))
            _run(nevus("split", dataset))
    for network in setting.networks:
        if not setting.model(network).exists():
            # One epoch on a few generated images: speed does not depend on what a network has learned.
            small = ["--num-images", "160", "--epochs", "1", "--batch-size", "16", "--bootstrap", "100"]
            out = setting.model(network).parent
            _run(nevus("demo", "--out", out, "--overwrite", "--model", network, *size, *small))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.DEVNULL, env=environment(), check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    sys.exit(main())
