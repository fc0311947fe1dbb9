"""The probe of a model: do its heatmaps tell the truth, and does its risk rest on the lesion?

Works on images whose lesions are outlined, through a function that answers for pixels, so it knows no model
file and no library. `heat_truth` has the measures, `artefacts` the changed images.

References:
    [1] Adebayo et al. (2018). Sanity checks for saliency maps. NeurIPS. arXiv:1810.03292.
    [2] Bissoto, Valle, Avila (2020). Debiasing skin lesion datasets and models? Not so fast. CVPR workshops.
        (Scores with the lesion taken out.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nevus.assess.probing import artefacts, heat_truth
from nevus.assess.statistics.delong import roc_auc
from nevus.assess.statistics.uncertainty import Groups, group_codes, mean, proportion
from nevus.core.estimate import Estimate
from nevus.core.image_changes import with_dark_corners, with_ruler
from nevus.core.preprocess import Pixels

SCHEMA_VERSION = 1

# From uint8 [N, S, S, 3], RGB, to the risk, [N], and the heatmaps, [N, h, w], signed.
Answer = Callable[[Pixels], tuple[NDArray[np.floating], NDArray[np.floating]]]

# Names of a layer or set of layers that were given random weights, and the maps of the network after that.
Randomised = tuple[str, NDArray[np.floating]]

CURVES = {
    "share_inside": "positive heat on the lesion",
    "pointing_game": "hottest place on the lesion",
    "deletion": "deletion (low is good)",
    "insertion": "insertion (high is good)",
}
MODEL, GAUSSIAN, NOISE = "model", "bell in the middle", "noise"


@dataclass(frozen=True, slots=True)
class Outlined:
    """Images with the outlines of their lesions.

    Attributes:
        pixels: uint8 [N, S, S, 3], RGB, of the model's own size.
        masks: bool [N, S, S], True on the lesion.
        is_malignant: bool [N], with both kinds.
        groups: of length N; images of one lesion share a value.
    """

    pixels: Pixels
    masks: NDArray[np.bool_]
    is_malignant: NDArray[np.bool_]
    groups: list[str]


def probe(
    answer: Answer, images: Outlined, threshold: float, randomised: Iterable[Randomised] = (), seed: int = 0
) -> dict[str, Any]:
    """Probes a model.

    Args:
        answer: what the model says.
        images: outlined; better none that the model was trained on.
        threshold: the least risk that is called malignant.
        randomised: maps of the same images, in order, of ever more randomised networks; as many images from
            the first on as they hold.
        seed: of the noise.

    Returns:
        For `probe.json`; every metric an Estimate's JSON.
    """
    risk, maps = answer(images.pixels)
    groups = group_codes(images.groups)
    return {
        "schema_version": SCHEMA_VERSION,
        "num_images": len(risk),
        "num_malignant": int(images.is_malignant.sum()),
        "threshold": threshold,
        "lesion_share": float(images.masks.mean()),
        "heat": _heat(answer, images, maps, seed),
        "randomised": [
            {"layers": name, "correlation": _correlation(maps, others, groups)} for name, others in randomised
        ],
        "artefacts": _artefacts(answer, images, risk, threshold, groups),
    }


def _heat(answer: Answer, images: Outlined, maps: NDArray[np.floating], seed: int) -> dict[str, Any]:
    """How well the maps find the lesion in the malignant images: there, what raises the risk should be the lesion."""
    chosen = images.is_malignant
    pixels, masks = images.pixels[chosen], images.masks[chosen]
    groups = group_codes([group for group, wanted in zip(images.groups, chosen, strict=True) if wanted])
    size = pixels.shape[1]
    candidates = {
        MODEL: heat_truth.enlarged(maps[chosen], size),
        GAUSSIAN: heat_truth.centre_gaussian(len(pixels), size),
        NOISE: heat_truth.random_maps(len(pixels), (maps.shape[1], maps.shape[2]), size, seed),
    }
    values = {}
    for name, candidate in candidates.items():
        deletion, insertion = heat_truth.curve_areas(lambda changed: answer(changed)[0], pixels, candidate)
        values[name] = {
            "share_inside": heat_truth.share_inside(candidate, masks),
            "pointing_game": heat_truth.hits(candidate, masks).astype(np.float64),
            "deletion": deletion,
            "insertion": insertion,
        }
    return {
        name: {
            **{figure: mean(of_image, groups).to_json() for figure, of_image in measured.items()},
            "pointing_game": proportion(measured["pointing_game"] == 1, groups).to_json(),
            "over_bell": {
                figure: mean(of_image - values[GAUSSIAN][figure], groups).to_json()
                for figure, of_image in measured.items()
            },
        }
        for name, measured in values.items()
    }


def _correlation(maps: NDArray[np.floating], others: NDArray[np.floating], groups: Groups) -> dict[str, float]:
    """The rank correlation of the maps with those of a randomised network: near 0 where maps come from the weights."""
    first = maps[: len(others)].astype(np.float64)
    return mean(heat_truth.rank_correlation(first, others.astype(np.float64)), groups[: len(others)]).to_json()


def _artefacts(
    answer: Answer, images: Outlined, risk: NDArray[np.floating], threshold: float, groups: Groups
) -> list[dict[str, Any]]:
    """ROC-AUC and risk on changed images."""
    pairs = list(zip(images.pixels, images.masks, strict=True))
    changed = {
        "as they are": images.pixels,
        "lesion taken out": np.stack([artefacts.without_lesion(image, mask) for image, mask in pairs]),
        "only the border left": np.stack([artefacts.only_border(image) for image in images.pixels]),
        "ruler put on": np.stack([with_ruler(image) for image in images.pixels]),
        "dark corners put on": np.stack([with_dark_corners(image) for image in images.pixels]),
    }
    rows = []
    for name, pixels in changed.items():
        moved = answer(pixels)[0].astype(np.float64)
        rows.append(
            {
                "images": name,
                "roc_auc": roc_auc(images.is_malignant, moved, groups).to_json(),
                "mean_risk": mean(moved, groups).to_json(),
                "mean_change": mean(moved - risk, groups).to_json(),
                "flipped": proportion((moved >= threshold) != (risk >= threshold), groups).to_json(),
            }
        )
    return rows


def format_probe(result: dict[str, Any]) -> str:
    """The outcome as a table for a terminal."""
    lines = [
        f"{result['num_images']:,} outlined images, {result['num_malignant']:,} of them malignant; "
        f"lesions cover {100 * result['lesion_share']:.0f} % of an image.",
        "",
        "Heatmaps of the malignant images (95 % intervals):",
        "",
        f"  {'':<30}" + "".join(f"{name:<26}" for name in result["heat"]),
    ]
    lines += [
        f"  {title:<30}" + "".join(f"{Estimate.from_json(of_map[key])!s:<26}" for of_map in result["heat"].values())
        for key, title in CURVES.items()
    ]
    if result["randomised"]:
        lines += ["", "Rank correlation of the heatmaps with those of a network with random weights:", ""]
        lines += [f"  {row['layers']:<44} {Estimate.from_json(row['correlation'])}" for row in result["randomised"]]
    lines += ["", "What the model says of changed images:", ""]
    lines += [f"  {'':<22} {'ROC-AUC':<24} {'risk moves by':<26} decisions that flip"]
    for number, row in enumerate(result["artefacts"]):
        # The first row is the images as they are, from which nothing moves.
        moved = (
            f"{Estimate.from_json(row['mean_change'])!s:<26} {100 * row['flipped']['value']:.1f} %" if number else ""
        )
        lines.append(f"  {row['images']:<22} {Estimate.from_json(row['roc_auc'])!s:<24} {moved}".rstrip())
    return "\n".join(lines)
