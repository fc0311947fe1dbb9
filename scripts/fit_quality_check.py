"""Fits the check that stands before the model on the page, and measures it: src/nevus/serve/quality.onnx.

    python scripts/fit_quality_check.py DATA --fit-others FOLDER... --test-others FOLDER... [--write]

DATA holds melanoma10000/ and ham10000/; the others are folders of any pictures that are not dermoscopic
images. Half of each dermoscopic set fits, the other half tests; the others of the test come from other
collections than those of the fit. Tables of error rates go to standard output; `--write` replaces the file.

The check is one ONNX graph, so that Python and the browser run the same: uint8 [1, height, width, 3] to
`margins`, float32 [1, 3] (size, sharpness, likeness), refused where one is below 0. Its features are computed
by nodes of the graph, also for the fit. Sharpness: a logistic regression on how fine detail fades at three scales.
Likeness: one on brightness, two colour differences and texture of 8 x 8 cells (how these spread, and how the middle
differs from the border), with all their products.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from sklearn.linear_model import LogisticRegression

from nevus.core.errors import ImageError
from nevus.core.preprocess import decode
from nevus.data import phantom
from nevus.serve.images import find_images
from nevus.serve.quality import QUALITY_MODEL

SIDE, CELLS = 128, 8
# Fewer pixels than this on the shorter side, and the network would see little but enlarged pixels.
MIN_SIDE = 96
# Width, in pixels at 128 x 128, of the Gaussian blur that the check learns to refuse.
BLUR = 4.0
# Of the dermoscopic images of the fit, each of the two fitted margins refuses this share.
REFUSED = 0.005
# Ranks, of the cells in order, that stand for the spread of a plane.
RANKS = (3, 16, 32, 48, 60)
NUM_FEATURES = 5 * (len(RANKS) + 4)
# Standardised features are clipped here, so that a product cannot run away.
FARTHEST = 6.0
SEED = 7

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


# The graph ---------------------------------------------------------------------------------------------------------


def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def feature_nodes() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """uint8 pixels to `layout` float32 [1, NUM_FEATURES] and `detail` float32 [1, 3]."""
    cell = SIDE // CELLS
    inside = np.zeros((CELLS, CELLS), dtype=bool)
    inside[2:-2, 2:-2] = True
    border = (~inside).ravel() / (~inside).sum()
    constants = {
        "size": np.array([SIDE, SIDE], dtype=np.int64),
        "255": np.array(255, dtype=np.float32),
        "least": np.array(1e-4, dtype=np.float32),
        "zero": np.array(0, dtype=np.float32),
        "channels": np.array([1], dtype=np.int64),
        "cells": np.array([2], dtype=np.int64),
        "all": np.array([1, 2, 3], dtype=np.int64),
        "as_planes": np.array([1, 3, CELLS**2], dtype=np.int64),
        "as_row": np.array([1, NUM_FEATURES], dtype=np.int64),
        "laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=np.float32)[None, None],
        # Brightness, red against green, yellow against blue.
        "colours": np.array([[[1 / 3] * 3, [1, -1, 0], [0.5, 0.5, -1]]], dtype=np.float32),
        "num_cells": np.array([CELLS**2], dtype=np.int64),
        "ranks": np.array(RANKS, dtype=np.int64),
        "border": border.astype(np.float32)[:, None],
        "border_less_middle": (border - inside.ravel() / inside.sum()).astype(np.float32)[:, None],
    }
    pool = {"kernel_shape": [cell, cell], "strides": [cell, cell]}
    half = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        # The same filter as in a model file: see nevus.learn.export.onnx_graph.
        node(
            "Resize",
            ["pixels", "", "", "size"],
            "resized",
            mode="linear",
            axes=[1, 2],
            antialias=1,
            exclude_outside=1,
            coordinate_transformation_mode="half_pixel",
        ),
        node("Cast", ["resized"], "float", to=TensorProto.FLOAT),
        node("Div", ["float", "255"], "scaled"),
        node("Transpose", ["scaled"], "image", perm=[0, 3, 1, 2]),
        node("AveragePool", ["image"], "cell_mean", **pool),
        node("Mul", ["image", "image"], "squared"),
        node("AveragePool", ["squared"], "cell_mean_squared", **pool),
        *deviation_nodes("cell_mean", "cell_mean_squared", "cell_deviation"),
        node("Reshape", ["cell_mean", "as_planes"], "mean_planes"),
        node("Reshape", ["cell_deviation", "as_planes"], "deviation_planes"),
        node("MatMul", ["colours", "mean_planes"], "colour_planes"),
        node("ReduceMean", ["deviation_planes", "channels"], "texture", keepdims=1),
        node("ReduceMax", ["deviation_planes", "channels"], "most_texture", keepdims=1),
        node("ReduceMin", ["deviation_planes", "channels"], "least_texture", keepdims=1),
        node("Sub", ["most_texture", "least_texture"], "coloured_texture"),
        node("Concat", ["colour_planes", "texture", "coloured_texture"], "planes", axis=1),
        node("Mul", ["planes", "planes"], "planes_squared"),
        node("ReduceMean", ["planes", "cells"], "average", keepdims=1),
        node("ReduceMean", ["planes_squared", "cells"], "average_squared", keepdims=1),
        *deviation_nodes("average", "average_squared", "spread"),
        helper.make_node("TopK", ["planes", "num_cells"], ["sorted", "order"], name="sorted", axis=2, largest=0),
        node("Gather", ["sorted", "ranks"], "quantiles", axis=2),
        node("MatMul", ["planes", "border_less_middle"], "contrast"),
        node("MatMul", ["planes", "border"], "border_average"),
        node("MatMul", ["planes_squared", "border"], "border_average_squared"),
        *deviation_nodes("border_average", "border_average_squared", "border_spread"),
        node("Concat", ["average", "spread", "quantiles", "contrast", "border_spread"], "by_plane", axis=2),
        node("Reshape", ["by_plane", "as_row"], "layout"),
        node("ReduceMean", ["image", "channels"], "grey_1", keepdims=1),
        node("AveragePool", ["grey_1"], "grey_2", **half),
        node("AveragePool", ["grey_2"], "grey_4", **half),
    ]
    for scale in (1, 2, 4):
        nodes += [
            node("Conv", [f"grey_{scale}", "laplacian"], f"edges_{scale}"),
            node("Abs", [f"edges_{scale}"], f"strength_{scale}"),
            node("ReduceMean", [f"strength_{scale}", "all"], f"detail_{scale}", keepdims=0),
            node("Add", [f"detail_{scale}", "least"], f"above_{scale}"),
            node("Log", [f"above_{scale}"], f"log_{scale}"),
            node("Unsqueeze", [f"log_{scale}", "channels"], f"column_{scale}"),
        ]
    nodes.append(node("Concat", ["column_1", "column_2", "column_4"], "detail", axis=1))
    return nodes, [numpy_helper.from_array(value, name) for name, value in constants.items()]


def deviation_nodes(mean: str, mean_squared: str, output: str) -> list[onnx.NodeProto]:
    """The standard deviation from the mean and the mean of the squares."""
    return [
        node("Mul", [mean, mean], f"{mean}_then_squared"),
        node("Sub", [mean_squared, f"{mean}_then_squared"], f"{output}_squared"),
        # Rounding can carry a variance below 0.
        node("Max", [f"{output}_squared", "zero"], f"{output}_variance"),
        node("Sqrt", [f"{output}_variance"], output),
    ]


def margin_nodes(
    sharpness: dict[str, Floats], likeness: dict[str, Floats]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Features to `margins`: of the size, of the detail (linear), of the layout (linear and all products)."""
    constants = {
        **{f"sharpness_{name}": value for name, value in sharpness.items()},
        **{f"likeness_{name}": value for name, value in likeness.items()},
        "lowest": np.array(-FARTHEST, dtype=np.float32),
        "highest": np.array(FARTHEST, dtype=np.float32),
        "min_side": np.array(MIN_SIDE, dtype=np.float32),
        "sides": np.array([1, 2], dtype=np.int64),
        "column": np.array([1], dtype=np.int64),
        "as_column": np.array([1, 1], dtype=np.int64),
    }
    nodes = [
        node("MatMul", ["detail", "sharpness_linear"], "sharpness_sum"),
        node("Add", ["sharpness_sum", "sharpness_constant"], "sharpness"),
        node("Sub", ["layout", "likeness_mean"], "centred"),
        node("Div", ["centred", "likeness_deviation"], "unclipped"),
        node("Clip", ["unclipped", "lowest", "highest"], "standard"),
        node("MatMul", ["standard", "likeness_products"], "half_product"),
        node("Add", ["half_product", "likeness_linear"], "with_linear"),
        node("Mul", ["with_linear", "standard"], "terms"),
        node("ReduceSum", ["terms", "column"], "likeness_sum", keepdims=1),
        node("Add", ["likeness_sum", "likeness_constant"], "likeness"),
        node("Shape", ["pixels"], "shape"),
        node("Gather", ["shape", "sides"], "height_and_width"),
        node("ReduceMin", ["height_and_width"], "shorter_side", keepdims=0),
        node("Cast", ["shorter_side"], "shorter", to=TensorProto.FLOAT),
        node("Sub", ["shorter", "min_side"], "size_scalar"),
        node("Reshape", ["size_scalar", "as_column"], "size_margin"),
        node("Concat", ["size_margin", "sharpness", "likeness"], "margins", axis=1),
    ]
    return nodes, [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]


