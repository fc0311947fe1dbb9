"""The one way in which HTML pages are made from templates: whatever a name holds is escaped, and nothing is guessed.

Needs Jinja2, which only those who write a page have to install.
"""

from __future__ import annotations

import jinja2

from nevus.core.modelfile import DISCLAIMER, INTENDED_USE, LIMITATIONS


def page_templates(package: str) -> jinja2.Environment:
    """The templates of a package: those in its folder `templates`, where a missing field is an error.

    Each knows `disclaimer`, `intended_use` and `limitations`, so that no page can forget them.

    Args:
        package: dotted name, such as `nevus.assess`.
    """
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(disclaimer=DISCLAIMER, intended_use=INTENDED_USE, limitations=LIMITATIONS)
    return templates
