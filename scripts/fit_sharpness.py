"""Fits and measures the check's sharpness, which with the size is one part of src/nevus/serve/quality.onnx.

    python scripts/fit_sharpness.py DATA [--count 1000] [--write]

DATA holds melanoma10000/ and ham10000/. Half of each fits, the other half tests. A table of error rates goes to
standard output; `--write` replaces the file. The part of the file that tells what is dermoscopic stays as it is:
see scripts/fit_likeness.py.

The check is one ONNX graph, so that Python and the browser run the same: uint8 [1, height, width, 3] to
`margins`, float32 [1, 3] (size, sharpness, likeness), refused where one is below 0. Sharpness is a logistic
regression on how fine detail fades at three scales, computed by nodes of the graph, also for the fit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from check_pictures import SIDE, Pixels, opened, phantoms
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageFilter
from sklearn.linear_model import LogisticRegression

from nevus.serve.image_files import find_images
from nevus.serve.quality import QUALITY_MODEL

# Fewer pixels than this on the shorter side, and the network would see little but enlarged pixels.
MIN_SIDE = 96
# Width, in pixels at 128 x 128, of the Gaussian blur that the check learns to refuse.
BLUR = 4.0
# Of the dermoscopic images of the fit, the sharpness refuses this share.
REFUSED = 0.005
SEED = 7

Floats = NDArray[np.float32]


# The graph ---------------------------------------------------------------------------------------------------------


def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def feature_nodes() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """uint8 pixels to `image` float32 [1, 3, 128, 128] in 0 to 1 and `detail` float32 [1, 3]."""
    constants = {
        "size": np.array([SIDE, SIDE], dtype=np.int64),
        "255": np.array(255, dtype=np.float32),
        "least": np.array(1e-4, dtype=np.float32),
        "channels": np.array([1], dtype=np.int64),
        "all": np.array([1, 2, 3], dtype=np.int64),
        "laplacian": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=np.float32)[None, None],
    }
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


def margin_nodes(sharpness: dict[str, Floats]) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Features to `margins`: of the size, of the detail (linear), and the likeness as it comes."""
    constants = {
        **{f"sharpness_{name}": value for name, value in sharpness.items()},
        "min_side": np.array(MIN_SIDE, dtype=np.float32),
        "sides": np.array([1, 2], dtype=np.int64),
        "as_column": np.array([1, 1], dtype=np.int64),
    }
    nodes = [
        node("MatMul", ["detail", "sharpness_linear"], "sharpness_sum"),
        node("Add", ["sharpness_sum", "sharpness_constant"], "sharpness"),
        node("Shape", ["pixels"], "shape"),
        node("Gather", ["shape", "sides"], "height_and_width"),
        node("ReduceMin", ["height_and_width"], "shorter_side", keepdims=0),
        node("Cast", ["shorter_side"], "shorter", to=TensorProto.FLOAT),
        node("Sub", ["shorter", "min_side"], "size_scalar"),
        node("Reshape", ["size_scalar", "as_column"], "size_margin"),
        node("Concat", ["size_margin", "sharpness", "likeness"], "margins", axis=1),
    ]
    return nodes, [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]


def likeness_nodes(check: bytes) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The part of a check that goes from `image` to `likeness`: see scripts/fit_likeness.py."""
    graph = onnx.load_from_string(check).graph
    nodes = [item for item in graph.node if item.name.startswith("net_") or item.name == "likeness"]
    return nodes, [item for item in graph.initializer if item.name.startswith("net_")]


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


def blurred(images: Iterator[Image.Image], width: float) -> Iterator[Pixels]:
    """Images out of focus; `width` is that of the Gaussian in pixels at 128 x 128."""
    for image in images:
        yield np.asarray(image.filter(ImageFilter.GaussianBlur(width * min(image.size) / SIDE)))


# Fit and measure ---------------------------------------------------------------------------------------------------


def fit_sharpness(sharp: Floats, soft: Floats) -> dict[str, Floats]:
    fitted = LogisticRegression(C=100.0, class_weight="balanced").fit(*labelled(sharp, soft))
    linear, constant = fitted.coef_.T, fitted.intercept_
    return floats(linear=linear, constant=constant - np.quantile(sharp @ linear + constant, REFUSED))


def labelled(good: Floats, bad: Floats) -> tuple[Floats, NDArray[np.int64]]:
    return np.concatenate([good, bad]), np.repeat([1, 0], [len(good), len(bad)])


def floats(**values: NDArray[np.float64]) -> dict[str, Floats]:
    return {name: np.asarray(value, dtype=np.float32) for name, value in values.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--phantoms", type=Path, default=Path("build/quality_phantoms"), help="where to keep phantoms")
    parser.add_argument("--count", type=int, default=1000, help="images of each dermoscopic set, fit and test each")
    parser.add_argument("--write", action="store_true", help=f"replace {QUALITY_MODEL}")
    arguments = parser.parse_args()
    sets = {
        "melanoma10000": arguments.data / "melanoma10000" / "train",
        "ham10000": arguments.data / "ham10000" / "images",
    }
    made = [phantoms(seed, 300, arguments.phantoms / str(seed)) for seed in (1, 2)]

    real = [path for folder in sets.values() for path in dermoscopic(folder, arguments.count, 0)] + made[0]
    features = make_model({"detail": 3}, feature_nodes())
    (sharp,) = run(features, varied(opened(real), np.random.default_rng(SEED), 1))
    (soft,) = run(features, blurred(opened(real), BLUR))
    check = make_model(
        {"margins": 3},
        feature_nodes(),
        likeness_nodes(QUALITY_MODEL.read_bytes()),
        margin_nodes(fit_sharpness(sharp, soft)),
    )
    print(f"fitted on {len(real):,} dermoscopic images and phantoms; {len(check):,} bytes\n")

    print("share refused, of images that were not in the fit\n")
    print(f"| {'images':<44} | number | too small | too blurred | not dermoscopic | any |\n|{' --- |' * 6}")
    for name, folder in sets.items():
        show(check, name, (np.asarray(image) for image in opened(dermoscopic(folder, arguments.count, 1))))
    show(check, "phantoms", (np.asarray(image) for image in opened(made[1])))
    tested = dermoscopic(sets["melanoma10000"], 500, 1) + dermoscopic(sets["ham10000"], 500, 1)
    for width in (1.0, 2.0, 3.0, 4.0, 6.0):
        show(check, f"both, blurred by {width:g} of {SIDE} pixels", blurred(opened(tested), width))
    show(check, "both, 90 pixels", (np.asarray(image.resize((90, 90))) for image in opened(tested)))
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
