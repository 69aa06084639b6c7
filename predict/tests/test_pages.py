"""Claims about the page for people that need no browser; tests/conformance/test_page.py has those that do."""

import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from predict.hosting.models import Models
from predict.http import pages
from predict.http.app import create_app
from predict.scoring.predictor import Predictor
from predict.settings import Settings
from predict.tests.test_app import check_problem

FILES = sorted((Path(pages.__file__).parent / "page").iterdir())
SCRIPTS = [file for file in FILES if file.suffix == ".js"]
MOST_BYTES = 100_000


@pytest.fixture
def serve(predictor: Predictor) -> Any:
    def serve_with(**settings: Any) -> FlaskClient:
        settings = {"log_requests": False, **settings}
        return create_app(Models.of(predictor), Settings.model_validate(settings)).test_client()

    return serve_with


def read(name: str) -> str:
    return next(file for file in FILES if file.name == name).read_text(encoding="utf-8")


def addresses() -> list[str]:
    return ["/", *(f"/page/{file.name}" for file in FILES if file.name != "index.html")]


@pytest.mark.parametrize("address", addresses())
def test_each_part_says_what_it_is_and_lets_a_browser_do_nothing_else(
    client: FlaskClient, address: str
) -> None:
    response = client.get(address)
    assert response.status_code == 200
    suffix = Path(address).suffix or ".html"
    expected = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    assert response.mimetype == expected.get(suffix, "image/svg+xml")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    [policy] = response.headers.getlist("Content-Security-Policy")
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    for what in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert allowed.pop(what) == "'none'"
    assert set(allowed) == {"script-src", "style-src", "connect-src", "img-src"}
    assert set(allowed.values()) == {"'self'"}


@pytest.mark.parametrize("address", addresses())
def test_head_answers_as_get_without_the_content(client: FlaskClient, address: str) -> None:
    got, head = client.get(address), client.head(address)
    assert (head.status_code, head.data) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Content-Security-Policy"):
        assert head.headers[name] == got.headers[name]


def test_a_browser_that_has_a_part_already_is_told_so(client: FlaskClient) -> None:
    first = client.get("/page/page.css")
    assert first.headers["Cache-Control"] == "no-cache"
    again = client.get("/page/page.css", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers.getlist("Date") == []  # the connection adds one


def test_what_is_not_of_the_page_is_not_found(client: FlaskClient) -> None:
    for path in ("/page/", "/page/index.htm", "/page/..%2fpages.py", "/page/a/page.js"):
        check_problem(client.get(path), 404)
    check_problem(client.post("/page/page.js"), 405)


def test_who_wants_json_gets_json(client: FlaskClient) -> None:
    assert client.get("/", headers={"Accept": "application/json"}).json == {"status": "alive"}
    for accepted in ("*/*", "text/html,application/xhtml+xml,*/*;q=0.8", ""):
        assert client.get("/", headers={"Accept": accepted}).mimetype == "text/html"


def test_where_there_is_no_page_a_probe_still_gets_an_answer(serve: Any) -> None:
    client = serve(show_page=False)
    for headers in ({}, {"Accept": "text/html"}):
        response = client.get("/", headers=headers)
        assert (response.status_code, response.json) == (200, {"status": "alive"})
        assert "script-src" not in response.headers["Content-Security-Policy"]
    check_problem(client.get("/page/page.js"), 404)


@pytest.mark.parametrize("show_page", [True, False])
def test_the_page_needs_no_key_and_everything_else_does(serve: Any, show_page: bool) -> None:
    client = serve(api_keys="first-key", show_page=show_page)
    assert client.get("/").status_code == client.head("/").status_code == 200
    assert client.get("/page/page.js").status_code == (200 if show_page else 404)
    for path in ("/model", "/models", "/metrics", "/drift", "/predict/example", "/pages", "/page"):
        check_problem(client.get(path), 401)
    for path in ("/", "//", "/page/page.js", "/page/predict", "/page/../predict", "//predict"):
        assert client.post(path, json={"text": "svn"}).status_code == 401
    check_problem(client.get("/page/../model"), 404)


def test_the_page_is_told_what_it_need_not_ask_for(serve: Any) -> None:
    def told(**settings: Any) -> dict[str, str]:
        html = serve(**settings).get("/").text
        return dict(re.findall(r'data-([a-z]+)="(\w+)"', html.partition("<head>")[0]))

    on = {"examples": "true", "model": "true", "explanations": "true"}
    assert told() == {"key": "false", **on}
    off = told(api_keys="a", show_examples=False, show_model=False, max_explained=0)
    assert off == {"key": "true", **dict.fromkeys(on, "false")}


def test_it_is_counted_by_its_routes(client: FlaskClient) -> None:
    client.get("/")
    client.get("/page/page.js")
    numbers = client.get("/metrics").text
    assert 'route="/"' in numbers
    assert 'route="/page/<name>"' in numbers


def test_metadata_tells_how_many_examples_there_are(client: FlaskClient) -> None:
    count = client.get("/model").json["num_examples"]
    assert client.get(f"/predict/example?number={count - 1}").status_code == 200
    check_problem(client.get(f"/predict/example?number={count}"), 422)


# ------------------------------------------------------------- what is in it


def test_all_of_it_is_small() -> None:
    assert sum(file.stat().st_size for file in FILES) < MOST_BYTES


def test_every_file_that_a_part_names_is_there_and_no_other() -> None:
    linked = set(re.findall(r'(?:src|href)="page/([^"]+)"', read("index.html")))
    imported = {
        name for file in SCRIPTS for name in re.findall(r'from "\./([^"]+)"', file.read_text())
    }
    assert linked | imported | {"index.html"} == {file.name for file in FILES}


def test_every_link_is_relative_so_that_a_proxy_may_add_a_prefix() -> None:
    for address in re.findall(r'(?:src|href|action)="([^"]*)"', read("index.html")):
        assert re.match(r"#|page/|docs$|openapi\.json$", address), address
    for file in SCRIPTS:
        asked = re.findall(r"(?:ask|fetch|URL)\([`\"]([^`\"]*)", file.read_text())
        assert not [path for path in asked if path.startswith(("/", "http"))], file.name


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_comes_from_elsewhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|url\(|@import|//[a-z]+\.", text)


def test_nothing_is_inline_and_no_name_becomes_markup() -> None:
    html = read("index.html")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", html)
    for file in SCRIPTS:
        script = file.read_text(encoding="utf-8")
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|srcdoc|cssText",
            script,
        )
        assert not found, file.name


def test_every_id_that_a_script_uses_is_in_the_page() -> None:
    ids = re.findall(r'\sid="([^"]+)"', read("index.html"))
    assert len(set(ids)) == len(ids)
    used = {name for file in SCRIPTS for name in re.findall(r'byId\("([^"]+)"\)', file.read_text())}
    assert len(used) > 20
    assert used <= set(ids)
    referred = re.findall(
        r'(?:for|aria-labelledby|aria-describedby|href)="#?([^"/.]+)"', read("index.html")
    )
    assert {name for names in referred for name in names.split()} <= {*ids, "docs"}
