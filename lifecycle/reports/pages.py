"""HTML pages from the templates of this package: every value is escaped, and a missing one is an error."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def page(template: str, **values: Any) -> str:
    """The page that a template makes of the values."""
    environment = Environment(
        loader=PackageLoader("lifecycle", "reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)
