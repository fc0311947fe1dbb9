"""The commands that judge: `audit` a dataset, `compare` runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from nevus.cli.command import Command
from nevus.cli.options import add_config_flags, config_of
from nevus.core.files import finite
from nevus.core.vocabulary import SEVERITIES
from nevus.pipeline import datasets, stages


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", type=Path, nargs="+", help="a prepared dataset, or sources of images, which are prepared first"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DATASET", help="where sources of images are prepared (default: runs/NAME-audit)"
    )
    parser.add_argument("--fail-on", choices=SEVERITIES, help="exit status 1 if anything as grave is found")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_config_flags(parser, "prepare")


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", type=Path, nargs="+", metavar="run", help="two or more folders that 'nevus evaluate' wrote"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write an HTML page with the curves overlaid")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def audit(arguments: argparse.Namespace) -> int:
    """Audits a dataset; exit status 1 if a finding reaches `--fail-on`."""
    from nevus.data.audit import format_findings, reaches
    from nevus.data.names import as_text

    dataset = datasets.dataset_for_audit(arguments.data, arguments.out, config_of(arguments))
    findings = stages.audit(dataset)
    if arguments.json:
        print(json.dumps(finite([finding.to_json() for finding in findings])))
    else:
        print(f"{format_findings(findings)}\n{as_text(dataset.audit_html)}")
    return 1 if arguments.fail_on and reaches(findings, arguments.fail_on) else 0


def compare(arguments: argparse.Namespace) -> int:
    """Prints a comparison of runs."""
    from nevus.assess.evaluation.compare import format_comparison
    from nevus.pipeline import comparing

    comparison = comparing.compare(arguments.runs, arguments.out)
    print(json.dumps(finite(comparison)) if arguments.json else format_comparison(comparison))
    return 0


COMMANDS = (
    Command(
        "audit",
        "look for leaks, wrong labels and shortcuts in a dataset",
        "Run numbered checks on a dataset; write audit.json, and audit.html with the pairs found. "
        "docs/audit.md explains each check.",
        audit,
        _add_audit,
    ),
    Command(
        "compare",
        "set runs side by side that were tested on the same images",
        "Print figures and paired differences against the first run, with intervals and p-values.",
        compare,
        _add_compare,
    ),
)