def make_model(outputs: dict[str, int], *parts: tuple[list[onnx.NodeProto], list[onnx.TensorProto]]) -> bytes:
    graph = helper.make_graph(
        [item for nodes, _ in parts for item in nodes],
        "quality",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, "height", "width", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name, width in outputs.items()],
        [item for _, constants in parts for item in constants],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, producer_name="nevus")
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def run(model: bytes, images: Iterator[Pixels]) -> list[NDArray[np.float32]]:
    """The outputs of a model for each image, stacked."""
    session = onnxruntime.InferenceSession(model)
    answers = [session.run(None, {"pixels": pixels[None]}) for pixels in images]
    return [np.concatenate(column) for column in zip(*answers, strict=True)]


# Pictures ----------------------------------------------------------------------------------------------------------


def dermoscopic(folder: Path, count: int, part: int) -> list[Path]:
    """Every other file of a folder, `count` of them evenly spread: part 0 fits, part 1 tests."""
    paths = list(find_images([folder]))[part::2]
    return [paths[index] for index in np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)]


def opened(paths: Sequence[Path], least: int = 1) -> Iterator[Image.Image]:
    for path in paths:
        try:
            image = decode(path)
        except ImageError:
            continue
        if min(image.size) >= least:
            # Wallpapers are large; nothing finer than this is looked at.
            image.thumbnail((1600, 1600))
            yield image


