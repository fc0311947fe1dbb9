"""What the report reads of a run: the record, the metrics of the evaluation, the audit; each checked.

Owns the shapes of these files as the report relies on them (that of metrics.json is in
`metrics_form`), and that they belong together. It computes no metric and draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nevus.assess.evaluation.metrics_form import METRICS
from nevus.assess.sections.shapes import anything, count, estimated, flag, number, parsed, text
from nevus.core.chosen import read_chosen
from nevus.core.dataset import DatasetInfo
from nevus.core.errors import DataError, NevusError, RunError
from nevus.core.files import read_json, sha256_of
from nevus.core.manifest import SPLITS, name_licences
from nevus.core.runs import Run
from nevus.core.split_names import WITHOUT_LEAKS
from nevus.core.versions import read_metrics_json
from nevus.core.vocabulary import SEVERITIES

_TRAIN, _EVALUATE, _AUDIT = "Run 'nevus train' again.", "Run 'nevus evaluate' again.", "Run 'nevus audit' again."

_RECORD = {
    "status": text,
    "started?": text,
    "finished?": text,
    "command?": [text],
    "dataset_fingerprint": text,
    "split_counts": {split: {"*": count} for split in SPLITS},
    "environment": {"packages": {"*": text}, "python": text, "platform": text, "processors?": count},
    "pretrained?": {"weights": text, "licence": text, "sha256?": text},
    "training?": {"*": anything},
}
_PARITY = {
    "*": {
        "file": text,
        "sha256": text,
        "made_from?": {"*": text},
        "num_bytes": count,
        "num_images": count,
        "largest_difference": number,
        "difference_limit": number,
        "roc_auc": {"model.keras": number, "exported": number},
        "flipped": {"*": count},
        "checks": [{"figure": text, "input": text, "largest": number, "limit": number}],
    }
}
_HEAT = dict.fromkeys(("share_inside", "pointing_game", "deletion", "insertion"), estimated)
_PROBE = {
    "data": text,
    "generated": flag,
    "num_images": count,
    "num_malignant": count,
    "lesion_share": number,
    "heat": {"*": {**_HEAT, "over_bell": _HEAT}},
    "randomised": [{"layers": text, "correlation": estimated}],
    "artefacts": [{"images": text, **dict.fromkeys(("roc_auc", "mean_risk", "mean_change", "flipped"), estimated)}],
}
_AUDIT_FILE = {
    "dataset_fingerprint": text,
    "findings": [{"number": text, "title": text, "severity": text, "summary": text}],
}


def read_record(run: Run) -> dict[str, Any]:
    """`run.json`, with None for what it may lack.

    Raises:
        RunError: the file is missing or damaged.
    """
    record: dict[str, Any] = parsed(run.record, _RECORD, str(run.run_json), _TRAIN)
    return record


def read_info(run: Run) -> DatasetInfo:
    """What held for the dataset when the run began.

    Raises:
        RunError: `run.json` lacks it, or holds something else there.
    """
    try:
        return run.dataset_info
    except (KeyError, TypeError, ValueError, AttributeError, DataError) as problem:
        raise RunError(f"{run.run_json}: dataset_info has a missing or wrong field ({problem}). {_TRAIN}") from None


def read_config(run: Run) -> dict[str, Any]:
    """The options of the run, as they are.

    Raises:
        RunError: the file is missing or damaged.
    """
    advice = "Run 'nevus train' first."
    config: dict[str, Any] = parsed(read_json(run.config_json, advice), {"*": anything}, str(run.config_json), advice)
    return config


def read_metrics(run: Run) -> dict[str, Any]:
    """`metrics.json`: each metric an Estimate, NaN for what cannot be known, None for a section that is absent.

    Raises:
        RunError: the file is missing, damaged, of another version, or not made from the predictions that are there.
    """
    path = run.metrics_json
    data = read_metrics_json(path, "Run 'nevus evaluate' first.")
    metrics: dict[str, Any] = parsed(data, METRICS, str(path), _EVALUATE)
    _check_versions(path, metrics)
    _check_classes(path, metrics)
    _check_lengths(path, metrics)
    for split, fingerprint in metrics["fingerprints"]["predictions"].items():
        predictions = run.predictions_csv(split)
        if not predictions.exists() or sha256_of(predictions) != fingerprint:
            raise RunError(f"{predictions} is not the file that {path} was made from. {_EVALUATE}")
    return metrics


def _check_versions(path: Path, metrics: dict[str, Any]) -> None:
    """Every section must have the same versions of the test."""
    screening = metrics["screening"]
    sections = [metrics["splits"], metrics["classification"], *metrics["operating_points"]]
    sections += metrics["conformal"] or []
    optional = ("calibration", "decision_curve", "triage", "subgroups", "subgroup_gaps")
    sections += [section for section in (screening, *(metrics[name] for name in optional)) if section]
    if len({section[WITHOUT_LEAKS] is None for section in sections}) > 1:
        raise RunError(f"{path}: some sections have a score '{WITHOUT_LEAKS}' and others none. {_EVALUATE}")


def _check_classes(path: Path, metrics: dict[str, Any]) -> None:
    """Every table of classes has the same ones, and every conformal set is counted for the same; so have weights."""
    if set(metrics["class_weights"]) not in (set(), set(metrics["classes"]["names"])):
        raise RunError(f"{path}: class_weights are not those of {', '.join(metrics['classes']['names'])}. {_EVALUATE}")
    for found in (metrics["classification"]["val"], *_present(metrics["classification"])):
        check_classification(path, found, metrics["classes"]["names"], _EVALUATE)
    versions = [version for rate in metrics["conformal"] or [] for version in _present(rate)]
    if len({(*version["coverage"], len(version["set_sizes"])) for version in versions}) > 1:
        raise RunError(f"{path}: the conformal sets are not all of the same classes. {_EVALUATE}")


def check_classification(path: Path, found: dict[str, Any], names: list[str], advice: str) -> None:
    """A table of classes must name each once, and the matrix must have a row and a column for each.

    Raises:
        RunError: it has not.
    """
    size = len(names)
    rows = [row[kind] for row in found["confusion"] for kind in ("counts", "shares")]
    if [row["name"] for row in found["classes"]] != names or len(rows) != 2 * size or {*map(len, rows)} != {size}:
        raise RunError(f"{path}: the metrics of the classes are not those of {', '.join(names)}. {advice}")


def _check_lengths(path: Path, metrics: dict[str, Any]) -> None:
    """Lists that are drawn against one another must be of one length, and not empty."""
    curves = [*_present(metrics["decision_curve"])]
    if metrics["screening"]:
        curves += [version["decision_curve"] for version in _present(metrics["screening"])]
    lengths = [{len(curve[name]) for name in ("thresholds", "model", "treat_all", "treat_none")} for curve in curves]
    for versions in _present(metrics["calibration"]):
        lengths += [{len(version["reliability"])} for version in versions.values() if version]
    if any(len(of_curve) > 1 or 0 in of_curve for of_curve in lengths):
        raise RunError(f"{path}: a decision curve or a reliability diagram has lists of unequal length. {_EVALUATE}")


def versions_of_test(metrics: dict[str, Any]) -> list[str]:
    """The versions of the test, by their names in `metrics`; the one to quote first."""
    return ["test"] if metrics["splits"][WITHOUT_LEAKS] is None else [WITHOUT_LEAKS, "test"]


def _present(section: dict[str, Any] | None) -> list[Any]:
    """What a section has of the versions of the test."""
    return [section[name] for name in ("test", WITHOUT_LEAKS) if section and section[name] is not None]


def default_point(run: Run, metrics: dict[str, Any]) -> dict[str, Any]:
    """The operating point of `metrics` that `operating_points.json` names as the default.

    Raises:
        RunError: the file is missing or damaged, or names none of them.
    """
    path = run.operating_points_json
    name = read_chosen(path, "Run 'nevus evaluate' first.").default
    for point in metrics["operating_points"]:
        if point["name"] == name:
            found: dict[str, Any] = point
            return found
    names = ", ".join(point["name"] for point in metrics["operating_points"])
    raise RunError(f"{path}: the default operating point '{name}' is none of: {names}. {_EVALUATE}")


def read_parity(run: Run) -> dict[str, Any] | None:
    """How well each exported file agrees with the trained network, by format; None if nothing was exported.

    Raises:
        RunError: the file is damaged.
    """
    return _if_there(run.parity_json, _PARITY, "Run 'nevus export' again.")


def outdated(run: Run, parity: Mapping[str, Any] | None) -> list[str]:
    """The exported files whose thresholds or weights are not those of the run as it is now."""
    return [entry["file"] for entry in (parity or {}).values() if not run.is_current(entry["made_from"] or {})]


def read_probe(run: Run) -> dict[str, Any] | None:
    """What the probe of the model found; None if it was not probed.

    Raises:
        RunError: the file is damaged.
    """
    return _if_there(run.probe_json, _PROBE, "Run 'nevus probe' again.")


def read_audit(run: Run) -> list[dict[str, Any]] | None:
    """The findings of the dataset's audit, worst first; None if the dataset, as it was when the run began, has none.

    Raises:
        RunError: the file is damaged.
    """
    audit = _if_there(run.dataset.audit_json, _AUDIT_FILE, _AUDIT)
    if audit is None or audit["dataset_fingerprint"] != run.recorded("dataset_fingerprint"):
        return None
    findings: list[dict[str, Any]] = audit["findings"]
    gravest_first = (*reversed(SEVERITIES), *(finding["severity"] for finding in findings))
    return sorted(findings, key=lambda finding: gravest_first.index(finding["severity"]))


def dataset_licences(run: Run) -> str:
    """The licences that the manifest names, as words in a sentence."""
    try:
        dataset = run.dataset
        if dataset.fingerprint == run.recorded("dataset_fingerprint"):
            return name_licences(dataset.rows)
    except NevusError:
        pass
    return "not known, for the prepared dataset is gone or has changed"


def _if_there(path: Path, shape: Any, advice: str) -> dict[str, Any] | None:
    """A file of an optional stage, checked; None where the stage was not run."""
    if not path.exists():
        return None
    found: dict[str, Any] = parsed(read_json(path, advice), shape, str(path), advice)
    return found
