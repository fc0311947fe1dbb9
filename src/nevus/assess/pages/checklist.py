"""Reporting checklists, filled in from a run: what its report answers, and what only its author can.

Owns how an item is read, filled in and judged answered, partly answered or open. The
items are in `checklists/*.toml`. Nothing is claimed beyond what the run's files
say: an item whose section is absent stays open.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from importlib import resources

# Of a run; a validation has its own.
NAMES = ("tripod_ai", "clear_derm")
VALIDATION = "tripod_ai_validation"


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a checklist, filled in.

    Attributes:
        number: as in the publication.
        topic: in our own words.
        answer: what the report says; empty if nothing.
        see: the id of the report's section that says it; empty without an answer.
        left: what the author has to add; empty if nothing.
    """

    number: str
    topic: str
    answer: str
    see: str
    left: str

    @property
    def status(self) -> str:
        """`answered`, `partly` or `open`."""
        if not self.answer:
            return "open"
        return "partly" if self.left else "answered"


@dataclass(frozen=True, slots=True)
class Checklist:
    """A checklist, filled in, with the publication that it comes from."""

    title: str
    source: str
    items: tuple[Item, ...]

    def count(self, status: str) -> int:
        """How many items have that status."""
        return sum(item.status == status for item in self.items)


def fill_in(name: str, facts: Mapping[str, str], sections: Set[str]) -> Checklist:
    """Fills in a checklist.

    Args:
        name: one of `NAMES`, or `VALIDATION`.
        facts: of the run, by the names that are in braces in the file.
        sections: the optional sections that the report has, such as `subgroups`.

    Returns:
        With the answers of absent sections left out.
    """
    file = resources.files("nevus.assess.pages") / "checklists" / f"{name}.toml"
    data = tomllib.loads(file.read_text(encoding="utf-8"))
    items = []
    for item in data["items"]:
        has_answer = "answer" in item and ("needs" not in item or item["needs"] in sections)
        left = item.get("open", "")
        items.append(
            Item(
                number=item["number"],
                topic=item["topic"],
                answer=item["answer"].format_map(facts) if has_answer else "",
                see=item["see"] if has_answer else "",
                left=left if left or has_answer else f"The report has no section '{item['needs']}'.",
            )
        )
    return Checklist(data["title"], data["source"], tuple(items))