def varied(images: Iterator[Image.Image], random: np.random.Generator, copies: int) -> Iterator[Pixels]:
    """Each image as it is, and copies turned, cropped and under another light, as other cameras would give it."""
    for image in images:
        yield np.asarray(image)
        for _ in range(copies):
            share = random.uniform(0.7, 1.0)
            width, height = (int(side * share) for side in image.size)
            left, top = (
                int(random.integers(0, side - part + 1)) for side, part in zip(image.size, (width, height), strict=True)
            )
            copy = image.crop((left, top, left + width, top + height)).rotate(90 * int(random.integers(4)), expand=True)
            light = random.uniform(0.85, 1.15) * random.uniform(0.93, 1.07, 3)
            yield np.clip(np.asarray(copy) * light, 0, 255).astype(np.uint8)


def cropped(images: Iterator[Image.Image], random: np.random.Generator, copies: int) -> Iterator[Pixels]:
    """Each picture whole, and crops of it."""
    for image in images:
        yield np.asarray(image)
        for _ in range(copies):
            side = int(min(image.size) * random.uniform(0.3, 0.9))
            left, top = (int(random.integers(0, full - side + 1)) for full in image.size)
            yield np.asarray(image.crop((left, top, left + side, top + side)))


def generated(random: np.random.Generator, count: int) -> Iterator[Pixels]:
    """Pages of text, plain colours, ramps and noise."""
    for number in range(count):
        width, height = random.integers(200, 500, 2)
        kind = number % 4
        if kind == 0:
            image = Image.new("RGB", (width, height), "white" if random.random() < 0.7 else "black")
            draw, ink = ImageDraw.Draw(image), "black" if image.getpixel((0, 0)) == (255, 255, 255) else "white"
            font = ImageFont.load_default(int(random.integers(10, 28)))
            for row in range(5, height, int(random.integers(14, 36))):
                word = "".join(chr(random.integers(97, 123)) if random.random() > 0.18 else " " for _ in range(80))
                draw.text((8, row), word[: random.integers(10, 80)], ink, font)
            yield np.asarray(image)
        elif kind == 1:
            plain = np.full((height, width, 3), random.integers(0, 256, 3), dtype=np.float64)
            yield np.clip(plain + random.normal(0, random.uniform(0, 4), plain.shape), 0, 255).astype(np.uint8)
        elif kind == 2:
            ends = random.integers(0, 256, (2, 3))
            ramp = np.linspace(0, 1, width)[None, :, None] * np.ones((height, 1, 1))
            yield (ends[0] * (1 - ramp) + ends[1] * ramp).astype(np.uint8)
        else:
            small = random.integers(0, 256, (*random.integers(4, 200, 2), 3)).astype(np.uint8)
            yield np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


