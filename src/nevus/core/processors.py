"""How many cores this process may use."""

from __future__ import annotations

import os


def available_processors() -> int:
    """The number of cores that this process may use, which in a container is less than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
