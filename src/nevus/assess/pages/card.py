"""The model card of a run: the fields of a Hugging Face model card, filled in from what the run's files say.

Owns the card's contents and its Markdown form with a YAML head, ready to be uploaded
as the README.md of a model. What only the author knows is marked as open, never made
up. The page shows the same contents. Template followed:
https://github.com/huggingface/huggingface_hub, `modelcard_template.md`; Mitchell et
al., Model cards for model reporting, FAT* 2019.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nevus.assess.plots.drawing import interval_text
from nevus.assess.sections import classification
from nevus.core.estimate import Estimate
from nevus.core.modelfile import DISCLAIMER, INTENDED_USE, LIMITATIONS
from nevus.core.triage import BANDS

OPEN = "Open: to be filled in by the author."

_GET_STARTED = 'import nevus\n\nprint(nevus.load("model.onnx").predict(["image.jpg"]))'


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a card: its heading, and named fields of plain text."""

    title: str
    fields: tuple[tuple[str, str], ...]
    code: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A card.

    Attributes:
        name: of the run.
        front_matter: the head, as JSON-like values.
        sections: in the template's order.
    """

    name: str
    front_matter: dict[str, Any]
    sections: tuple[Section, ...]

    def to_markdown(self) -> str:
        """The card as Markdown with a YAML head; text from outside cannot become markup."""
        lines = [
            "---",
            *_yaml(self.front_matter),
            "---",
            "",
            f"# Model card for {_escaped(self.name)}",
            "",
            f"> {DISCLAIMER}",
        ]
        for section in self.sections:
            lines += ["", f"## {section.title}", ""]
            lines += [f"- **{name}:** {_escaped(text)}" for name, text in section.fields]
            if section.code:
                lines += ["", "```python", section.code, "```"]
        return "\n".join(lines) + "\n"


def make_card(
    name: str,
    facts: Mapping[str, str],
    versions: Mapping[str, str],
    metrics: Mapping[str, Any],
    point: Mapping[str, Any],
) -> ModelCard:
    """Fills in the card.

    Args:
        name: of the run.
        facts: of the run, as text by name; the same as for the checklists.
        versions: of the test split, by their names in `metrics`: what each is called. The first is to be quoted.
        metrics: as `results.read_metrics` gives it.
        point: the default operating point in there.
    """
    results = [(title, _figures(metrics["splits"][split], point[split])) for split, title in versions.items()]
    of_classes = [(title, _class_figures(metrics, split)) for split, title in versions.items()]
    num_classes = len(metrics["classes"]["names"])
    entries = [_result(facts, "Malignant or benign", title, figures) for title, figures in results]
    entries += [_result(facts, f"Which of {num_classes} classes", title, found) for title, found in of_classes if found]
    front_matter = {
        "license": "other",
        "license_name": _identifier(facts["licence"].split(";")[0]),
        "library_name": "nevus",
        "pipeline_tag": "image-classification",
        "tags": ["dermoscopy", "skin-lesion", "melanoma", "onnx", "research-only", "not-a-medical-device"],
        "datasets": [_identifier(name) for name in facts["source_names"].split("\n")],
        "metrics": ["roc_auc", "average_precision", "brier_score", "recall", "specificity"],
        "model-index": [{"name": name, "results": entries}],
    }
    sections = (
        Section(
            "Model details",
            (
                ("Description", f"{facts['task']} Network {facts['network']}, {facts['parameters']} parameters."),
                ("Developed by", OPEN),
                ("Funded by", OPEN),
                ("Shared by", OPEN),
                ("Model type", "Convolutional network for images, exported as one ONNX file with its preprocessing"),
                ("License", facts["licence"]),
                ("Finetuned from", facts["pretrained"]),
                ("Made with", f"Nevus {facts['version']}"),
                ("Repository, paper and demo", OPEN),
            ),
        ),
        Section(
            "Uses",
            (
                ("Direct use", INTENDED_USE),
                ("Downstream use", "Comparison with other models on the same images, teaching, and prototypes."),
                ("Out-of-scope use", f"Any use in the care of a person. {DISCLAIMER}"),
            ),
        ),
        Section(
            "Bias, risks and limitations",
            (
                ("Limitations", LIMITATIONS),
                *(
                    (f"Largest gaps between subgroups, {title}", _gaps((metrics["subgroup_gaps"] or {}).get(split)))
                    for split, title in versions.items()
                ),
                ("Recommendations", "Test it on images from the place of use, by skin type, before any conclusion."),
            ),
        ),
        Section("How to get started", (("Install", "pip install . in a copy of the Nevus repository"),), _GET_STARTED),
        Section(
            "Training details",
            (
                ("Training data", f"{facts['sources']}; {facts['split_counts']}; generated: {facts['generated']}"),
                ("Licences of the images", facts["licences"]),
                ("Preprocessing", f"Upright, RGB, resized to {facts['image_size']} x {facts['image_size']} pixels"),
                ("Hyperparameters", f"recipe {facts['recipe']}: {facts['hyperparameters']}"),
                ("Class weights", facts["class_weights"]),
                ("Speeds, sizes, times", facts["speed"]),
            ),
        ),
        Section(
            "Evaluation",
            (
                (
                    "Testing data",
                    f"{facts['test_images']} images ({facts['test_malignant']} malignant) "
                    f"of {facts['test_groups']} groups, none of them used to train or to choose a threshold",
                ),
                ("Factors", facts["factors"]),
                ("Threshold", f"{point['name']}: risk of {point['threshold']:.4f} or more; chosen on validation"),
                *(
                    (
                        f"Results, {title}",
                        "; ".join(f"{label} {interval_text(estimate)}" for _, label, estimate in figures),
                    )
                    for title, figures in results
                ),
                *(
                    (f"Classes, {title}", _classes(metrics, split))
                    for split, title in versions.items()
                    if _class_figures(metrics, split)
                ),
                *((f"Calibration, {title}", _calibration(metrics, split)) for split, title in versions.items()),
                *((f"Triage, {title}", _triage(metrics, split)) for split, title in versions.items()),
            ),
        ),
        Section(
            "Environmental impact",
            (
                ("Hardware type", facts["machine"]),
                ("Hours used", facts["hours"]),
                ("Cloud provider and compute region", OPEN),
                ("Carbon emitted", OPEN),
            ),
        ),
        Section(
            "Technical specifications",
            (
                ("Architecture and objective", f"{facts['network']}; {facts['objective']} over {facts['classes']}"),
                ("Software", facts["packages"]),
                ("Dataset fingerprint", facts["fingerprint"]),
                ("Command", facts["command"]),
            ),
        ),
        Section("Citation", (("BibTeX", OPEN),)),
        Section("More information", (("Model card authors", OPEN), ("Model card contact", OPEN))),
    )
    return ModelCard(name, front_matter, sections)


def _figures(split: Mapping[str, Any], at_point: Mapping[str, Any]) -> list[tuple[str, str, Estimate]]:
    """Metric id, label and figure."""
    return [
        ("roc_auc", "ROC-AUC", split["roc_auc"]),
        ("average_precision", "average precision", split["average_precision"]),
        ("brier_score", "Brier score", split["brier"]),
        ("recall", "sensitivity", at_point["sensitivity"]),
        ("specificity", "specificity", at_point["specificity"]),
    ]


def _result(
    facts: Mapping[str, str], task: str, title: str, figures: Sequence[tuple[str, str, Estimate]]
) -> dict[str, Any]:
    """One result of `model-index`; a figure that is not defined has no place there."""
    return {
        "task": {"type": "image-classification", "name": task},
        "dataset": {
            "name": f"{facts['source_names'].replace(chr(10), ', ')} ({title})",
            "type": _identifier(facts["source_names"].split("\n")[0]),
            "split": "test",
        },
        "metrics": [
            {
                "type": metric,
                "name": label if math.isnan(estimate.low) else f"{label} (95 % interval {_ends(estimate)})",
                "value": round(estimate.value, 4),
            }
            for metric, label, estimate in figures
            if not math.isnan(estimate.value)
        ],
    }


def _class_figures(metrics: Mapping[str, Any], split: str) -> list[tuple[str, str, Estimate]]:
    """Metric id, label and figure of which class it is; none for two classes, where the risk says it all."""
    found = metrics["classification"][split]
    if len(found["classes"]) == 2:
        return []
    return [(name, title, found[name]) for name, title in classification.FIGURES.items()]


def _classes(metrics: Mapping[str, Any], split: str) -> str:
    figures = [f"{title.lower()} {interval_text(estimate)}" for _, title, estimate in _class_figures(metrics, split)]
    rows = metrics["classification"][split]["classes"] if figures else []
    figures += [f"ROC-AUC of {row['name']} {interval_text(row['roc_auc'])}" for row in rows]
    return "; ".join(figures)


def _ends(estimate: Estimate) -> str:
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def _calibration(metrics: Mapping[str, Any], split: str) -> str:
    if not metrics["calibration"]:
        return "Not known."
    after = metrics["calibration"][split]["after"]
    figures = {"expected calibration error": "ece", "slope": "slope", "intercept": "intercept"}
    return "; ".join(f"{label} {interval_text(after[name])}" for label, name in figures.items())


def _triage(metrics: Mapping[str, Any], split: str) -> str:
    if not metrics["triage"]:
        return "Not known."
    bands = metrics["triage"][split]
    shares = {f"{name} risk": bands[name]["share"] for name in BANDS}
    shares["not low, of the malignant images"] = bands["sensitivity_of_rule_out"]
    shares["not high, of the benign images"] = bands["specificity_of_rule_in"]
    return "; ".join(f"{label} {interval_text(share)}" for label, share in shares.items())


def _gaps(gaps: Sequence[Mapping[str, Any]] | None) -> str:
    if not gaps:
        return "Not known: the data have no metadata column with subgroups that are large enough."
    widest = sorted(gaps, key=lambda gap: -gap["gap"].value)[:3]
    return "; ".join(
        f"{gap['figure'].replace('_', '-')} by {gap['column']}, {gap['highest']} over {gap['lowest']}: "
        f"{interval_text(gap['gap'])}"
        for gap in widest
    )


def _identifier(name: str) -> str:
    """A name with nothing but the characters that identifiers on a hub may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"


def _yaml(value: Any, indent: str = "") -> list[str]:
    """Block-style YAML; texts and numbers are written as JSON, which YAML 1.2 includes."""
    if isinstance(value, dict):
        lines = []
        for key, item in value.items():
            nested = isinstance(item, dict | list)
            lines += [f"{indent}{key}:" + ("" if nested else f" {json.dumps(item, ensure_ascii=False)}")]
            lines += _yaml(item, indent + "  ") if nested else []
        return lines
    lines = []
    for item in value:
        first, *rest = (
            _yaml(item, indent + "  ") if isinstance(item, dict | list) else [json.dumps(item, ensure_ascii=False)]
        )
        lines += [f"{indent}- {first.lstrip()}", *rest]
    return lines


def _escaped(text: str) -> str:
    """Text in which no character starts Markdown or HTML markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~$&])", r"\\\1", " ".join(text.split()))
