"""The recipes: every number that decides how a network is trained.

A recipe says nothing about the network or the data it meets. What it is trained to
minimise, and how its optimizer and callbacks come of these numbers, is `nevus.learn.training.optimization`'s business.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from nevus.core import vocabulary
from nevus.core.config import Config
from nevus.core.pretrained import NONE
from nevus.learn.networks.architectures import NETWORKS


@dataclass(frozen=True, slots=True)
class Imaging:
    """How cameras and clinics differ, as training images are varied by it.

    Amounts are largest changes either way, by a uniform draw; chances are of an image in an epoch.

    Attributes:
        zoom_in: largest relative enlargement, where it is more than the augmentation's `zoom`.
        aspect: amount by which the logarithm of width over height changes.
        outside: chance that what a warp brings in from outside the image is black, the border's own colour or any
            colour, and not the image's reflection.
        field: chance that an image with a round field of view in black is cropped to what lies inside it.
        dark_corners: chance that any other image gets such a field.
        skin: chance that the colour of the skin is moved towards that of another image of the batch.
        contrast: amount, relative, about the middle grey.
        temperature: standard deviation of the logarithm of red over green, and of green over blue.
        saturation: amount, relative.
        grey: chance of an image without colour.
        gamma: amount by which the logarithm of gamma changes.
        marker: chance of a coloured disc or strokes of ink near the border.
        hair: chance of hairs.
        ruler: chance of a ruler.
        resolution: chance of a lower resolution, 35 to 80 % of the side.
        blur: chance of a Gaussian blur with a standard deviation of .4 to 1.5 pixels of 128.
        noise: chance of noise with a standard deviation of 2 to 10 grey levels.
        jpeg: chance of JPEG compression at a quality of 25 to 85.
    """

    zoom_in: float = 0.0
    aspect: float = 0.0
    outside: float = 0.0
    field: float = 0.0
    dark_corners: float = 0.0
    skin: float = 0.0
    contrast: float = 0.0
    temperature: float = 0.0
    saturation: float = 0.0
    grey: float = 0.0
    gamma: float = 0.0
    marker: float = 0.0
    hair: float = 0.0
    ruler: float = 0.0
    resolution: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How training images are varied, each differently in every epoch.

    Attributes:
        flip: whether images are mirrored left to right and top to bottom, each with probability 1/2.
        rotation: largest rotation either way, in turns; 0.1 is 36 degrees, 0.5 is any.
        zoom: largest relative change of scale either way; 0.1 is 10 %.
        shift: largest shift either way along both axes, as a share of the side.
        gain: largest relative change of all channels together, and half of it of each by itself.
        offset: largest grey level added to all channels together, and half of it to each by itself.
        imaging: what other cameras and clinics do to an image; None for nothing.
    """

    flip: bool = False
    rotation: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    imaging: Imaging | None = None


@dataclass(frozen=True, slots=True)
class Plateau:
    """A learning rate that falls, and a training that ends, when the validation loss does not get better.

    Attributes:
        stop_patience: epochs without a better validation loss after which training ends.
        reduce_patience: epochs without a better validation loss after which the learning rate falls.
        reduce_factor: by which it is multiplied then.
        least_learning_rate: below which it never falls.
    """

    stop_patience: int
    reduce_patience: int
    reduce_factor: float
    least_learning_rate: float


