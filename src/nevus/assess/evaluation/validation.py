"""A model that is finished, judged on labelled images from elsewhere; nothing is fitted on them but what says so.

The sections of a run's evaluation measure the images under the temperature, thresholds and triage that the model file
brings. Next to them: the figures of the model's development test, as the file tells them, with the differences; the
thresholds that would have been needed here; each diagnosis and each source by itself. It must not open a model or draw.

What is measured, and why, follows the field's guides for such studies [1, 2, 3].

References:
    [1] Riley et al., Evaluation of clinical prediction models (part 2): how to undertake an external validation study,
        BMJ 384:e074820 (2024).
    [2] Collins et al., TRIPOD+AI statement, BMJ 385:e078378 (2024).
    [3] Van Calster et al., A calibration hierarchy for risk models was defined: from utopia to empirical data,
        Journal of Clinical Epidemiology 74 (2016).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from nevus.assess.evaluation import sections
from nevus.assess.evaluation.development import against_development, development
from nevus.assess.evaluation.evaluate import interval_methods, leak_counts, noting, rebased
from nevus.assess.evaluation.metrics_form import METRICS_ELSEWHERE
from nevus.assess.sections import decisions, elsewhere
from nevus.assess.sections.inputs import leaked, scored
from nevus.assess.sections.metric import Sampling
from nevus.assess.sections.section import Judged
from nevus.assess.sections.shapes import anything, estimated, parsed, text
from nevus.assess.statistics.metrics import Floats
from nevus.core import versions
from nevus.core.files import finite
from nevus.core.modelfile import ModelSpec
from nevus.core.predictions import Predictions
from nevus.core.split_names import WITHOUT_LEAKS

# Columns of the predictions that say where an image is from and what it shows; the others make subgroups.
SOURCE, DIAGNOSIS = "source", "diagnosis"

# With fewer malignant or benign groups an external validation says little (Collins, Ogundimu and Altman, Sample size
# considerations for the external validation of a multivariable prognostic model, Statistics in Medicine 35, 2016).
_ENOUGH_GROUPS = 100

_VERSIONS = dict.fromkeys(("test", f"{WITHOUT_LEAKS}?"))


def _by_version(shape: Any) -> dict[str, Any]:
    return dict.fromkeys(_VERSIONS, shape)


FORM = {
    **METRICS_ELSEWHERE,
    "fingerprints": {"dataset": text, "model": text, "predictions": {"*": text}},
    "model": {"*": anything},
    "data": {"*": anything},
    "default_operating_point": text,
    "development": {"*": {"title": text, "value": estimated, "without_leaks": anything}},
    "against_development": _by_version({"*": {"here": estimated, "difference": estimated}}),
    "in_the_large": _by_version(elsewhere.IN_THE_LARGE_SHAPE),
    "needed_thresholds": _by_version([elsewhere.NEEDED_SHAPE]),
    "diagnoses": _by_version([elsewhere.DIAGNOSIS_SHAPE]),
    "sources": [elsewhere.SOURCE_SHAPE],
}


class Asked(NamedTuple):
    """How a model is to be judged.

    Attributes:
        default_point: the name of the operating point for decisions; one of the model's.
        sampling: of the bootstrap.
        prevalence: in (0, 1), for the metrics of a screening; None to leave them out.
    """

    default_point: str
    sampling: Sampling
    prevalence: float | None = None


def validate(
    spec: ModelSpec,
    predictions: Predictions,
    uncalibrated: Floats,
    asked: Asked,
    *,
    model: Mapping[str, Any],
    data: Mapping[str, Any],
    fingerprints: Mapping[str, Any],
    generated: bool = False,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Judges what a model says of N images from elsewhere.

    Args:
        spec: the model file's description.
        predictions: of the images, with the columns `SOURCE` and `DIAGNOSIS`; the temperature of `spec` still divides
            the logits. `also_in` names the model's splits that an image, or another of its group, was in.
        uncalibrated: float64 [N] in [0, 1], the risks without the temperature and with class weights.
        asked: how.
        model: what the file says of the model itself: for the file alone.
        data: the same of the data.
        fingerprints: the same: SHA-256 of what this was made from.
        generated: whether the images, or those that the model was trained on, were drawn by a program.
        notes: warnings of what came before.

    Returns:
        What `metrics.json` of a validation holds, as docs/validate.md describes it; undefined metrics are NaN.
    """
    leaks = leaked(predictions)
    tests = {"test": np.ones_like(leaks)}
    if leaks.any() and not leaks.all():
        tests[WITHOUT_LEAKS] = ~leaks
    judged, measured, added = {}, {}, {}
    noted: list[str] = []
    for name, chosen in tests.items():
        with noting(noted, name.replace("_", " ")):
            of_version = predictions.where(chosen)
            judged[name] = _judge(spec, of_version, uncalibrated[chosen], asked)
            measured[name] = sections.measure(judged[name], asked.sampling)
            added[name] = _added(spec, judged[name], measured[name], of_version.columns.get(DIAGNOSIS), asked)
    # All images, with those that the model was trained on.
    everything = judged["test"]
    sources = elsewhere.by_source(
        everything.images,
        everything.decisions[asked.default_point],
        predictions.columns[SOURCE],
        leaks if WITHOUT_LEAKS in tests else np.zeros_like(leaks),
        asked.sampling,
    )
    few = _too_few(predictions.where(tests.get(WITHOUT_LEAKS, tests["test"])), sources)
    classes = predictions.classes
    return {
        "schema_version": versions.METRICS_JSON,
        "generated": generated,
        "classes": {"names": list(classes.names), "malignant": list(classes.malignant)},
        "temperature": spec.temperature,
        "class_weights": dict(spec.class_weights) if predictions.log_weights is not None else {},
        "interval_methods": interval_methods(asked.sampling),
        "fingerprints": dict(fingerprints),
        "leak": leak_counts(predictions) if leaks.any() else None,
        **sections.to_json(_brought(spec), measured),
        "model": dict(model),
        "data": dict(data),
        "default_operating_point": asked.default_point,
        "development": {
            name: {"title": title, "value": value.to_json(), "without_leaks": is_without}
            for name, (title, value, is_without) in development(spec).items()
        },
        **{part: {name: of_name[part] for name, of_name in added.items()} for part in added["test"]},
        "sources": sources,
        "warnings": [*notes, *few, *noted],
    }


