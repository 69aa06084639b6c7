"""A Sphinx extension: what pages say of the code is made of the code, whenever the site is built.

A line `% from code: NAME` in a page is replaced by what `NAME` yields; nothing of it is kept in the repository.
"""

import re
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

# autodoc adds annotations to pydantic's BaseModel, after which no model of ours could be made: these make all of them.
import train.comparison.compare
import train.run  # noqa: F401

from .command_lines import command_lines
from .configuration import configuration_table, jobs_settings_table, predict_settings_table
from .http_routes import http_routes
from .tables import catalogue_table, exit_codes_table, metrics_table

_PARTS: dict[str, Callable[[], str]] = {
    "catalogue": catalogue_table,
    "command lines": command_lines,
    "configuration": configuration_table,
    "exit codes": exit_codes_table,
    "HTTP routes": http_routes,
    "metrics": metrics_table,
    "settings of jobs": jobs_settings_table,
    "settings of predict": predict_settings_table,
}
_LINE = re.compile(r"^% from code: (.+)$", re.MULTILINE)
# Documents of the repository that have a page of their own on the site, and files that have none.
_ELSEWHERE = {
    "SECURITY.md": "project/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register what replaces the lines."""
    app.connect("env-get-outdated", _made_of_code)
    app.connect("source-read", _fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _made_of_code(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Return the pages that are read again by every build: the code may have changed though they have not."""
    return [
        page
        for page in env.found_docs
        if _LINE.search(Path(env.doc2path(page)).read_text(encoding="utf-8"))
    ]


def _fill_in(app: Sphinx, page: str, source: list[str]) -> None:
    filled = _LINE.sub(lambda line: _PARTS[line[1]](), source[0])
    up = "../" * page.count("/")
    for file, target in _ELSEWHERE.items():
        filled = filled.replace(f"]({up}../{file}", f"]({up}{target}")
    source[0] = filled