@dataclass(frozen=True, slots=True)
class OneCycle:
    """A learning rate that rises and falls once over all epochs (Smith and Topin 2018, arXiv:1708.07120).

    Attributes:
        warm_up: share of the steps in which it rises, in a straight line; it falls as half a cosine afterwards.
    """

    warm_up: float


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs in which the same layers learn.

    Attributes:
        first_epoch: counted from 0; the stage lasts until the next one begins.
        trained: all layers; those from where a backbone's last stage begins ('top'); or the last dense layer alone
            ('head'), in one epoch, by logistic regression on features that are computed once an image.
        rate: share of the recipe's learning rate.
        lower_rate: share of that for the layers below a backbone's top.
        batch_norm_learns: False to leave batch normalisation as the pretrained weights have it.
    """

    first_epoch: int = 0
    trained: Literal["all", "top", "head"] = "all"
    rate: float = 1.0
    lower_rate: float = 1.0
    batch_norm_learns: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: Adam, with balanced class weights.

    Attributes:
        epochs: maximum number of epochs.
        batch_size: images in a step.
        learning_rate: the highest of the schedule.
        weight_decay: decoupled (Loshchilov and Hutter 2019), of the kernels of layers; None for none.
        schedule: of the learning rate.
        augmentation: of the training images.
        stages: in the order of their epochs, the first from epoch 0. Each has a schedule of its own, and begins with
            the weights that were best on validation so far.
        smaller: for the beginning of training, pairs of a share of the epochs, counted from the first, and the share
            of the side at which images are shown until then (Tan and Le 2021, arXiv:2104.00298: progressive sizes).
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float | None
    schedule: Plateau | OneCycle
    augmentation: Augmentation
    stages: tuple[Stage, ...] = (Stage(),)
    smaller: tuple[tuple[float, float], ...] = ()

    def side(self, image_size: int, epoch: int) -> int:
        """The side in pixels at which images of `image_size` are shown in an epoch, counted from 0."""
        shares = [share for until, share in self.smaller if epoch < until * self.epochs]
        return round(image_size * min(shares, default=1.0))

    def epochs_of_stages(self) -> list[tuple[Stage, int, int]]:
        """Each stage that has epochs, with its first epoch and the one after its last."""
        ends = [*(stage.first_epoch for stage in self.stages[1:]), self.epochs]
        spans = [
            (stage, stage.first_epoch, min(end, self.epochs)) for stage, end in zip(self.stages, ends, strict=True)
        ]
        return [(stage, first, end) for stage, first, end in spans if first < end]


# A lesion has no upright position, and cameras and lamps differ in exposure and white balance.
_ANY_POSITION = Augmentation(flip=True, rotation=0.5, zoom=0.15, shift=0.05, gain=0.12, offset=10.0)

# Doses between the mild and the strong ones that were tried with HAM10000 left out of training: docs/elsewhere.md.
_ANY_CAMERA = dataclasses.replace(
    _ANY_POSITION,
    zoom=0.22,
    shift=0.07,
    offset=12.0,
    imaging=Imaging(
        zoom_in=0.4,
        aspect=0.1,
        outside=0.15,
        field=0.5,
        dark_corners=0.27,
        skin=0.5,
        contrast=0.2,
        temperature=0.05,
        saturation=0.4,
        grey=0.12,
        gamma=0.2,
        marker=0.05,
        hair=0.08,
        ruler=0.06,
        resolution=0.15,
        blur=0.22,
        noise=0.2,
        jpeg=0.22,
    ),
)


def _transfer(epochs: int, last_rate: float) -> Recipe:
    """Fine-tuning of a pretrained network, at `last_rate` of the learning rate once all layers learn."""
    return Recipe(
        epochs=epochs,
        batch_size=32,
        learning_rate=3e-4,
        weight_decay=None,
        schedule=OneCycle(warm_up=0.2),
        augmentation=_ANY_POSITION,
        stages=(
            Stage(0, "head", rate=0.0, batch_norm_learns=False),
            Stage(1, "top", batch_norm_learns=False),
            Stage(3, "all", rate=last_rate, lower_rate=0.3, batch_norm_learns=False),
        ),
    )


RECIPES: dict[str, Recipe] = {
    "fast": Recipe(
        epochs=12,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=0.02,
        schedule=OneCycle(warm_up=0.2),
        augmentation=_ANY_POSITION,
    ),
    # For images of other sources than those it learns from: long, because so much variation takes long to learn.
    "robust": Recipe(
        epochs=24,
        batch_size=64,
        learning_rate=3e-3,
        weight_decay=0.02,
        schedule=OneCycle(warm_up=0.2),
        augmentation=_ANY_CAMERA,
        smaller=((0.4, 0.5), (0.75, 0.75)),
    ),
    # The usual values of the published notebooks on the melanoma set and of the Keras tutorials they follow.
    "classic": Recipe(
        epochs=30,
        batch_size=32,
        learning_rate=1e-4,
        weight_decay=None,
        schedule=Plateau(stop_patience=6, reduce_patience=3, reduce_factor=0.5, least_learning_rate=1e-6),
        augmentation=Augmentation(flip=True, rotation=0.1, zoom=0.1),
    ),
    # One epoch alone (--epochs 1) is the linear probe.
    "transfer": _transfer(epochs=10, last_rate=0.3),
    # For tasks that ask more of the features than two classes do.
    "transfer-long": _transfer(epochs=24, last_rate=1.0),
    "transfer-robust": Recipe(
        epochs=10,
        batch_size=64,
        learning_rate=4e-4,
        weight_decay=0.05,
        schedule=OneCycle(warm_up=0.2),
        augmentation=_ANY_CAMERA,
        stages=(Stage(0, "all", batch_norm_learns=False),),
        smaller=((0.65, 0.75),),
    ),
}
assert tuple(RECIPES) == vocabulary.RECIPES
assert {network.recipe for network in NETWORKS.values()} <= RECIPES.keys()


def recipe_of(config: Config) -> Recipe:
    """The recipe of `recipe_name`, with the values that `config` gives in place of its own."""
    given = {option: getattr(config, option) for option in ("epochs", "batch_size", "learning_rate")}
    recipe = RECIPES[recipe_name(config)]
    return dataclasses.replace(recipe, **{option: value for option, value in given.items() if value is not None})


def recipe_name(config: Config) -> str:
    """The recipe that `config` names; else transfer for a network of Keras with weights, and the network's own."""
    is_transfer = config.weights != NONE and config.model in vocabulary.BACKBONES
    return config.recipe or ("transfer" if is_transfer else NETWORKS[config.model].recipe)
