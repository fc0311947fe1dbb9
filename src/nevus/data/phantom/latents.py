"""What a phantom is before it is drawn: the ABCD latents that carry the class, and the nuisance that does not.

A lesion has four latents after the ABCD rule of dermoscopy (Stolz et al. 1994). In
each class they are normal with unit variance, and malignant lesions lie higher, so
the classes overlap and no classifier can pass `bayes_roc_auc`. All that is not the
class (skin, hair, ruler, light, pose, size) comes from random streams that never
learn the class. This module draws no pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from statistics import NormalDist

import numpy as np

from nevus.core.errors import ConfigError

# Distance between the class means, in standard deviations, at difficulty 0 and at difficulty 1.
_EASIEST, _HARDEST = 5.0, 1.8

# A patient has this many lesions with successive numbers; they share the skin tone.
LESIONS_PER_PATIENT = 2


class Stream(IntEnum):
    """Independent random streams, so that a draw more in one changes nothing in another."""

    PATIENT = 0
    LATENTS = 1
    LESION = 2
    TEXTURE = 3
    VIEW = 4
    SCENE = 5


@dataclass(frozen=True, slots=True)
class Latents:
    """The features of a lesion that depend on its class; malignant lesions are higher in each on average.

    Attributes:
        asymmetry: A, of outline and pigment, in standard deviations from the middle of the two classes.
        border: B, irregular and abrupt edges, in the same unit.
        colour: C, number and extent of colours.
        structure: D, atypical network, globules of many sizes.
    """

    asymmetry: float
    border: float
    colour: float
    structure: float

    @property
    def total(self) -> float:
        """The sum of the four, on which the ideal observer decides: the likelihood ratio grows with it alone."""
        return self.asymmetry + self.border + self.colour + self.structure


@dataclass(frozen=True, slots=True)
class Nuisance:
    """The features of an image that are independent of its class.

    Lengths are in units of half the image's side; the image spans [-1, 1].

    Attributes:
        skin_tone: of the patient, 0 very fair to 1 dark brown.
        radius: of the lesion, mean.
        elongation: of the lesion, ratio of its axes, 1 or more.
        pigment: optical density of the lesion's melanin.
        redness: share of the pigment that is red rather than brown, in [0, 1].
        network_period: between two lines of the pigment network.
        network_strength: factor on the contrast of the network.
        rotation: of the view, in radians.
        scale: of the view, 1 is nominal.
        shift_x: of the lesion from the centre, to the right.
        shift_y: of the lesion from the centre, downwards.
        exposure: factor on all channels.
        warmth: relative gain of red over blue.
        vignette: radius at which the corners darken; over sqrt(2) there are no dark corners.
        vignette_softness: width of the fall to black.
        num_hairs: hairs that cross the image.
        hair_darkness: opacity of the hairs, in [0, 1].
        ruler: whether ruler marks are in the image.
    """

    skin_tone: float
    radius: float
    elongation: float
    pigment: float
    redness: float
    network_period: float
    network_strength: float
    rotation: float
    scale: float
    shift_x: float
    shift_y: float
    exposure: float
    warmth: float
    vignette: float
    vignette_softness: float
    num_hairs: int
    hair_darkness: float
    ruler: bool


def random_stream(seed: int, stream: Stream, *index: int) -> np.random.Generator:
    """A generator that depends on the seed, the stream and the index of a patient, lesion or view, on nothing else."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, *index)))


def separation(difficulty: float) -> float:
    """Distance between the class means of the four latents together, in standard deviations (d').

    Args:
        difficulty: in [0, 1].

    Raises:
        ConfigError: the difficulty is out of range.
    """
    if not 0.0 <= difficulty <= 1.0:
        raise ConfigError(f"difficulty: expected a number from 0 to 1. Received: {difficulty!r}.")
    return _EASIEST + difficulty * (_HARDEST - _EASIEST)


def bayes_roc_auc(difficulty: float) -> float:
    """ROC-AUC of the ideal observer, who sees the latents themselves: no classifier of the images can do better.

    For two normal classes of unit variance at distance d' it is Phi(d' / sqrt 2)
    (Green and Swets 1966, section 2.6). At difficulty .2, .5 and .8 it is .999, .992 and .958.

    Args:
        difficulty: in [0, 1].

    Raises:
        ConfigError: the difficulty is out of range.
    """
    return NormalDist().cdf(separation(difficulty) / math.sqrt(2.0))


def draw_latents(seed: int, lesion: int, malignant: bool, difficulty: float) -> Latents:
    """The latents of one lesion; the same seed gives benign and malignant twins that differ by the shift alone."""
    # Each of the four latents carries the same share, so the joint distance is twice the distance in each.
    shift = separation(difficulty) / 4.0 * (1.0 if malignant else -1.0)
    return Latents(*(float(z) + shift for z in random_stream(seed, Stream.LATENTS, lesion).standard_normal(4)))


def draw_nuisance(seed: int, lesion: int, view: int) -> Nuisance:
    """The nuisance of one view of one lesion: the patient's, then the lesion's, then the view's own."""
    patient = random_stream(seed, Stream.PATIENT, lesion // LESIONS_PER_PATIENT)
    mole = random_stream(seed, Stream.LESION, lesion)
    photo = random_stream(seed, Stream.VIEW, lesion, view)
    return Nuisance(
        skin_tone=float(patient.beta(1.0, 1.9)),
        radius=float(mole.uniform(0.34, 0.56)),
        elongation=float(mole.uniform(1.0, 1.45)),
        pigment=float(mole.uniform(0.55, 1.25)),
        redness=float(mole.beta(1.0, 3.0)),
        network_period=float(mole.uniform(0.085, 0.12)),
        network_strength=float(mole.uniform(0.4, 1.4)),
        rotation=float(photo.uniform(0.0, math.tau)),
        scale=float(photo.uniform(0.85, 1.15)),
        shift_x=float(photo.normal(0.0, 0.07)),
        shift_y=float(photo.normal(0.0, 0.07)),
        exposure=float(photo.uniform(0.86, 1.06)),
        warmth=float(photo.normal(0.0, 0.04)),
        vignette=float(photo.uniform(0.95, 2.1)),
        vignette_softness=float(photo.choice([0.03, 0.3, 0.5])),
        num_hairs=int(photo.integers(2, 22)) if photo.random() < 0.4 else 0,
        hair_darkness=float(photo.uniform(0.35, 0.9)),
        ruler=bool(photo.random() < 0.25),
    )
