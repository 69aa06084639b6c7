"""Claims about the page: what a browser would refuse or a screen reader miss is not in it."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "page"
SCRIPT = (PAGE / "page.js").read_text()


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def elements() -> list[tuple[str, dict[str, str | None]]]:
    parser = Elements()
    parser.feed((PAGE / "index.html").read_text())
    return parser.found


def test_nothing_that_comes_from_the_service_can_become_html_or_code() -> None:
    for dangerous in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):  # fmt: skip
        assert dangerous not in SCRIPT
    assert "textContent" in SCRIPT


def test_the_page_needs_no_exception_from_its_policy(
    elements: list[tuple[str, dict[str, str | None]]],
) -> None:
    for tag, attributes in elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], tag
        assert tag != "style"
        if tag == "script":
            assert attributes["src"] == "page.js"
    assert "localStorage" not in SCRIPT  # a key is not kept when the page is left


def test_what_the_script_asks_for_is_on_the_page(
    elements: list[tuple[str, dict[str, str | None]]],
) -> None:
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    asked = set(re.findall(r'\bat\("([\w-]+)"\)', SCRIPT))
    assert len(asked) > 10
    assert asked <= set(ids)


def test_every_control_has_a_label_and_every_change_is_told(
    elements: list[tuple[str, dict[str, str | None]]],
) -> None:
    labelled = {attributes.get("for") for tag, attributes in elements if tag == "label"}
    for tag, attributes in elements:
        if tag in ("input", "select", "textarea") and attributes.get("type") != "checkbox":
            assert attributes["id"] in labelled
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
    assert ("html", {"lang": "en"}) in elements
    told = dict(next(attributes for _, attributes in elements if attributes.get("id") == "status"))
    assert told["role"] == "status"


def test_an_upload_is_deleted_only_after_a_question() -> None:
    [asks, deletes] = [
        SCRIPT.index(part) for part in ("!confirm(`Delete", 'ask(path, { method: "DELETE"')
    ]
    assert asks < deletes


def test_the_page_is_light_and_dark_and_shows_where_the_keyboard_is() -> None:
    style = (PAGE / "page.css").read_text()
    assert "color-scheme: light dark" in style
    assert "prefers-color-scheme: dark" in style
    assert ":focus-visible" in style
