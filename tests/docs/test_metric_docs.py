"""The tables of metrics in the documentation are those of the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_tables_of_metrics_are_current() -> None:
    script = Path(__file__).parents[2] / "scripts" / "make_metric_docs.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