def blurred(images: Iterator[Image.Image], width: float) -> Iterator[Pixels]:
    """Images out of focus; `width` is that of the Gaussian in pixels at 128 x 128."""
    for image in images:
        yield np.asarray(image.filter(ImageFilter.GaussianBlur(width * min(image.size) / SIDE)))


def phantoms(seed: int, count: int, folder: Path) -> list[Path]:
    if not folder.exists():
        phantom.generate(folder, num_images=count, image_size=SIDE, seed=seed)
    return list(find_images([folder]))


# Fit and measure ---------------------------------------------------------------------------------------------------


def fit_sharpness(sharp: Floats, soft: Floats) -> dict[str, Floats]:
    fitted = LogisticRegression(C=100.0, class_weight="balanced").fit(*labelled(sharp, soft))
    linear, constant = fitted.coef_.T, fitted.intercept_
    return floats(linear=linear, constant=constant - np.quantile(sharp @ linear + constant, REFUSED))


def fit_likeness(alike: Floats, other: Floats) -> dict[str, Floats]:
    """A logistic regression with products, its scaling folded into `constant + z @ linear + z @ products @ z`."""
    features, labels = labelled(alike.astype(np.float64), other.astype(np.float64))
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    standard = np.clip((features - mean) / deviation, -FARTHEST, FARTHEST)
    first, second = np.triu_indices(NUM_FEATURES)
    expanded = np.concatenate([standard, standard[:, first] * standard[:, second]], axis=1)
    shift, scale = expanded.mean(axis=0), expanded.std(axis=0)
    fitted = LogisticRegression(C=0.1, max_iter=100).fit((expanded - shift) / scale, labels)
    weights = fitted.coef_[0] / scale
    constant = fitted.intercept_[0] - weights @ shift
    products = np.zeros((NUM_FEATURES, NUM_FEATURES))
    products[first, second] = weights[NUM_FEATURES:]
    logits = expanded[: len(alike)] @ weights + constant
    return floats(
        mean=mean,
        deviation=deviation,
        linear=weights[:NUM_FEATURES],
        products=products,
        constant=constant - np.quantile(logits, REFUSED),
    )


