"""Training, prediction and export. The only part that knows TensorFlow and Keras."""

import logging
import os
import sys


def _import_keras_quietly() -> None:
    """Imports Keras and its backend without TensorFlow's notes on oneDNN, processor features and missing CUDA.

    They are written by C++ while the library loads, whatever TF_CPP_MIN_LOG_LEVEL says, so the file
    descriptor itself is turned away. Set that variable to 0 to see everything.
    """
    if "keras" in sys.modules or os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import keras  # noqa: F401
        import tensorflow

        # Looks for accelerators, and complains here rather than in mid-training where there are none.
        tensorflow.config.list_physical_devices()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    # Each network that a cross-validation builds is a new one; TensorFlow takes it for the same one, traced again.
    logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())


_import_keras_quietly()
