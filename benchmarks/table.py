"""The figures as a table, for a terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from harness import Result

COLUMNS = ("part", "", "median", "range", "speed against the first", "of the matrix rate", "peak memory")

Results = Mapping[str, Sequence[Result]]


def text(machine: Mapping[str, Any], results: Results, work: Mapping[str, int]) -> str:
    """The table for a terminal; `work` holds the operations that each network takes for an image."""
    rows = [COLUMNS, *_rows(results, work)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(["", describe(machine), "", *lines, *_failures(results)])


def markdown(machine: Mapping[str, Any], results: Results, work: Mapping[str, int]) -> str:
    """The table for a page."""
    lines = [describe(machine), "", f"| {' | '.join(COLUMNS)} |", f"| {' | '.join('---' for _ in COLUMNS)} |"]
    lines += [f"| {' | '.join(row)} |" for row in _rows(results, work)]
    return "\n".join([*lines, *_failures(results)]) + "\n"


def describe(machine: Mapping[str, Any]) -> str:
    """The machine and the versions in a sentence."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    vectors = ", ".join(machine["vector_instructions"]) or "no wide vectors"
    return (
        f"{machine['processor']}, {machine['processors_used']} processors ({vectors}), {machine['system']}, "
        f"load {machine['load_at_start']} at the start; Python {machine['python']}, {packages}."
    )


def _rows(results: Results, work: Mapping[str, int]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    limits = {result.contender.unit: result.median for result in results.get("limits", ())}
    for part, contenders in results.items():
        for number, result in enumerate(contenders):
            unit, way = result.contender.unit, result.printed[-1].get("way") if result.printed else None
            # The limits are of different kinds: none is set against another.
            speed = math.nan if part == "limits" else result.speed_against(contenders[0])
            rows.append(
                (
                    part if number == 0 else "",
                    result.contender.name + (f" ({way})" if way else ""),
                    f"{_number(result.median)} {unit}" if result.figures else "failed",
                    f"{_number(min(result.figures))} to {_number(max(result.figures))}" if result.figures else "",
                    "" if math.isnan(speed) else f"{speed:.2f}",
                    _share(result, work, limits.get("GFLOP/s", math.nan)),
                    f"{max(result.peak_bytes) / 2**20:,.0f} MiB" if result.peak_bytes else "",
                )
            )
    return rows


def _share(result: Result, work: Mapping[str, int], matrix_rate: float) -> str:
    """The operations that a network's images take in a second, as a share of the processor's matrix product."""
    share = result.median * work.get(result.contender.network, math.nan) / 1e9 / matrix_rate
    return "" if math.isnan(share) else f"{share:.0%}"


def _failures(results: Results) -> list[str]:
    failed = [(part, result) for part, rows in results.items() for result in rows if result.failed]
    return [f"\n{part}, {result.contender.name}: {result.failed}" for part, result in failed]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
