"""Training, prediction and export. The only part that knows TensorFlow and Keras."""

import os

# From which level on TensorFlow's native code writes to standard error, read as it loads: errors, unless the user has
# chosen another. Its notes on oneDNN and CUDA while it loads heed no level.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Before any module below loads Keras, which cannot change its backend once it is loaded.
from nevus.learn import keras_settings as keras_settings
