"""How far the page alone, in Chromium, is from Python: on the same pixels, and on JPEG files that each decodes itself.

    python benchmarks/browser_parity.py MODEL.onnx --runtime node_modules/onnxruntime-web [--images DIR] [--count 100]

Writes the folder of `nevus web`, opens it in Debian's Chromium, gives it every image as it is and again as the PNG of
the pixels that Python decoded, at a size that the graph has to resize, and compares the risks.
FOLDER is melanoma10000/train of NEVUS_DATA unless given.
"""

from __future__ import annotations

import argparse
import csv
import functools
import http.server
import io
import os
import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from nevus.core.modelfile import INPUT
from nevus.core.preprocess import decode
from nevus.serve.image_files import find_images
from nevus.serve.predictor import load
from nevus.serve.web import write_web_folder

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--runtime", type=Path, default=Path("node_modules/onnxruntime-web"))
    parser.add_argument("--images", type=Path)
    parser.add_argument("--count", type=int, default=100)
    arguments = parser.parse_args()
    source = arguments.images or Path(os.environ.get("NEVUS_DATA", "../shared/data")) / "melanoma10000" / "train"
    paths = list(find_images([source]))
    paths = [paths[index] for index in np.linspace(0, len(paths) - 1, min(arguments.count, len(paths))).astype(int)]
    predictor = load(arguments.model)
    session = onnxruntime.InferenceSession(arguments.model)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_web_folder(arguments.model, folder / "page", arguments.runtime)
        pixels = [folder / f"{number}.png" for number in range(len(paths))]
        for path, png in zip(paths, pixels, strict=True):
            image = decode(path)
            image.resize((image.width * 5 // 4 + 3, image.height * 9 // 8 + 1), Image.Resampling.BICUBIC).save(png)
        for name, files in {"the same pixels": pixels, "JPEG files": paths}.items():
            rows = in_browser(folder / "page", files)
            expected = predictor.predict(files, check=False)
            in_graph = [risk_in_graph(session, path) for path in files]
            answered = [rest for rest in zip(rows, expected, in_graph, strict=True) if not rest[0]["error"]]
            same_graph = max(abs(float(row["risk"]) - risk) for row, _, risk in answered)
            by_pillow = max(abs(float(row["risk"]) - one.risk) for row, one, _ in answered if one.risk is not None)
            flipped = sum((row["decision"] == "malignant") != one.decision for row, one, _ in answered)
            print(
                f"{name}: {len(answered)} of {len(files)} images answered, largest difference in risk {same_graph:.1e} "
                f"to the model file in Python, {by_pillow:.1e} to nevus.load, which resizes with Pillow; "
                f"decisions that differ: {flipped}",
                flush=True,
            )
    return 0


def risk_in_graph(session: onnxruntime.InferenceSession, path: Path) -> float:
    """What the model file says in Python of pixels as they are, resized by its own nodes."""
    (risk,) = session.run(["risk"], {INPUT: np.asarray(decode(path))[np.newaxis]})
    return float(risk[0])


def in_browser(folder: Path, files: list[Path]) -> list[dict[str, str]]:
    """The rows of the CSV that the page gives for files."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as static, sync_playwright() as driver:
        threading.Thread(target=static.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{static.server_port}/")
        expect(page.locator("html")).to_have_attribute("data-ready", "true", timeout=120_000)
        page.set_input_files("#choose", files)
        whole = re.compile(rf"^{len(files)} of {len(files)} ")
        expect(page.locator("#status")).to_have_text(whole, timeout=600_000)
        with page.expect_download() as download:
            page.click("#csv")
        text = Path(download.value.path()).read_text(encoding="utf-8")
        browser.close()
        static.shutdown()
    return list(csv.DictReader(io.StringIO(text)))


if __name__ == "__main__":
    sys.exit(main())
