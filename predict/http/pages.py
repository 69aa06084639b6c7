"""The page for people at `/`: the files of `page/` as they are, from memory, and what a browser may do with them.

They are the same for everybody and hold nothing of a model: the script asks the other routes, with the key if one is
needed.
"""

from pathlib import Path

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from predict.http.assets import TYPES, asset
from predict.http.keys import PAGE_FILES, PAGE_PATH
from predict.http.responses import json_response
from predict.settings import Settings

_DIRECTORY = Path(__file__).parent / "page"
_PAGE = "index.html"


def add_page(app: Flask, settings: Settings, key_needed: bool) -> None:
    """Add the page to an application, or, where it is switched off, an answer at `/` for whoever looks for one there.

    Args:
        app: The application.
        settings: Whether there is a page, and what it may show.
        key_needed: Whether a request needs a key: the page asks for it before it asks for anything else.
    """
    files = _read_files(settings, key_needed) if settings.show_page else {}

    def page() -> Response:
        if _PAGE not in files or _wants_json():
            return json_response({"status": "alive"})
        return file(_PAGE)

    def file(name: str) -> Response:
        if name not in files:
            raise NotFound
        return asset(name, files[name])

    app.add_url_rule(PAGE_PATH, view_func=page)
    app.add_url_rule(f"{PAGE_FILES}<name>", view_func=file)


def _read_files(settings: Settings, key_needed: bool) -> dict[str, bytes]:
    """Return the content of each file, by name; the page itself says what the script should not ask for."""
    files = {file.name: file.read_bytes() for file in _DIRECTORY.iterdir() if file.suffix in TYPES}
    switches = {
        "key": key_needed,
        "examples": settings.show_examples,
        "model": settings.show_model,
        "explanations": settings.max_explained > 0,
    }
    said = " ".join(f'data-{name}="{str(on).lower()}"' for name, on in switches.items())
    files[_PAGE] = files[_PAGE].replace(b"<html", f"<html {said}".encode(), 1)
    return files


def _wants_json() -> bool:
    types = ["text/html", "application/json"]
    return request.accept_mimetypes.best_match(types) == "application/json"