def _added(
    spec: ModelSpec,
    judged: Judged,
    measured: Mapping[str, Any],
    diagnoses: Sequence[str] | None,
    asked: Asked,
) -> dict[str, Any]:
    """What only a validation tells of a version of its images, by the names of `FORM`."""
    decided = judged.decisions[asked.default_point]
    return {
        "against_development": against_development(spec, measured, judged.predictions.classes),
        "in_the_large": elsewhere.in_the_large(judged.images),
        "needed_thresholds": elsewhere.needed_thresholds(judged.images, spec.operating_points),
        "diagnoses": elsewhere.by_diagnosis(judged.images, decided, diagnoses or [""] * len(decided)),
    }


def read(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result of `validate` as pages take it: each metric an Estimate, None for what is absent."""
    form: dict[str, Any] = parsed(finite(dict(result)), FORM, "the validation's metrics", "Run 'nevus validate' again.")
    return form


def _brought(spec: ModelSpec) -> dict[str, Any]:
    """What the model file brings of what a run fits on its validation split, by section."""
    return {
        **dict.fromkeys(section.name for section in sections.SECTIONS),
        "operating_points": list(spec.operating_points),
        "classification": {},
        "screening": spec.assumed_prevalence,
        "triage": spec.triage,
        "conformal": {},
    }


def _judge(spec: ModelSpec, predictions: Predictions, uncalibrated: Floats, asked: Asked) -> Judged:
    images = scored(predictions, spec.temperature)
    points = spec.operating_points
    kept = {name: cells for name, cells in predictions.columns.items() if name != DIAGNOSIS}
    return Judged(
        predictions=replace(predictions, columns=kept),
        temperature=spec.temperature,
        images=images,
        risks={"before": uncalibrated, "after": images.risk},
        decisions=decisions.decide(images, points),
        default_point=asked.default_point,
        called={},
        low=images.risk < spec.triage.rule_out,
        high=images.risk >= spec.triage.rule_in,
        elsewhere=None
        if asked.prevalence is None
        else rebased(images.risk, points, spec.assumed_prevalence, asked.prevalence),
    )


def _too_few(predictions: Predictions, sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the reader should know of images, or sources of them, that are too few."""
    groups, malignant = np.asarray(predictions.groups), predictions.is_malignant
    counts = {"malignant": len({*groups[malignant]}), "benign": len({*groups[~malignant]})}
    notes = []
    if absent := [name for name, number in counts.items() if not number]:
        other = "sensitivity" if absent == ["benign"] else "specificity"
        notes.append(f"no image is {absent[0]}: of the metrics of decisions {other} alone is known, and no ranking")
    elif min(counts.values()) < _ENOUGH_GROUPS:
        notes.append(
            f"{counts['malignant']:,} malignant and {counts['benign']:,} benign groups are few: of each "
            f"{_ENOUGH_GROUPS} are advised at least, so read the intervals"
        )
    notes += [
        f"source {one['name']} has {one['num_images']:,} images of {one['num_groups']:,} groups, "
        f"{one['num_malignant']:,} malignant: with fewer than 10 malignant or 10 benign groups it proves nothing"
        for one in sources
        if one["too_small"] and len(sources) > 1
    ]
    return notes


def quoted(result: Mapping[str, Any]) -> str:
    """The version of the images to quote: without those that the model was trained on, if any are left."""
    return WITHOUT_LEAKS if result["splits"].get(WITHOUT_LEAKS) else "test"
