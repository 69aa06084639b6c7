"""The OpenAPI document and its page, as those use them who have never seen our code: schemathesis, and Chromium."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import ARTEFACTS, ROOT, Serve

CHROMIUM = Path("/usr/bin/chromium")
PLATFORMS = "^/$|^/v[12](/|$)|^/(invocations|score|ping|version|classify)$"
SECRET = "a secret of this test"
# It ends with markup, and with what turns the reading direction.
EVIL = "<img src=x onerror=\"document.title='run'\"><b>bold</b>\u202egnp"
SHOWN = EVIL.replace("\u202e", "\\u202e")
_RENAME = """
import json, sys
from pathlib import Path
from predict.contract.artefact import serialise_metadata
path, evil = Path(sys.argv[1]) / "metadata.json", sys.argv[2]
text = json.loads(path.read_text())
[column] = text["inputs"]
for example in text["examples"]:
    example["instance"] = {evil: example["instance"][column["name"]]}
column["name"], text["name"] = evil, evil
text["outputs"][0]["labels"] = [label + evil for label in text["outputs"][0]["labels"]]
text.pop("profile", None)
del text["checksum"]
path.write_bytes(serialise_metadata(text))
"""


@pytest.mark.parametrize(
    ("artefact", "settings", "options"),
    [
        ("text", {}, ()),
        ("labels", {}, ()),
        (
            "label",
            {
                "API_KEYS": SECRET,
                "ADMIN_TOKEN": SECRET,
                "MODELS_DIR": str(ARTEFACTS["label"].parent),
            },
            ("--header", f"X-API-Key: {SECRET}"),
        ),
        # This model has no finite answer to a missing area, which its metadata allows and JSON Schema cannot say.
        ("number", {}, ("--exclude-checks", "positive_data_acceptance")),
    ],
    ids=["text", "labels", "label with keys", "number"],
)
def test_schemathesis_finds_no_disagreement(
    serve: Serve, artefact: str, settings: dict[str, Any], options: tuple[str, ...], tmp_path: Path
) -> None:
    port = serve(artefact, **settings)
    check(port, tmp_path, "--checks", "all", "--exclude-path-regex", PLATFORMS, *options)


def test_schemathesis_finds_no_disagreement_on_routes_of_platforms(
    serve: Serve, tmp_path: Path
) -> None:
    # The document does not tell what their bodies may hold.
    checks = "not_a_server_error,status_code_conformance,content_type_conformance"
    check(serve("text"), tmp_path, "--checks", checks, "--include-path-regex", PLATFORMS)


def check(port: int, directory: Path, *options: str) -> None:
    pytest.importorskip("schemathesis", reason="`make test-conformance` installs it")
    found = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run"),
            f"http://127.0.0.1:{port}/openapi.json",
            *("--max-examples", "15", "--seed", "1", "--no-color", "--continue-on-failure"),
            *options,
        ],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-20_000:]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="`make test-conformance` installs it")
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Page:
    """A page of the browser, what it complained of, and where it asked for something."""

    def __init__(self, browser: Any, port: int) -> None:
        self.page = browser.new_page()
        self.errors: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.origin = f"http://127.0.0.1:{port}/"
        self.page.goto(f"{self.origin}docs")

    def try_out(self, operation: str) -> Any:
        """Open an operation and send its example; return the JSON of the answer."""
        block = self.page.locator(f"[id='operations-{operation}']")
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        with self.page.expect_response(lambda each: each.url.endswith("predict")) as answered:
            block.get_by_role("button", name="Execute").click()
        assert answered.value.status == 200
        block.locator(".live-responses-table .highlight-code").first.wait_for()
        return answered.value.json()

    def check_stayed_here(self) -> None:
        assert all(url.startswith((self.origin, "data:")) for url in self.asked)


def test_a_request_is_tried_on_the_page_without_an_error_or_a_request_elsewhere(
    serve: Serve, browser: Any
) -> None:
    opened = Page(browser, serve("label"))
    assert opened.try_out("Asking-post_predict")["predictions"][0]["label"] == "yes"
    assert opened.errors == []
    opened.check_stayed_here()


def test_with_keys_the_page_asks_for_one_and_sends_it(serve: Serve, browser: Any) -> None:
    opened = Page(browser, serve("text", API_KEYS=SECRET))
    key = opened.page.get_by_label("This server answers those who have a key.")
    key.fill("another")
    opened.page.get_by_role("button", name="Show the routes").click()
    opened.page.get_by_text("This is not a key of this server.").wait_for()
    key.fill(SECRET)
    opened.page.get_by_role("button", name="Show the routes").click()
    assert opened.try_out("Asking-post_predict")["predictions"]
    assert key.is_hidden()
    assert not any(SECRET in url for url in opened.asked)
    opened.check_stayed_here()


def test_texts_of_strangers_are_shown_as_text(serve: Serve, browser: Any, tmp_path: Path) -> None:
    artefact = tmp_path / "evil"
    artefact.mkdir()
    for file in ARTEFACTS["text"].iterdir():
        (artefact / file.name).write_bytes(file.read_bytes())
    python = ROOT / os.environ.get("PREDICT_PYTHON", ".env/predict/bin/python")
    rename = [python, "-c", _RENAME, artefact, EVIL]
    subprocess.run(rename, cwd=ROOT, check=True, timeout=60)
    opened = Page(browser, serve("text", ARTEFACT_DIR=artefact))
    answer = opened.try_out("Asking-post_predict")
    # What was sent is what the model knows; what is seen is what it is.
    assert answer["model"] == EVIL
    assert answer["predictions"][0]["label"].endswith(EVIL)
    opened.page.get_by_text("Schemas", exact=True).click()
    opened.page.wait_for_timeout(300)
    seen = opened.page.locator("body").inner_text()
    assert json.dumps(SHOWN)[1:-1].replace("\\\\u", "\\u") in seen
    assert "\u202e" not in seen
    for area in opened.page.locator("textarea").all():
        assert "\u202e" not in area.input_value()
    assert opened.page.locator("img[src=x], #routes b:text-is('bold')").count() == 0
    assert opened.page.title() == "Routes"
    assert opened.errors == []
