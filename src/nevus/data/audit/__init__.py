"""The audit of a prepared dataset: numbered checks for leaks, wrong labels and shortcuts."""

from nevus.data.audit.checks import CHECKS, audit
from nevus.data.audit.findings import Evidence, Finding, format_findings, reaches
from nevus.data.audit.page import write_audit

__all__ = ["CHECKS", "Evidence", "Finding", "audit", "format_findings", "reaches", "write_audit"]
