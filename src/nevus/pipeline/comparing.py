"""`nevus.compare`: runs side by side that were tested on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nevus.core.runs import Run


def compare(runs: str | Path | Run | Sequence[str | Path | Run], out: str | Path | None = None) -> dict[str, Any]:
    """Metrics of each run, and paired differences from the first, with intervals and p-values; as `nevus compare`.

    Args:
        runs: two or more that `nevus evaluate` has evaluated on the same test images; runs or their folders.
        out: file for an HTML page with the curves overlaid; none if None.

    Returns:
        What `nevus compare --json` prints; `nevus.assess.evaluation.compare.compare` says what is in it.
        Undefined metrics are NaN.

    Raises:
        RunError: there are fewer than two runs, one is not evaluated or not since its last predictions, or the test
            sets differ.
    """
    from nevus.assess.evaluation.compare import compare as compare_runs

    # The folder of a run alone would be a sequence of letters.
    named = [Run.of(one) for one in ([runs] if isinstance(runs, (str, Path, Run)) else runs)]
    comparison = compare_runs(named)
    if out is not None:
        from nevus.assess.pages.comparison_page import write_comparison

        write_comparison(named, comparison, Path(out))
    return comparison
