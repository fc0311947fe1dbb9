"""Model card and checklists: complete, filled in, and silent on what the run does not say."""

from __future__ import annotations

import json
import re

import pytest

from nevus.assess.pages import checklist
from nevus.assess.pages.card import OPEN, ModelCard, Section

FACTS = dict.fromkeys(
    """fingerprint sources images clinical classes malignant rejected image_size split_counts network parameters
    num_points class_weights licences licence version test_malignant test_images test_groups roc_auc
    generated recipe""".split(),
    "FACT",
)
SECTIONS = {"audit", "calibration", "decision_curve", "screening", "triage", "conformal", "subgroups", "skin type"}


@pytest.mark.parametrize(("name", "items", "most"), [("tripod_ai", 52, 27), ("clear_derm", 25, 25)])
def test_every_item_is_there_once_and_says_something(name: str, items: int, most: int) -> None:
    filled = checklist.fill_in(name, FACTS, SECTIONS)
    numbers = [item.number for item in filled.items]
    assert len(set(numbers)) == len(numbers) == items
    assert sorted({int(re.sub(r"\D", "", number)) for number in numbers}) == list(range(1, most + 1))
    for item in filled.items:
        assert item.topic
        assert item.answer or item.left
        assert not item.left.startswith("The report has no section")
        assert bool(item.see) == bool(item.answer)
        assert "{" not in item.answer
    assert sum(map(filled.count, ("answered", "partly", "open"))) == items


def test_what_the_report_lacks_stays_open() -> None:
    with_all, with_none = (checklist.fill_in("tripod_ai", FACTS, sections) for sections in (SECTIONS, set()))
    assert with_none.count("open") > with_all.count("open")
    fairness = next(item for item in with_none.items if item.number == "14")
    assert fairness.status == "open"
    updating = next(item for item in with_none.items if item.number == "24")
    assert updating.left == "The report has no section 'calibration'."


def test_a_card_is_markdown_with_a_head_and_no_markup_from_outside() -> None:
    hostile = '"x": [y]\n---\n<script> *a* `b` # c \u202e'
    # Not every renderer of Markdown leaves out the head.
    quoted = json.dumps(hostile)
    for character in "<>`[]":
        quoted = quoted.replace(character, f"\\u{ord(character):04x}")
    assert json.loads(quoted) == hostile
    card = ModelCard(
        hostile,
        {"license": "other", "tags": ["a", hostile], "model-index": [{"name": hostile, "results": [{"value": 0.5}]}]},
        (Section("Uses", (("Direct use", hostile), ("Out-of-scope use", OPEN)), "print(1)"),),
    )
    lines = card.to_markdown().splitlines()
    assert lines[0] == "---"
    end = lines.index("---", 1)
    assert lines[1:end] == [
        'license: "other"',
        "tags:",
        '  - "a"',
        f"  - {quoted}",
        "model-index:",
        f"  - name: {quoted}",
        "    results:",
        "      - value: 0.5",
    ]
    body = "\n".join(lines[end + 1 :])
    assert "---" not in lines[end + 1 :]
    assert not re.search(r"(?<!\\)[<`*#]", body.replace("```", "").replace("**", "").replace("# ", "").replace("#", ""))
    assert f"- **Out-of-scope use:** {OPEN}" in lines
    assert "\u202e" not in body
