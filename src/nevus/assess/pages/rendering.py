"""The templates of the pages of this package, with the words in which they write values."""

from __future__ import annotations

from functools import cache

import jinja2

from nevus.assess.pages import wording
from nevus.core.estimate import value_text
from nevus.core.pages import page_templates


def template(name: str) -> jinja2.Template:
    """A template of `templates/`, such as `report.html.j2`, ready to be rendered."""
    return _templates().get_template(name)


@cache  # Compiling takes longer than rendering.
def _templates() -> jinja2.Environment:
    templates = page_templates("nevus.assess.pages")
    templates.filters["rounded"] = value_text
    for word in (wording.small_risk, wording.of_hundred, wording.filled_squares, wording.plain):
        templates.filters[word.__name__] = word
    return templates
