"""What an audit finds: its form, its order of severity, and how it reads in a terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nevus.core.errors import ConfigError
from nevus.core.vocabulary import SEVERITIES
from nevus.data.near_duplicates import DuplicatePair

DOCUMENTATION = "docs/audit.md"

_MOST_ROWS = 20
_WIDTH = 100
_INDENT = " " * 13


@dataclass(frozen=True, slots=True)
class Table:
    """A small table of evidence: as many cells in each row as there are columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int, ...], ...]

    def short(self) -> Table:
        """The first rows; the summary of a finding says how many there are."""
        return Table(self.columns, self.rows[:_MOST_ROWS])


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one check found.

    Attributes:
        severity: one of `vocabulary.SEVERITIES`.
        summary: how much, and what to do about it, in a sentence or three.
        table: counts or figures behind it.
        pairs: duplicates behind it.
        image_ids: images behind it.
    """

    severity: str
    summary: str
    table: Table | None = None
    pairs: tuple[DuplicatePair, ...] = ()
    image_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, with its number (N01 and so on, which never change their meaning) and its title."""

    number: str
    title: str
    evidence: Evidence

    @property
    def link(self) -> str:
        """Where the documentation explains the check."""
        return f"{DOCUMENTATION}#{self.number.lower()}"

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        return {"number": self.number, "title": self.title, **asdict(self.evidence), "link": self.link}


def reaches(findings: Sequence[Finding], level: str) -> bool:
    """True if any finding is as grave as `level` or graver.

    Raises:
        ConfigError: the level is none of `SEVERITIES`.
    """
    if level not in SEVERITIES:
        raise ConfigError(f"--fail-on: expected one of {', '.join(SEVERITIES)}. Received: '{level}'.")
    return any(SEVERITIES.index(finding.evidence.severity) >= SEVERITIES.index(level) for finding in findings)


def gravest_first(findings: Sequence[Finding]) -> list[Finding]:
    """Sorted by severity, then by number."""
    return sorted(findings, key=lambda finding: (-SEVERITIES.index(finding.evidence.severity), finding.number))


def format_findings(findings: Sequence[Finding]) -> str:
    """The findings for a terminal, the gravest first, with a count by severity as the last line."""
    lines = []
    for finding in gravest_first(findings):
        lines.append(f"{finding.evidence.severity.upper():7} {finding.number}  {finding.title}")
        lines += [_INDENT + line for line in textwrap.wrap(finding.evidence.summary, _WIDTH - len(_INDENT))]
        lines.append(_INDENT + finding.link)
    counts = Counter(finding.evidence.severity for finding in findings)
    errors, warnings = counted(counts["error"], "error"), counted(counts["warning"], "warning")
    lines.append(f"Audit: {errors}, {warnings}, {counts['info']} for information.")
    return "\n".join(lines)


def counted(count: int, name: str, plural: str = "") -> str:
    """A number with its noun: 1 pair, 2 pairs."""
    return f"{count:,} {name if count == 1 else plural or name + 's'}"
