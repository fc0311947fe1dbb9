"""Class activation maps: where in an image the last feature maps raise the risk, and where they lower it.

Every network here ends in global average pooling and one dense layer, so the map is exact (Zhou et al.
2016, arXiv:1512.04150) and equals Grad-CAM at the last layer (Selvaraju et al. 2017, arXiv:1610.02391).
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

from nevus.core.labels import Classes
from nevus.core.predictions import softmax
from nevus.learn.networks.tensors import FEATURES, LOGITS, POOL


def tap(model: keras.Model) -> keras.Model:
    """The network with its last feature maps next to its logits: `features` and `logits`, as `convert` takes them."""
    return keras.Model(model.input, {FEATURES: model.get_layer(POOL).input, LOGITS: model.output})


def malignancy_map(
    features: NDArray[np.float64], logits: NDArray[np.float64], class_weights: NDArray[np.float64], classes: Classes
) -> NDArray[np.float64]:
    """The class activation map of the log-odds of malignant against benign, one group of classes after the other.

    Args:
        features: [N, h, w, K], the maps before global average pooling.
        logits: [N, C].
        class_weights: [K, C], the kernel of the dense layer.
        classes: the C classes.

    Returns:
        [N, h, w]. Its mean over an image is the gradient's inner product with the logits, bias left out.
    """
    heatmap = np.zeros(features.shape[:3])
    for group, sign in ((classes.malignant_mask, 1), (~classes.malignant_mask, -1)):
        directions = softmax(logits[:, group]) @ class_weights[:, group].T
        heatmap += sign * np.einsum("nhwk,nk->nhw", features, directions)
    return heatmap
