"""The table of checks and the audit that runs them.

A check looks at a dataset and returns what it found, or None if all is well; it changes nothing. A new check is
one function, one row of the table, and a section of its number in docs/audit.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nevus.core.dataset import Dataset
from nevus.data.audit import contents, leaks
from nevus.data.audit.audited import Audited
from nevus.data.audit.findings import Evidence, Finding
from nevus.data.near_duplicates import duplicate_pairs


@dataclass(frozen=True, slots=True)
class Check:
    """A check with its number, which stays its own for ever, and its title."""

    number: str
    title: str
    look: Callable[[Audited], Evidence | None]


CHECKS = (
    Check("N01", "Exact duplicates in one split", leaks.exact_duplicates_within),
    Check("N02", "Exact duplicates across splits", leaks.exact_duplicates_across),
    Check("N03", "Near-duplicates in one split", leaks.near_duplicates_within),
    Check("N04", "Near-duplicates across splits", leaks.near_duplicates_across),
    Check("N05", "One lesion in two splits", leaks.lesion_in_two_splits),
    Check("N06", "One patient in two splits", leaks.patient_in_two_splits),
    Check("N07", "One picture under two labels", leaks.two_labels),
    Check("N08", "What tells the label without the lesion", contents.confounded),
    Check("N09", "Classes too small", contents.small_classes),
    Check("N10", "Rejected files", contents.rejected_files),
    Check("N11", "Licence missing", contents.licence_missing),
    Check("N12", "Lesion or patient ids missing", contents.ids_missing),
    Check("N13", "What the source tells about the label", contents.told_by_source),
    Check("N14", "One lesion or patient with many images", contents.ids_that_dominate),
)


def audit(dataset: Dataset) -> list[Finding]:
    """Runs every check on a prepared dataset, split or not.

    Duplicates are searched for if `data.near_duplicates` has not done so; else its pairs are read.

    Returns:
        A finding for each check with something to say, in order of their numbers.

    Raises:
        DataError: the dataset cannot be read.
    """
    audited = Audited(dataset, duplicate_pairs(dataset))
    return [
        Finding(check.number, check.title, evidence)
        for check in CHECKS
        if (evidence := check.look(audited)) is not None
    ]
