"""Drawing a share of the images by whole groups, with every class in proportion as far as its groups allow.

Owns how the images of a split are chosen. It knows arrays of labels and groups alone, no manifest and no split.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Labels = NDArray[np.str_]

# Ten folds come within .03 of any share, and few folds are balanced better than many.
_FOLDS = 10
_NEAR = 0.03
# Orders in which the few groups of a rare class are tried.
_TRIES = 200


def draw(labels: Labels, groups: Positions, fraction: float, seed: int, leave: int = 1) -> Positions:
    """Draws about `fraction` of the images by whole groups, the classes in proportion.

    A class with few groups can only be cut coarsely. Where that would keep a class with more groups from its share,
    the rare classes are drawn by themselves.

    Args:
        labels: of the images.
        groups: of the images, named by numbers; each class has more of them than `leave`.
        fraction: in (0, 1).
        seed: of the draw.
        leave: groups of each class not to be drawn, if they can be chosen so: one for each split still to be made.

    Returns:
        int64, the positions drawn.
    """
    drawn = _draw_folds(labels, groups, fraction, seed, leave)
    numbers = {str(name): len(np.unique(groups[labels == name])) for name in np.unique(labels)}
    rare = sorted(
        (name for name in numbers if numbers[name] < _folds_for(fraction, labels.size)), key=numbers.__getitem__
    )
    common = [name for name in numbers if name not in rare]
    if rare and any(abs(_share(labels == name, drawn) - fraction) > _NEAR for name in common):
        apart = _draw_rare_apart(labels, groups, fraction, seed, leave, rare)
        return drawn if apart is None else apart
    return drawn


def _draw_folds(labels: Labels, groups: Positions, fraction: float, seed: int, leave: int) -> Positions:
    """Cuts the images into folds, and takes as many neighbouring ones as make up the fraction.

    Of all such choices the one nearest to the wanted number of images in each class: .15 is one fold of seven. A class
    cannot be in more folds than it has groups, so the rarest decides how many there are.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    num_groups = min(len(np.unique(groups[labels == name])) for name in np.unique(labels))
    most_folds = min(_folds_for(fraction, labels.size), num_groups)
    share = Fraction(fraction).limit_denominator(most_folds) or Fraction(1, most_folds)
    most = max(1, (num_groups - leave) * most_folds // num_groups)
    share = min(share, Fraction(most, most_folds))
    folding = StratifiedGroupKFold(share.denominator, shuffle=True, random_state=seed)
    folds = [fold for _, fold in folding.split(labels, labels, groups)]
    names, totals = np.unique(labels, return_counts=True)

    def distance(drawn: Positions) -> float:
        counts = np.array([np.count_nonzero(labels[drawn] == name) for name in names])
        return float(np.abs(counts - fraction * totals).sum())

    choices = [
        np.concatenate([folds[(start + step) % len(folds)] for step in range(share.numerator)])
        for start in range(len(folds))
    ]
    return min(choices, key=lambda drawn: (_num_emptied(labels, groups, drawn, leave), distance(drawn)))


def _draw_rare_apart(
    labels: Labels, groups: Positions, fraction: float, seed: int, leave: int, rare: list[str]
) -> Positions | None:
    """Draws groups that hold an image of a rare class for the sake of that class, then the others in proportion.

    Args:
        labels: as for `draw`, like the next four.
        groups: as for `draw`.
        fraction: as for `draw`.
        seed: as for `draw`.
        leave: as for `draw`.
        rare: class names, the rarest first.

    Returns:
        The positions; None if a class would be in no group that is drawn, or in too few that are left.
    """
    random = np.random.default_rng(seed)
    is_drawn: dict[int, bool] = {}
    for name in rare:
        found, sizes = np.unique(groups[labels == name], return_counts=True)
        _decide(dict(zip(found.tolist(), sizes.tolist(), strict=True)), is_drawn, fraction, leave, random)
    drawn = np.flatnonzero(np.isin(groups, [group for group, chosen in is_drawn.items() if chosen]))
    rest = np.flatnonzero(~np.isin(groups, list(is_drawn)))
    if any(len(np.unique(groups[rest][labels[rest] == name])) <= leave for name in set(labels) - set(rare)):
        return None
    drawn = np.concatenate([drawn, rest[_draw_folds(labels[rest], groups[rest], fraction, seed, leave)]])
    is_complete = set(labels[drawn]) == set(labels) and not _num_emptied(labels, groups, drawn, leave)
    return np.sort(drawn) if is_complete else None


def _decide(
    sizes: dict[int, int], is_drawn: dict[int, bool], fraction: float, leave: int, random: np.random.Generator
) -> None:
    """Decides about the groups of a rare class that are undecided, so that about `fraction` of its images are drawn.

    Args:
        sizes: images of the class by group.
        is_drawn: what was decided about groups before; gets the new decisions.
        fraction: in (0, 1).
        leave: groups that must not be drawn.
        random: the order in which groups are tried.
    """
    free = [group for group in sizes if group not in is_drawn]
    taken = [size for group, size in sizes.items() if is_drawn.get(group)]
    num_left = len(sizes) - len(free) - len(taken)
    least, most = max(0, 1 - len(taken)), len(free) - max(0, leave - num_left)
    wanted = fraction * sum(sizes.values()) - sum(taken)
    best, chosen = np.inf, set[int]()
    for _ in range(_TRIES):
        order = random.permutation(free).tolist()
        for number in range(least, most + 1):
            missed = abs(sum(sizes[group] for group in order[:number]) - wanted)
            if missed < best:
                best, chosen = missed, set(order[:number])
    is_drawn.update({group: group in chosen for group in free})


def _folds_for(fraction: float, num_images: int) -> int:
    """How many folds a fraction asks for: a share that is smaller, drawn or left, takes more."""
    return max(_FOLDS, round(1 / max(min(fraction, 1 - fraction), 1 / num_images)))


def _share(is_class: NDArray[np.bool_], drawn: Positions) -> float:
    return float(np.count_nonzero(is_class[drawn]) / np.count_nonzero(is_class))


def _num_emptied(labels: Labels, groups: Positions, drawn: Positions, leave: int) -> int:
    """Of the classes, how many would be left with too few groups."""
    rest = np.setdiff1d(np.arange(len(labels)), drawn)
    return sum(len(np.unique(groups[rest][labels[rest] == name])) < leave for name in np.unique(labels))
