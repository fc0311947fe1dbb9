"""The names of the tensors and layers by which networks, training and export find what they need in a network."""

# float32 [N, S, S, 3], RGB in [0, 255]: the input.
PIXELS = "pixels"
# float32 [N, h, w, C]: the last feature maps.
FEATURES = "features"
# The layer of global average pooling, which follows the features.
POOL = "pool"
# float32 [N, 1] or [N, C]: the output.
LOGITS = "logits"
