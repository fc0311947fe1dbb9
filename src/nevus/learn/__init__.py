"""Training, prediction and export. The only part that knows TensorFlow and Keras."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_chatter() -> Iterator[None]:
    """Turns away what C++ libraries write to standard error, whatever TF_CPP_MIN_LOG_LEVEL says.

    The file descriptor itself is turned away. Set that variable to 0 to see everything.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _import_keras_quietly() -> None:
    """Imports Keras and its backend without TensorFlow's notes on oneDNN, processor features and missing CUDA."""
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with without_chatter():
        import keras  # noqa: F401
        import tensorflow

        # Looks for accelerators, and complains here rather than in mid-training where there are none.
        tensorflow.config.list_physical_devices()
    # Each network that a cross-validation builds is a new one; TensorFlow takes it for the same one, traced again.
    logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())


_import_keras_quietly()
