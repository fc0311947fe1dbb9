"""Which extra of the package brings what is not installed, so that an error names the smallest one that helps."""

from __future__ import annotations

import importlib.util
import sys

from nevus.core.errors import ConfigError

# The packages of each extra in pyproject.toml, by the names under which they are imported.
EXTRAS = {
    "assess": ("sklearn", "scipy", "matplotlib", "jinja2", "markupsafe"),
    "data": ("h5py", "pyarrow"),
    "formats": ("pillow_heif", "pydicom"),
    "train": ("tensorflow", "tensorboard", "keras", "cv2", "onnx", "tf2onnx", "ai_edge_litert"),
    "serve": ("fastapi", "starlette", "pydantic", "uvicorn", "httptools", "python_multipart", "prometheus_client"),
}


def check_installed(*extras: str) -> None:
    """Finds out before long work begins whether it can end.

    Args:
        extras: the keys of `EXTRAS` whose packages it needs, those that bring the others first.

    Raises:
        ModuleNotFoundError: a package is not installed.
        ConfigError: one that trains is needed, and Keras is loaded already on another backend than TensorFlow.
    """
    for extra in extras:
        for name in EXTRAS[extra]:
            if importlib.util.find_spec(name) is None:
                raise ModuleNotFoundError(missing_package(name), name=name)
    if "train" in extras:
        check_backend()


def check_backend() -> None:
    """Finds out whether Keras, if somebody has loaded it, is of use for training.

    Raises:
        ConfigError: it runs on another backend than TensorFlow, and that cannot be changed any more.
    """
    config = getattr(sys.modules.get("keras"), "config", None)
    if config is not None and (backend := config.backend()) != "tensorflow":
        raise ConfigError(
            f"Keras was loaded on the backend {backend}, as KERAS_BACKEND or keras.json says, and Nevus needs it on "
            "TensorFlow. Set KERAS_BACKEND=tensorflow, or use Nevus in a process of its own."
        )


def missing_package(name: str) -> str:
    """What to say if a package is not installed.

    Args:
        name: under which it is imported, such as `sklearn.metrics`.
    """
    package = name.partition(".")[0]
    extra = next((extra for extra, packages in EXTRAS.items() if package in packages), "")
    what = f"'.[{extra}]'" if extra else "."
    return f"this needs the package '{package}'. Install it in a copy of Nevus's repository: pip install {what}"
