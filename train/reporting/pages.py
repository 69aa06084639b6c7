"""HTML pages from the templates of this package: escaped, and strict about what is missing."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from predict.wording import printable


def render_page(template: str, **values: Any) -> str:
    """Return a page; `values` are there in the templates that it includes, too, and in their macros."""
    environment = Environment(
        loader=PackageLoader("train.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalise,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= values
    return environment.get_template(template).render()


def _finalise(value: Any) -> Any:
    """Show control characters of a text, which Jinja then escapes; markup is ours."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
