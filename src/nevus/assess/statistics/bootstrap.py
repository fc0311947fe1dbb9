"""The bootstrap over groups: 95 % intervals of metrics that have no method of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nevus.assess.statistics.metrics import Floats
from nevus.assess.statistics.uncertainty import Groups
from nevus.assess.statistics.undefined import undefined

# Weights of one chunk of resamples: 8 MiB of float64, whatever the number of images. Chunks that
# leave the processor's cache take three times as long (2,000 resamples of 10,000 images: 0.6 s, not 1.6 s).
_CHUNK_WEIGHTS = 1_000_000

# Resamples that lack a class give no metric. Leaving out more than this share would bend the interval.
_MOST_UNDEFINED = 0.05


def bootstrap(
    figures: Callable[[Floats], Floats],
    names: Sequence[str],
    groups: Groups,
    *,
    resamples: int,
    seed: int,
    classes: NDArray[np.int64] | None = None,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals from resampling groups with replacement [1].

    A metric that over 5 % of the resamples leave undefined, because they lack a rare class, is resampled class by
    class: the groups of each class among themselves, n - 1 of n and each counting n / (n - 1) times, which gives the
    variance of a mean in each class without a bias, however few its groups are [2].

    Args:
        figures: from weights float64 [R, N], how often each image was drawn, to float64 [K, R]:
            K metrics of each of R resamples, NaN where one is undefined.
        names: of the K metrics.
        groups: int64 [N]; a drawn group brings all its images.
        resamples: how many.
        seed: equal seeds give equal intervals.
        classes: int64 [N], the class of each image; None to not resample class by class.

    Returns:
        Lower and upper end by name; NaN, with a warning, for a metric that over 5 % of the
        resamples leave undefined, and for one that is the same in all of them. Class by class there is none either
        if a class has one group only.

    References:
        [1] Davison & Hinkley, Bootstrap Methods and their Application (1997), sections 3.8 and 5.3.
        [2] Rao & Wu, Resampling inference with complex survey data, JASA 83 (1988).

    Examples:
        >>> values = np.arange(10.0)
        >>> means = lambda weights: (weights @ values / weights.sum(axis=1))[np.newaxis]
        >>> ends = bootstrap(means, ["mean"], np.arange(10), resamples=200, seed=0)
        >>> [round(end, 2) for end in ends["mean"]]
        [2.9, 6.4]
    """
    random = np.random.default_rng(seed)
    num_groups = int(groups.max()) + 1
    found = _resampled(figures, groups, resamples, lambda rows: _counts_of_draws(random, rows, num_groups))
    lacking = [bool(np.isnan(values).mean() > _MOST_UNDEFINED) for values in found]
    strata = _strata(classes, groups) if classes is not None and any(lacking) else None
    if strata is not None:
        by_class = _resampled(figures, groups, resamples, lambda rows: _counts_by_stratum(random, rows, strata))
        found = [other if lacks else values for values, other, lacks in zip(found, by_class, lacking, strict=True)]
    return {name: _percentiles(name, values) for name, values in zip(names, found, strict=True)}


def _resampled(
    figures: Callable[[Floats], Floats], groups: Groups, resamples: int, draw: Callable[[int], Floats]
) -> list[Floats]:
    """The values of each metric in all resamples; `draw` gives how often each group counts, [rows, G]."""
    num_groups = int(groups.max()) + 1
    are_single = groups.size == num_groups and bool((groups == np.arange(num_groups)).all())
    chunk = max(1, _CHUNK_WEIGHTS // max(groups.size, num_groups))
    parts = []
    for start in range(0, resamples, chunk):
        counts = draw(min(chunk, resamples - start))
        parts.append(figures(counts if are_single else counts[:, groups]))
    return list(np.concatenate(parts, axis=1))


def _counts_of_draws(random: np.random.Generator, rows: int, num_groups: int) -> Floats:
    """How often each of G groups is drawn, in each of several resamples: [rows, G]."""
    drawn = random.integers(num_groups, size=(rows, num_groups)) + num_groups * np.arange(rows)[:, np.newaxis]
    return np.bincount(drawn.ravel(), minlength=rows * num_groups).reshape(rows, num_groups).astype(np.float64)


def _counts_by_stratum(random: np.random.Generator, rows: int, strata: NDArray[np.int64]) -> Floats:
    """The weights of groups that are drawn within their stratum, n - 1 of n: float64 [rows, G]."""
    weights = np.zeros((rows, strata.size))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        shares = np.full(members.size, 1.0 / members.size)
        drawn = random.multinomial(members.size - 1, shares, size=rows)
        weights[:, members] = drawn * (members.size / (members.size - 1))
    return weights


def _strata(classes: NDArray[np.int64], groups: Groups) -> NDArray[np.int64] | None:
    """int64 [G]: the rarest class of each group, by number of groups; None if a stratum would be a single group."""
    pairs = np.unique(np.stack([classes, groups]), axis=1)
    num_groups_of = np.bincount(pairs[0])
    # Written from the commonest class to the rarest, which is the last to be written.
    order = np.argsort(-num_groups_of[pairs[0]], kind="stable")
    strata = np.full(int(groups.max()) + 1, -1, dtype=np.int64)
    strata[pairs[1][order]] = pairs[0][order]
    return None if np.unique(strata, return_counts=True)[1].min() < 2 else strata


def _percentiles(name: str, values: Floats) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    if defined.size < (1.0 - _MOST_UNDEFINED) * values.size:
        nan = undefined(
            f"the interval of {name}", f"{1 - defined.size / values.size:.0%} of the resamples lack a class"
        )
        return nan, nan
    if defined.min() == defined.max():
        # A perfect metric, say: every resample of perfect answers is perfect, however few they are.
        nan = undefined(f"the interval of {name}", f"every resample gives {defined[0]:.4g}, so it would have no width")
        return nan, nan
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)