def labelled(good: Floats, bad: Floats) -> tuple[Floats, NDArray[np.int64]]:
    return np.concatenate([good, bad]), np.repeat([1, 0], [len(good), len(bad)])


def floats(**values: NDArray[np.float64]) -> dict[str, Floats]:
    return {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--fit-others", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--test-others", type=Path, nargs="+", required=True, metavar="FOLDER")
    parser.add_argument("--phantoms", type=Path, default=Path("build/quality_phantoms"), help="where to keep phantoms")
    parser.add_argument("--count", type=int, default=1000, help="images of each dermoscopic set, fit and test each")
    parser.add_argument("--write", action="store_true", help=f"replace {QUALITY_MODEL}")
    arguments = parser.parse_args()
    random = np.random.default_rng(SEED)
    sets = {
        "melanoma10000": arguments.data / "melanoma10000" / "train",
        "ham10000": arguments.data / "ham10000" / "images",
    }
    made = [phantoms(seed, 300, arguments.phantoms / str(seed)) for seed in (1, 2)]

    real = [path for folder in sets.values() for path in dermoscopic(folder, arguments.count, 0)] + made[0]
    others = list(find_images(arguments.fit_others))
    features = make_model({"layout": NUM_FEATURES, "detail": 3}, feature_nodes())
    alike, sharp = run(features, varied(opened(real), random, 1))
    other, _ = run(features, cropped(opened(others, 100), random, 4))
    drawn, _ = run(features, generated(random, 2000))
    _, soft = run(features, blurred(opened(real), BLUR))
    check = make_model(
        {"margins": 3},
        feature_nodes(),
        margin_nodes(fit_sharpness(sharp, soft), fit_likeness(alike, np.concatenate([other, drawn]))),
    )
    print(
        f"fitted on {len(real):,} dermoscopic images and phantoms, {len(other) // 5:,} others; {len(check):,} bytes\n"
    )

    print("share refused, of images that were not in the fit\n")
    print(f"| {'images':<44} | number | too small | too blurred | not dermoscopic | any |\n|{' --- |' * 6}")
    for name, folder in sets.items():
        show(check, name, (np.asarray(image) for image in opened(dermoscopic(folder, arguments.count, 1))))
    show(check, "phantoms", (np.asarray(image) for image in opened(made[1])))
    tested = dermoscopic(sets["melanoma10000"], 500, 1) + dermoscopic(sets["ham10000"], 500, 1)
    for width in (1.0, 2.0, 3.0, 4.0, 6.0):
        show(check, f"both, blurred by {width:g} of {SIDE} pixels", blurred(opened(tested), width))
    show(check, "both, 90 pixels", (np.asarray(image.resize((90, 90))) for image in opened(tested)))
    for folder in arguments.test_others:
        paths = list(find_images([folder]))
        show(check, f"{folder.name}, whole", (np.asarray(image) for image in opened(paths, 100)))
        show(check, f"{folder.name}, with crops", cropped(opened(paths, 100), random, 4))
    show(check, "text, plain colours, ramps, noise", generated(np.random.default_rng(SEED + 1), 400))
    if arguments.write:
        QUALITY_MODEL.write_bytes(check)
        print(f"\n{QUALITY_MODEL}", file=sys.stderr)
    return 0


def show(check: bytes, name: str, images: Iterator[Pixels]) -> None:
    (margins,) = run(check, images)
    first = np.where((margins < 0).any(axis=1), (margins < 0).argmax(axis=1), 3)
    shares = [float((first == kind).mean()) for kind in range(3)]
    cells = " | ".join(f"{share:.3f}" for share in (*shares, sum(shares)))
    print(f"| {name:<44} | {len(first):,} | {cells} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
