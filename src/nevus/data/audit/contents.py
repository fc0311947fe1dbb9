"""Checks N08 to N12: shortcuts to the label, classes too small, files left out, licences and ids that are missing."""

from __future__ import annotations

import csv
from collections import Counter

from nevus.core.errors import DataError
from nevus.core.manifest import SPLITS
from nevus.data.audit.audited import Audited
from nevus.data.audit.findings import Evidence, Table, counted
from nevus.data.audit.shortcuts import find_shortcuts

# With fewer images of a class, one image more or less right moves its sensitivity by over three points.
FEW_IMAGES = 30
# A lesion or patient with more than this share of the images may be a word for 'unknown'.
LARGEST_SHARE = 0.05
# A label guessed this well without the lesion is a shortcut that a network may take instead of the lesion.
TELLING_AUC = 0.7


def confounded(audited: Audited) -> Evidence | None:
    """What the label can be told from without looking at the lesion."""
    result = find_shortcuts(audited.dataset, audited.pairs)
    if not result.scores:
        return Evidence("info", result.note)
    table = Table(
        ("what is looked at", "ROC-AUC", "lowest fold", "highest fold"),
        tuple((score.name, *(f"{v:.3f}" for v in (score.mean, score.low, score.high))) for score in result.scores),
    )
    best = max(result.scores, key=lambda score: score.mean)
    telling = best.mean >= TELLING_AUC
    advice = (
        "A network can score well by such a shortcut and fail elsewhere: test it on another source."
        if telling
        else "That is little."
    )
    summary = (
        f"From {best.name} alone a logistic regression tells malignant from benign with "
        f"ROC-AUC {best.mean:.2f} (folds {best.low:.2f} to {best.high:.2f}). {advice} {result.note}"
    )
    return Evidence("warning" if telling else "info", summary.strip(), table)


def told_by_source(audited: Audited) -> Evidence | None:
    """How the classes are spread over the sources, and what the name of the source tells of the label."""
    counts = Counter((row.source, row.label) for row in audited.rows)
    sources = sorted({source for source, _ in counts})
    classes = audited.dataset.info.classes
    of_source = {name: sum(counts[name, label] for label in classes.names) for name in sources}
    malignant = {name: sum(counts[name, label] for label in classes.malignant) for name in sources}
    benign = {name: of_source[name] - malignant[name] for name in sources}
    if len(sources) < 2 or not sum(malignant.values()) or not sum(benign.values()):
        return None
    shares = {name: malignant[name] / of_source[name] for name in sources}
    from sklearn.metrics import roc_auc_score

    auc = roc_auc_score(
        [1] * len(sources) + [0] * len(sources),
        [shares[name] for name in sources] * 2,
        sample_weight=[count[name] for count in (malignant, benign) for name in sources],
    )
    table = Table(
        ("source", *classes.names, "share malignant"),
        tuple((name, *(counts[name, label] for label in classes.names), f"{shares[name]:.3f}") for name in sources),
    )
    telling = auc >= TELLING_AUC
    summary = (
        f"Malignant images are {min(shares.values()):.0%} of one source and {max(shares.values()):.0%} of another; the "
        f"source alone tells malignant from benign with ROC-AUC {auc:.2f}. "
        "Train with --balance source-and-class, and judge the model on sources that are left out of training."
    )
    return Evidence("warning" if telling else "info", summary, table)


def small_classes(audited: Audited) -> Evidence | None:
    """Classes too small for a metric to mean anything."""
    classes = audited.dataset.info.classes.names
    counts = Counter((row.split, row.label) for row in audited.rows)
    splits = [name for name in SPLITS if any(row.split == name for row in audited.rows)] or [""]
    small = [(name, label, counts[name, label]) for name in splits for label in classes]
    small = [(name, label, count) for name, label, count in small if count < FEW_IMAGES]
    if not small:
        return None
    severity = "error" if any(not count for _, _, count in small) else "warning"
    table = Table(("split", "class", "images"), tuple((name or "all", label, count) for name, label, count in small))
    where, label, count = min(small, key=lambda one: one[2])
    place = f" in {where}" if where else ""
    summary = (
        f"{counted(len(small), 'class', 'classes')} of a split with fewer than {FEW_IMAGES} images; fewest: {count} of "
        f"{label}{place}. Intervals will be wide, and metrics of a class without images do not exist. Add images."
    )
    return Evidence(severity, summary, table)


def rejected_files(audited: Audited) -> Evidence | None:
    """Files that could not be used."""
    path = audited.dataset.rejected_csv
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reasons = Counter(record["reason"] for record in csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as problem:
        raise DataError(f"{path} cannot be read ({problem}). Run 'nevus prepare' again.") from None
    if not reasons:
        return None
    table = Table(("reason", "files"), tuple(reasons.most_common()))
    summary = f"{counted(reasons.total(), 'file')} could not be used; each is in {path.name} with its reason."
    return Evidence("warning", summary, table.short())


def licence_missing(audited: Audited) -> Evidence | None:
    """Images whose licence is not known."""
    missing = [row for row in audited.rows if not row.licence]
    if not missing:
        return None
    counts = Counter(row.licence or "unknown" for row in audited.rows)
    summary = (
        f"The licence of {_of_all(len(missing), audited)} is not known. Find out what their source allows before you "
        "share them, or a model trained on them."
    )
    table = Table(("licence", "images"), tuple(counts.most_common())).short()
    return Evidence("warning", summary, table)


def ids_that_dominate(audited: Audited) -> Evidence | None:
    """Lesion or patient ids that hold so many images that they may stand for an unknown one."""
    total = len(audited.rows)
    found = [
        (kind, value, count)
        for kind, ids in (
            ("lesion", Counter(row.lesion_id for row in audited.rows if row.lesion_id)),
            ("patient", Counter(row.patient_id for row in audited.rows if row.patient_id)),
        )
        for value, count in ids.most_common()
        if count > max(LARGEST_SHARE * total, FEW_IMAGES)
    ]
    if not found:
        return None
    kind, value, count = max(found, key=lambda one: one[2])
    summary = (
        f"{kind.capitalize()} {value!r} has {count:,} of {counted(total, 'image')}. If it stands for an unknown "
        f"{kind}, empty these cells and prepare again: as one group, they are all in one split."
    )
    return Evidence("warning", summary, Table(("id of", "id", "images"), tuple(found)).short())


def ids_missing(audited: Audited) -> Evidence | None:
    """Images without lesion or patient id, which no split can keep together."""
    missing = {
        "lesion_id": sum(not row.lesion_id for row in audited.rows),
        "patient_id": sum(not row.patient_id for row in audited.rows),
    }
    if not any(missing.values()):
        return None
    none_known = sum(not row.lesion_id and not row.patient_id for row in audited.rows)
    summary = (
        f"{_of_all(none_known, audited)} have neither a lesion nor a patient id: each is its own group, unless it has "
        "duplicates. Other photographs of the same lesion or patient can be in another split, unseen."
        if none_known
        else "Some images lack a lesion or a patient id, so that groups rest on the other alone."
    )
    table = Table(("id", "images without it"), tuple(missing.items()))
    return Evidence("warning" if none_known else "info", summary, table)


def _of_all(count: int, audited: Audited) -> str:
    return f"{count:,} of {counted(len(audited.rows), 'image')}"
