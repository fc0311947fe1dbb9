"""The machine, and the packages on it."""

from __future__ import annotations

import os
import platform
from typing import Any

_REPORTED_PACKAGES = [
    "nevus",
    "numpy",
    "pillow",
    "onnxruntime",
    "onnx",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "tf2onnx",
    "scikit-learn",
    "scipy",
    "matplotlib",
]


def available_processors() -> int:
    """The number of cores that this process may use, which in a container is less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, Any]:
    """The versions and the machine that a result depends on."""
    from importlib import metadata  # Prediction, which asks for the cores alone, goes without it.

    versions = {}
    for package in _REPORTED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "packages": versions,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }
