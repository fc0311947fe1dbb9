"""Generated dermoscopy-like images ("phantoms") for the demo and the tests; they carry no medical knowledge.

`latents` says what a phantom is, `drawing` makes its pixels out of `fields`, `folder` writes many of them.
"""

from nevus.data.phantom.drawing import Phantom, phantom
from nevus.data.phantom.folder import generate
from nevus.data.phantom.latents import Latents, Nuisance, bayes_roc_auc
from nevus.data.sources.phantoms import PHANTOM_CSV

__all__ = ["PHANTOM_CSV", "Latents", "Nuisance", "Phantom", "bayes_roc_auc", "generate", "phantom"]
