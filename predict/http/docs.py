"""The page at `/docs`, which shows the OpenAPI document: Swagger UI from its package, and our start of it.

It is the same for everybody and holds nothing of a model: its script asks for the document, and for a key if that
needs one.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from flask import Flask, Response
from werkzeug.exceptions import NotFound

from predict.http.assets import asset
from predict.http.descriptions import Description, described
from predict.http.keys import DOCS_FILES, DOCS_PATH
from predict.http.schemas import Schema, content, path_parameter

_OURS = Path(__file__).parent / "docs_page"
_PACKAGE = "flask_openapi3_swagger"
# Name -> where it is in the package of Swagger UI.
_THEIRS = {
    "swagger-ui.css": "templates/swagger/css/swagger-ui.css",
    "swagger-ui-bundle.js": "templates/swagger/js/swagger-ui-bundle.js",
}
_PAGE = "index.html"
_FILES = ("start.js", "style.css", *_THEIRS)
_TEXT: Schema = {"type": "string"}
_STYLE, _SCRIPT = (content(_TEXT, media_type=kind) for kind in ("text/css", "text/javascript"))


def add_docs(app: Flask) -> None:
    """Add the page and its files to an application; they are read when somebody asks for them."""

    @app.get(DOCS_PATH)
    @described(Description("Documents", answers={200: content(_TEXT, media_type="text/html")}))
    def docs() -> Response:
        """Show this document as a page on which requests can be tried."""
        return _file(_PAGE)

    @app.get(f"{DOCS_FILES}<file>")
    @described(
        Description(
            "Documents",
            parameters=[path_parameter("file", {"enum": list(_FILES)})],
            answers={200: _STYLE | _SCRIPT},
        )
    )
    def docs_file(file: str) -> Response:
        """Give a file of that page."""
        if file not in _FILES:
            raise NotFound
        return _file(file)


def _file(name: str) -> Response:
    path = _place_of(name)
    if path is None:
        raise NotFound(
            f"The package {_PACKAGE} is not installed here; it is one of those in predict/requirements.txt."
        )
    return asset(
        name, path.read_bytes(), images="data:"
    )  # those of Swagger UI are in its style sheet


@cache
def _place_of(name: str) -> Path | None:
    """Return where a file is; None if its package is not there."""
    if name not in _THEIRS:
        return _OURS / name
    # Importing it would import what it adds to Flask, which nobody needs here.
    package = find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        return None
    return Path(package.submodule_search_locations[0]) / _THEIRS[name]
