"""Contenders: commands that are run in turn, round after round, each printing its figure; and the machine they run on.

Every measurement is a fresh process, so that no library's threads, caches or memory weigh on another contender, and
peak memory is the whole process's. Turns alternate, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from nevus.core.machine import available_processors

HERE = Path(__file__).parent
PACKAGES = ("nevus", "numpy", "pillow", "onnxruntime", "tensorflow", "keras", "torch")


@dataclass(frozen=True)
class Contender:
    """One row of the table.

    Attributes:
        name: what is measured.
        command: of the process.
        key: the figure's name in the JSON that the process prints last: 'images_per_second', 'gflop_per_second' or
            'seconds'; None for the seconds that the process takes.
        network: the one that it runs, if the share of the processor's rate that it reaches is of interest.
    """

    name: str
    command: Sequence[str]
    key: str | None
    network: str = ""

    @property
    def unit(self) -> str:
        return {"images_per_second": "images/s", "gflop_per_second": "GFLOP/s"}.get(self.key or "", "s")


@dataclass
class Result:
    """What the rounds gave: a figure each, peak memory, processor seconds, and all else that was printed."""

    contender: Contender
    figures: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    processor_seconds: list[float] = field(default_factory=list)
    printed: list[dict[str, Any]] = field(default_factory=list)
    failed: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.figures) if self.figures else float("nan")

    def speed_against(self, reference: Result) -> float:
        """How many times as fast as another, the median over the rounds that both have."""
        pairs = list(zip(self.figures, reference.figures, strict=False))
        ratios = [theirs / ours if self.contender.unit == "s" else ours / theirs for ours, theirs in pairs]
        return statistics.median(ratios) if ratios else float("nan")

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.contender.name,
            "unit": self.contender.unit,
            "median": self.median,
            "figures": self.figures,
            "peak_bytes": self.peak_bytes,
            "processor_seconds": self.processor_seconds,
            "printed": self.printed,
            "failed": self.failed,
        }


def script(name: str, *arguments: str | float | Path) -> list[str]:
    """The command that runs a script of the folder `contenders`."""
    return [sys.executable, str(HERE / "contenders" / f"{name}.py"), *map(str, arguments)]


def nevus(*arguments: str | Path) -> list[str]:
    """A command of Nevus, started as the installed entry point starts it."""
    code = "import sys; from nevus.cli.main import main; sys.exit(main())"
    return [sys.executable, "-c", code, *map(str, arguments)]


def alternate(contenders: Sequence[Contender], rounds: int) -> list[Result]:
    """Runs each contender once a round; one that fails is left out from then on, and says why."""
    results = [Result(contender) for contender in contenders]
    for number in range(1, rounds + 1):
        for result in results:
            if result.failed:
                continue
            print(f"  round {number} of {rounds}: {result.contender.name}", file=sys.stderr, flush=True)
            _measure(result)
    return results


def _measure(result: Result) -> None:
    contender = result.contender
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(contender.command, stdout=output, stderr=errors, env=environment())
        # Not process.wait(), which throws away what the process used.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            last = " ".join(errors.read().split())
            result.failed = last[-300:] or f"exit status {process.returncode}"
            return
        printed = json.loads(output.read().splitlines()[-1]) if contender.key else {}
    result.printed.append(printed)
    result.figures.append(float(printed[contender.key]) if contender.key else seconds)
    # A contender that starts others counts them itself.
    result.peak_bytes.append(printed.get("peak_bytes", usage.ru_maxrss * 1024))
    result.processor_seconds.append(usage.ru_utime + usage.ru_stime)


def environment() -> dict[str, str]:
    """The environment of every contender: bytecode is kept, as pip leaves it, and libraries log errors alone."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def machine() -> dict[str, Any]:
    """The processor and the versions that figures depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    values = {line.split(":")[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
    flags = values.get("flags", "").split()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "processor": values.get("model name") or platform.processor() or platform.machine(),
        "processors_used": available_processors(),
        "vector_instructions": [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags],
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": versions,
    }
