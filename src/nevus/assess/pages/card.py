"""The model card of a run: the fields of a Hugging Face model card, filled in from the run's files.

Owns the card's contents and its Markdown form with a YAML head, ready to be uploaded
as the README.md of a model. What only the author knows is marked as open and never
invented. The page shows the same contents. Template followed:
https://github.com/huggingface/huggingface_hub, `modelcard_template.md`; Mitchell et
al., Model cards for model reporting, FAT* 2019.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from nevus.assess.pages.source_facts import SourceFigures
from nevus.assess.plots.drawing import interval_text
from nevus.assess.sections.calibration import CALIBRATION
from nevus.assess.sections.classified import CLASSIFICATION
from nevus.assess.sections.decisions import DECISIONS
from nevus.assess.sections.metric import Metric, Surface, shown_on
from nevus.assess.sections.scores import SCORES
from nevus.core.estimate import Estimate
from nevus.core.modelfile import DISCLAIMER, INTENDED_USE, LIMITATIONS
from nevus.core.terminal import printable
from nevus.core.triage import BANDS

OPEN = "Open: to be filled in by the author."

_RISK = "Malignant or benign"
_CARD = shown_on(Surface.CARD, (*SCORES, *DECISIONS))
_TITLES = {metric.name: metric.title for metric in shown_on(Surface.SUBGROUPS, (*SCORES, *DECISIONS))}


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
        front_matter: of the file, as JSON-like values.
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
    sources: SourceFigures | None = None,
) -> ModelCard:
    """Fills in the card.

    Args:
        name: of the run.
        facts: of the run, as text by name; the same as for the checklists.
        versions: of the test split, by their names in `metrics`: what each is called. The first is to be quoted.
        metrics: as `results.read_metrics` gives it.
        point: the default operating point in there.
        sources: figures of sources left out, if there are any; the card opens with them.
    """
    results = {split: _results(metrics, point, split) for split in versions}
    of_classes = {split: _class_results(metrics, split) for split in versions}
    num_classes = len(metrics["classes"]["names"])
    entries = _source_entries(sources) if sources else []
    entries += [_entry(_RISK, _tested(facts, title), results[split]) for split, title in versions.items()]
    entries += [
        _entry(f"Which of {num_classes} classes", _tested(facts, title), of_classes[split])
        for split, title in versions.items()
        if of_classes[split]
    ]
    front_matter = {
        "license": "other",
        "license_name": _identifier(facts["licence"].split(";")[0]),
        "library_name": "nevus",
        "pipeline_tag": "image-classification",
        "tags": ["dermoscopy", "skin-lesion", "melanoma", "onnx", "research-only", "not-a-medical-device"],
        "datasets": [_identifier(name) for name in facts["source_names"].split("\n")],
        "metrics": [metric.hub or metric.name for metric in _CARD],
        "model-index": [{"name": name, "results": entries}],
    }
    facts = {
        **facts,
        "disclaimer": DISCLAIMER,
        "intended_use": INTENDED_USE,
        "limitations": LIMITATIONS,
        "point": point["name"],
        "threshold": f"{point['threshold']:.4f}",
        "rule": point["rule"],
    }
    of_tests = {
        title: {
            "results": _sentence(results[split]),
            "of_classes": _classes(metrics, split, of_classes[split]),
            "calibration": _calibration(metrics, split),
            "triage": _triage(metrics, split),
            "gaps": _gaps((metrics["subgroup_gaps"] or {}).get(split)),
        }
        for split, title in versions.items()
    }
    return ModelCard(name, front_matter, _fill_in(facts, of_tests))


def _fill_in(facts: Mapping[str, str], of_tests: Mapping[str, Mapping[str, str]]) -> tuple[Section, ...]:
    """The sections of `model_card.toml` with these facts, and those of each version of the test by its title."""
    file = resources.files("nevus.assess.pages") / "model_card.toml"
    sections = []
    for section in tomllib.loads(file.read_text(encoding="utf-8"))["sections"]:
        fields: list[tuple[str, str]] = []
        for field in section["fields"]:
            if "of_each_test" in field:
                texts = {title: field["of_each_test"].format_map(found) for title, found in of_tests.items()}
                fields += [(f"{field['name']}, {title}", text) for title, text in texts.items() if text]
            else:
                fields.append((field["name"], field.get("text", OPEN).format_map(facts)))
        sections.append(Section(section["title"], tuple(fields), section.get("code", "").strip()))
    return tuple(sections)


def _results(metrics: Mapping[str, Any], point: Mapping[str, Any], split: str) -> list[tuple[Metric, Estimate]]:
    found = {**metrics["splits"][split], **point[split]}
    return [(metric, found[metric.name]) for metric in _CARD]


def _class_results(metrics: Mapping[str, Any], split: str) -> list[tuple[Metric, Estimate]]:
    """Which class it is; nothing for two classes, where the risk says it all."""
    found = metrics["classification"][split]
    if len(found["classes"]) == 2:
        return []
    return [(metric, found[metric.name]) for metric in shown_on(Surface.CARD, CLASSIFICATION)]


def _sentence(results: Sequence[tuple[Metric, Estimate]]) -> str:
    return "; ".join(f"{metric.title} {interval_text(estimate)}" for metric, estimate in results)


def _source_entries(sources: SourceFigures) -> list[dict[str, Any]]:
    """A result of `model-index` for each source that was left out of training."""
    return [
        _entry(
            _RISK,
            {"name": f"{one['name']} (left out of training)", "type": _identifier(one["name"])},
            [(metric, found[metric.name]) for metric in _CARD if metric.name in found],
        )
        for one in sources.found["sources"]
        for found in [{**one, **sources.at_default(one)}]
    ]


def _tested(facts: Mapping[str, str], title: str) -> dict[str, str]:
    """The dataset of a result on the test split."""
    return {
        "name": f"{facts['source_names'].replace(chr(10), ', ')} ({title})",
        "type": _identifier(facts["source_names"].split("\n")[0]),
        "split": "test",
    }


def _entry(task: str, dataset: Mapping[str, str], results: Sequence[tuple[Metric, Estimate]]) -> dict[str, Any]:
    """One result of `model-index`; a metric that is not defined has no place there."""
    return {
        "task": {"type": "image-classification", "name": task},
        "dataset": dict(dataset),
        "metrics": [
            {
                "type": metric.hub or metric.name,
                "name": metric.title
                if math.isnan(estimate.low)
                else f"{metric.title} (95 % interval {_ends(estimate)})",
                "value": round(estimate.value, 4),
            }
            for metric, estimate in results
            if not math.isnan(estimate.value)
        ],
    }


def _classes(metrics: Mapping[str, Any], split: str, results: Sequence[tuple[Metric, Estimate]]) -> str:
    rows = metrics["classification"][split]["classes"] if results else []
    of_each = [f"ROC-AUC of {row['name']} {interval_text(row['roc_auc'])}" for row in rows]
    return "; ".join([_sentence(results), *of_each]) if results else ""


def _ends(estimate: Estimate) -> str:
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def _calibration(metrics: Mapping[str, Any], split: str) -> str:
    if not metrics["calibration"]:
        return "Not known."
    after = metrics["calibration"][split]["after"]
    return _sentence(
        [(row, after[row.name]) for row in CALIBRATION if isinstance(row, Metric) and after[row.name] is not None]
    )


def _triage(metrics: Mapping[str, Any], split: str) -> str:
    if not metrics["triage"]:
        return "Not known."
    bands = metrics["triage"][split]
    shares = {f"{name} risk": bands[name]["share"] for name in BANDS}
    shares["malignant images that are not called low"] = bands["sensitivity_of_rule_out"]
    shares["benign images that are not called high"] = bands["specificity_of_rule_in"]
    return "; ".join(f"{label} {interval_text(share)}" for label, share in shares.items())


def _gaps(gaps: Sequence[Mapping[str, Any]] | None) -> str:
    if not gaps:
        return "Not known: no metadata column of the data has subgroups that are large enough."
    widest = sorted(gaps, key=lambda gap: -gap["gap"].value)[:3]
    return "; ".join(
        f"{_TITLES[gap['figure']]} by {gap['column']}, {gap['highest']} minus {gap['lowest']}: "
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
            lines += [f"{indent}{key}:" + ("" if nested else f" {_quoted(item)}")]
            lines += _yaml(item, indent + "  ") if nested else []
        return lines
    lines = []
    for item in value:
        first, *rest = _yaml(item, indent + "  ") if isinstance(item, dict | list) else [_quoted(item)]
        lines += [f"{indent}- {first.lstrip()}", *rest]
    return lines


def _quoted(value: Any) -> str:
    """A text or a number as JSON, in which no character starts markup: not every renderer leaves out the head."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[<>&`\[\]]|[^ -~]", lambda one: one[0] if _is_plain(one[0]) else f"\\u{ord(one[0]):04x}", text)


def _is_plain(character: str) -> bool:
    return character not in "<>&`[]" and (character.isprintable() or ord(character) > 0xFFFF)


def _escaped(text: str) -> str:
    """Text in which no character starts Markdown or HTML markup, or turns the direction of the text around."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~$&])", r"\\\1", printable(" ".join(text.split())))
