"""The one way in which HTML pages are made from templates: whatever a name holds is escaped, and nothing is guessed.

Needs Jinja2, which only those who write a page have to install.
"""

from __future__ import annotations

import jinja2


def page_templates(package: str) -> jinja2.Environment:
    """The templates of a package: those in its folder `templates`, where a missing field is an error.

    Args:
        package: dotted name, such as `nevus.assess`.
    """
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
