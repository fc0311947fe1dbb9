"""Is a picture another one turned by any angle? Guesses the angle, lays one over the other and compares fine detail.

`data.alignment` asks for the symmetries of the square; here the second picture may be turned by any angle, mirrored or
not, and may have been squeezed to a square after that, as a prepared image is. The angle is read from the magnitudes of
the Fourier transform, which turn with a picture and forget where it is. Works on batches of grey pictures, float32
[P, n, n]; knows no files.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from nevus.data.detail import correlation, detail, surround

Floats = NDArray[np.float32]
Masks = NDArray[np.bool_]

# Frequencies and angles at which magnitudes are compared.
_FREQUENCIES, _ANGLES = tuple(range(2, 11)), 36
_COARSE_STEPS, _FINE_STEPS = 5, 2
# What a turn leaves of a square is the disc within it; coordinates run from -1 to 1.
_RADIUS = 0.95
_LARGEST_SHIFT = 0.25
# Of the disc, what must be shown by both, and be left of it without the dark surround.
_LEAST_OVERLAP = 0.7
_LEAST_FIELD = 0.15
# Singular values of a placement: the crop of a tenth, and a turn of a picture of 4:3 that was squeezed to a square.
_SCALES = (0.7, 1.45)
# Where a look ends: with pairs whose detail is less alike at the guessed angle, and after alignment at half the size.
# docs/audit.md has what they were chosen by.
_LEAST_GUESS = 0.5
_LEAST_COARSE_SCORE = 0.75


def turned_similarity(first: Floats, second: Floats, coarse: tuple[Floats, Floats]) -> tuple[Floats, Floats, Masks]:
    """How well the second pictures match the first ones in fine detail, once turned and laid over them.

    Args:
        first: float32 [P, n, n], in grey levels.
        second: the same.
        coarse: both at half their size.

    Returns:
        float32 [P] in [-1, 1], the correlation of detail over the disc that both show (-1 where a pair was given up
        before); the matrices, float32 [P, 2, 2], that take places in the first to places in the second; and bool [P],
        where another look may find more.
    """
    guesses = best_turns(*coarse)
    score, matrices, rough = _look(first, second, coarse, *(values[:, 0] for values in guesses))
    doubtful = (guesses[2][:, 0] < _LEAST_GUESS) | (rough >= _LEAST_COARSE_SCORE)
    again = np.flatnonzero(doubtful & (score < _LEAST_COARSE_SCORE))
    if len(again):
        pictures = first[again], second[again], (coarse[0][again], coarse[1][again])
        other_score, other_matrices, _ = _look(*pictures, *(values[again, 1] for values in guesses))
        better = other_score > score[again]
        score[again[better]], matrices[again[better]] = other_score[better], other_matrices[better]
    return score, matrices, doubtful


def _look(
    first: Floats, second: Floats, coarse: tuple[Floats, Floats], matrices: Floats, shifts: Floats, guess: Floats
) -> tuple[Floats, Floats, Floats]:
    """The score of each pair from one guess, -1 where it was given up; the matrices; and the score at half the size."""
    score = np.full(len(first), -1, dtype=np.float32)
    rough = score.copy()
    likely = np.flatnonzero(guess >= _LEAST_GUESS)
    if len(likely):
        one, other = (pictures[likely] for pictures in coarse)
        matrices[likely], shifts[likely] = aligned(one, other, matrices[likely], shifts[likely], _COARSE_STEPS)
        rough[likely] = placed_score(one, other, matrices[likely], shifts[likely])
    alike = np.flatnonzero(rough >= _LEAST_COARSE_SCORE)
    if len(alike):
        one, other = first[alike], second[alike]
        matrices[alike], shifts[alike] = aligned(one, other, matrices[alike], shifts[alike], _FINE_STEPS)
        score[alike] = placed_score(one, other, matrices[alike], shifts[alike])
    return score, matrices, rough


def polar_magnitudes(images: Floats) -> Floats:
    """Magnitudes of the Fourier transform by frequency and angle.

    Args:
        images: float32 [P, n, n].

    Returns:
        float32 [P, F, A], less the mean of each frequency, of length 1 as a whole.
    """
    size = images.shape[-1]
    window, waves = polar_waves(size, _FREQUENCIES, _ANGLES)
    centred = (images - (images * window).sum(axis=(1, 2), keepdims=True)) * window
    parts = (centred.reshape(len(images), -1) @ waves).reshape(len(images), 2, len(_FREQUENCIES), _ANGLES)
    magnitudes = np.sqrt(np.hypot(parts[:, 0], parts[:, 1]))
    magnitudes = magnitudes - magnitudes.mean(axis=2, keepdims=True)
    norms = np.linalg.norm(magnitudes, axis=(1, 2), keepdims=True)
    result: Floats = (magnitudes / (norms + 1e-6)).astype(np.float32)
    return result


@cache
def polar_waves(size: int, frequencies: tuple[int, ...], num_angles: int) -> tuple[Floats, Floats]:
    """The waves whose products with a picture are its Fourier transform at points in polar coordinates.

    Args:
        size: of the side of the picture.
        frequencies: in waves per side.
        num_angles: over half a turn; the other half has the same magnitudes.

    Returns:
        A round window [size, size] of sum 1, for the picture; and the cosine and the sine of each wave, float32
        [size * size, 2 * frequencies * angles].
    """
    place = (np.arange(size) + 0.5) / size * 2 - 1
    radius = np.hypot(place[:, None], place)
    window = np.where(radius < 1, 0.5 + 0.5 * np.cos(np.pi * radius), 0)
    angles = np.arange(num_angles) / num_angles * np.pi
    by_y, by_x = (np.outer(frequencies, direction(angles)).ravel() for direction in (np.sin, np.cos))
    phases = np.pi * (place.repeat(size)[:, None] * by_y + np.tile(place, size)[:, None] * by_x)
    waves = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    return (window / window.sum()).astype(np.float32), waves.astype(np.float32)


def likely_turns(first: Floats, second: Floats) -> Floats:
    """The angle by which each second picture is most likely turned, as it is and mirrored.

    Args:
        first: what `polar_magnitudes` gives of the first pictures, [P, F, A].
        second: of the second ones.

    Returns:
        Matrices [P, 2, 2, 2] that take places in the first picture to places in the second: not mirrored and mirrored,
        each known but for half a turn.
    """
    spectrum = np.fft.rfft(first, axis=2)
    matrices = []
    for mirrored in (False, True):
        other = np.fft.rfft(second[:, :, -np.arange(_ANGLES)] if mirrored else second, axis=2)
        likeness = np.fft.irfft((np.conj(spectrum) * other).sum(axis=1), n=_ANGLES, axis=1)
        best = likeness.argmax(axis=1)
        everyone = np.arange(len(first))
        before, at, after = (likeness[everyone, (best + step) % _ANGLES] for step in (-1, 0, 1))
        part = 0.5 * (before - after) / np.minimum(before - 2 * at + after, -1e-6)
        angle = (best + np.clip(part, -0.5, 0.5)) * (np.pi / _ANGLES)
        cosine, sine = np.cos(angle), np.sin(angle)
        # (y, x) of the first picture, turned; mirrored at the horizontal axis after that.
        sign = -1 if mirrored else 1
        matrix = np.stack([sign * cosine, sign * sine, -sine, cosine], axis=1).reshape(-1, 2, 2)
        matrices.append(matrix)
    return np.stack(matrices, axis=1).astype(np.float32)


def warp(images: Floats, matrices: Floats, shifts: Floats) -> tuple[Floats, Masks]:
    """Samples each image at matrix @ (y, x) + shift, bilinearly.

    Args:
        images: float32 [P, n, n].
        matrices: float32 [P, 2, 2].
        shifts: float32 [P, 2], along y and x.

    Returns:
        The samples, float32 [P, n, n], and where they are inside, bool [P, n, n]. Beyond the edge the outermost pixel
        goes on.
    """
    size = images.shape[-1]
    place = _places(size)
    at = (matrices @ place + shifts[:, :, None] + 1) * np.float32(size / 2) - np.float32(0.5)
    inside = ((at > -0.01) & (at < size - 0.99)).all(axis=1)
    np.clip(at, 0, np.float32(size - 1.001), out=at)
    corner = at.astype(np.int32)
    by_y, by_x = np.moveaxis(at - corner.astype(np.float32), 1, 0)
    index = corner[:, 0] * size + corner[:, 1] + (np.arange(len(images), dtype=np.int32) * size * size)[:, None]
    flat = images.reshape(-1)
    upper = flat[index] * (1 - by_x) + flat[index + 1] * by_x
    index += size
    lower = flat[index] * (1 - by_x) + flat[index + 1] * by_x
    samples = upper * (1 - by_y) + lower * by_y
    return samples.reshape(images.shape), inside.reshape(images.shape)


@cache
def _places(size: int) -> Floats:
    """The coordinates of all pixels, [2, n * n]: y and x."""
    place = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    return np.stack([place.repeat(size), np.tile(place, size)])


@cache
def _disc(size: int) -> Masks:
    inside: Masks = (np.hypot(*_places(size)) <= _RADIUS).reshape(size, size)
    return inside


def best_turns(first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """The two turns of each second picture at which its detail is most like that of the first, before any alignment.

    Args:
        first: float32 [P, n, n].
        second: the same.

    Returns:
        Matrices [P, 2, 2, 2], shifts [P, 2, 2], and the correlation of detail over the disc, [P, 2]; the better first.
    """
    matrices = likely_turns(polar_magnitudes(first), polar_magnitudes(second))
    size = first.shape[-1]
    most = round(_LARGEST_SHIFT * size / 2)
    hanning = np.hanning(size + 2)[1:-1]
    window = (_disc(size) * np.outer(hanning, hanning)).astype(np.float32)
    # The rim of a round field is alike in thousands of images.
    fine = detail(first) * ~surround(first), detail(second) * ~surround(second)
    spectrum = np.fft.rfft2(_windowed(fine[0], window))
    none = np.zeros((len(first), 2), np.float32)
    peaks, places, chosen = [], [], []
    for mirrored in range(2):
        turned, _ = warp(fine[1], matrices[:, mirrored], none)
        other = np.fft.rfft2(_windowed(turned, window))
        for half_turn, factor in ((1, np.conj(other)), (-1, _half_turned(other, size))):
            correlations = np.fft.irfft2(spectrum * factor, s=(size, size))
            near = np.roll(correlations, (most, most), axis=(1, 2))[:, : 2 * most + 1, : 2 * most + 1]
            near = near.reshape(len(first), -1)
            peaks.append(near.max(axis=1))
            places.append(near.argmax(axis=1))
            chosen.append(half_turn * matrices[:, mirrored])
    order = np.argsort(-np.stack(peaks, axis=1), axis=1, kind="stable")[:, :2]
    at = np.take_along_axis(np.stack(places, axis=1), order, axis=1)
    matrix = np.take_along_axis(np.stack(chosen, axis=1), order[:, :, None, None], axis=1)
    steps = np.stack(np.divmod(at, 2 * most + 1), axis=2) - most
    # A shift of the turned picture is one of the second picture before it is turned.
    shift = (matrix @ (-steps * 2 / size).astype(np.float32)[..., None])[..., 0]
    return matrix, shift, np.take_along_axis(np.stack(peaks, axis=1), order, axis=1).astype(np.float32)


def _half_turned(spectrum: NDArray[np.complexfloating], size: int) -> NDArray[np.complexfloating]:
    """The conjugate spectrum of a picture turned by half a turn, from that of the picture."""
    # Turned about the middle between the pixels, not about pixel 0: shifted by one pixel less than the size.
    wave = (
        np.exp(2j * np.pi * (size - 1) * np.fft.fftfreq(size)),
        np.exp(2j * np.pi * (size - 1) * np.fft.rfftfreq(size)),
    )
    turned: NDArray[np.complex64] = spectrum * np.outer(*wave).astype(np.complex64)
    return turned


def _windowed(images: Floats, window: Floats) -> Floats:
    centred = (images - (images * window).sum(axis=(1, 2), keepdims=True) / window.sum()) * window
    windowed: Floats = centred / (np.linalg.norm(centred, axis=(1, 2), keepdims=True) + 1e-6)
    return windowed


def aligned(first: Floats, second: Floats, matrices: Floats, shifts: Floats, steps: int) -> tuple[Floats, Floats]:
    """Improves placements by Gauss-Newton steps on the squared difference of the grey levels, over the disc.

    The model is first = gain * second(matrix @ place + shift) + bias, linearised at the current placement and solved by
    least squares, as in Lucas and Kanade (1981); the matrix may become any.
    """
    size = first.shape[-1]
    place_y, place_x = _places(size).reshape(2, size, size)
    diagonal = np.arange(8)
    disc = _disc(size)
    for _ in range(steps):
        placed, inside = warp(second, matrices, shifts)
        weight = (inside & disc).astype(np.float32)
        area = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1)
        by_y, by_x = (np.gradient(placed, axis=axis) * np.float32(size / 2) * weight for axis in (1, 2))
        centred = (placed - (placed * weight).sum(axis=(1, 2), keepdims=True) / area) * weight
        target = (first - (first * weight).sum(axis=(1, 2), keepdims=True) / area) * weight
        columns = np.stack(
            [centred, weight, by_y, by_y * place_y, by_y * place_x, by_x, by_x * place_y, by_x * place_x], axis=1
        ).reshape(len(first), 8, -1)
        normal = columns @ columns.transpose(0, 2, 1)
        normal[:, diagonal, diagonal] = normal[:, diagonal, diagonal] * np.float32(1.001) + np.float32(1e-3)
        fit = np.linalg.solve(normal, columns @ target.reshape(len(first), -1, 1))[:, :, 0]
        change = np.clip(fit[:, 2:] / np.maximum(fit[:, :1], 0.2), -0.1, 0.1).reshape(-1, 2, 3)
        shifts = np.asarray(shifts + (matrices @ change[:, :, :1])[:, :, 0], dtype=np.float32)
        matrices = np.asarray(matrices + matrices @ change[:, :, 1:], dtype=np.float32)
    return matrices, shifts


def placed_score(first: Floats, second: Floats, matrices: Floats, shifts: Floats) -> Floats:
    """The correlation of detail of pictures at their placements, [P]; -1 where too little is shown by both."""
    size = first.shape[-1]
    placed, inside = warp(second, matrices, shifts)
    disc = _disc(size)
    shared = inside & disc
    field = shared & ~surround(first) & ~surround(placed)
    values = np.linalg.svd(matrices, compute_uv=False)
    fits = (
        (shared.sum(axis=(1, 2)) >= _LEAST_OVERLAP * disc.sum())
        & (field.sum(axis=(1, 2)) >= _LEAST_FIELD * disc.sum())
        & (values[:, 0] <= _SCALES[1])
        & (values[:, 1] >= _SCALES[0])
    )
    return np.where(fits, correlation(detail(first), detail(placed), field), np.float32(-1))
