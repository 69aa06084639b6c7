"""Claims about the page for people, in headless Chromium, on real servers."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from predict.tests.processes import Process

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: make test-conformance"
)
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright",
    reason="axe-playwright-python is not installed: make test-conformance",
)

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / os.environ.get("PREDICT_PYTHON", sys.executable)
GOLDEN = ROOT / "predict/tests/golden"
ARTEFACTS = {
    "text": GOLDEN / "format-3",
    "label": GOLDEN / "format-2/label",
    "number": GOLDEN / "format-2/number",
    "labels": GOLDEN / "format-2/labels",
}
LEADS = {"text": "svn", "label": "yes", "number": "274.5", "labels": "drama, war"}
MOST_BYTES = 100_000
PHONE = {"width": 360, "height": 740}

MARKUP = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>"
REVERSED = "abc\u202egpj.exe\u202c\u0007"
# Writes metadata.json anew, with its checksum; the libraries of serving are enough for it.
REWRITE = """
import json, sys
from pathlib import Path
from predict.contract.artefact import serialise_metadata
file = Path(sys.argv[1]) / "metadata.json"
metadata = json.loads(file.read_bytes()) | json.loads(sys.argv[2])
del metadata["checksum"]
file.write_bytes(serialise_metadata(metadata))
"""

expect = playwright.expect
Serve = Callable[..., str]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Serve an artefact, by its name in ARTEFACTS or by its directory; return the address of the page."""
    started: dict[tuple[object, ...], Process] = {}

    def serve_one(artefact: str | Path, **settings: object) -> str:
        directory = ARTEFACTS[artefact] if isinstance(artefact, str) else artefact
        key = directory, *sorted(settings.items())
        if key not in started:
            environ = {"ARTEFACT_DIR": str(directory), "PORT": "0"}
            environ |= {name: str(value) for name, value in settings.items()}
            command = [str(PYTHON), "-m", "predict", "serve"]
            started[key] = Process(command, environ, tmp_path_factory.mktemp("server"))
        return f"http://127.0.0.1:{started[key].port()}/"

    yield serve_one
    for process in started.values():
        process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open a page; afterwards nothing must have been said in its console, or asked of another host."""
    contexts, said, asked = [], [], []

    def open_one(address: str, quiet: bool = True, before: Any = None, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        if quiet:
            page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append((address, request.url)))
        if before is not None:
            before(page)
        page.goto(address)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert said == []
    assert [url for address, url in asked if not url.startswith(address)] == []


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact that anybody might have named: labels, a column and itself, by markup and overrides of direction."""
    directory = tmp_path_factory.mktemp("hostile") / "artefact"
    shutil.copytree(ARTEFACTS["text"], directory)
    metadata = json.loads((directory / "metadata.json").read_bytes())
    column = f"{MARKUP} {REVERSED}"
    changes = {
        "name": f"2026 {REVERSED} {MARKUP}",
        "inputs": [{**metadata["inputs"][0], "name": column}],
        "outputs": [
            {
                **metadata["outputs"][0],
                "name": f"tag {MARKUP}",
                "labels": [MARKUP, REVERSED, "\u2067שלום\u2069 __proto__"],
            }
        ],
        "examples": [
            {**example, "instance": {column: text}, "truth": MARKUP}
            for example in metadata["examples"]
            for text in example["instance"].values()
        ],
        "dataset": {"name": MARKUP, "source": f"javascript:alert(1) {REVERSED}"},
        "versions": {MARKUP: REVERSED},
        "metrics": {MARKUP: 0.5},
    }
    command = [str(PYTHON), "-c", REWRITE, str(directory), json.dumps(changes)]
    subprocess.run(command, check=True, cwd=ROOT)
    return directory


def predict(page: Any) -> Any:
    """Press Predict; return the part of the page that has the answer, when it is there."""
    page.click("#predict")
    page.wait_for_selector("#answer .lead")
    return page.locator("#answer")


def ready(page: Any) -> Any:
    page.wait_for_selector("#fields .field")
    expect(page.locator("#field-0")).not_to_have_value("")
    return page


def lead(page: Any) -> str:
    return page.inner_text("#answer .lead")


def fits(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# ------------------------------------------------------------------- asking


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_a_held_out_example_is_answered_by_pressing_one_button(
    serve: Serve, open_page: Open, kind: str
) -> None:
    received = []
    address = serve(kind)

    def count(page: Any) -> None:
        page.on("response", lambda response: received.append(response))

    page = ready(open_page(address, before=count))
    predict(page)
    assert lead(page).startswith(LEADS[kind])
    assert LEADS[kind].split(",")[0] in page.inner_text("#announcement")
    own = [each for each in received if each.url == address or "/page/" in each.url]
    assert len(own) >= 4
    assert sum(len(each.body()) for each in own) < MOST_BYTES


def test_what_mattered_is_marked_in_the_text_itself(serve: Serve, open_page: Open) -> None:
    page = ready(open_page(serve("text")))
    text = "🙂 how do I undo a commit, in the shell?"
    page.fill("#field-0", text)
    predict(page)
    assert page.inner_text("#answer .explained") == text
    marked = page.locator("#answer .explained mark").all_inner_texts()
    assert {"undo", "commit"} <= set(marked)
    listed = page.locator("#answer table").nth(1).locator("th").all_inner_texts()
    assert {"undo", "commit"} & set(listed)
    # What can be seen without colours: the sign is in the line below a word, and in its title.
    styles = page.eval_on_selector_all(
        "#answer .explained mark",
        "all => all.map(e => [e.title[0], getComputedStyle(e).borderBottomStyle])",
    )
    assert {("+", "solid"), ("−", "dashed")} >= {tuple(each) for each in styles}


def test_what_mattered_in_a_row_is_one_bar_a_column(serve: Serve, open_page: Open) -> None:
    page = ready(open_page(serve("label")))
    predict(page)
    table = page.locator("#answer table").nth(1)
    named = table.locator("th").all_inner_texts()
    assert len(named) == 6
    assert "age = 38 (typical: 38)" in named
    assert table.locator(".bar.signed").count() == 6


def test_an_answer_without_an_explanation_is_shown_as_it_is(serve: Serve, open_page: Open) -> None:
    page = ready(open_page(serve("text")))
    page.uncheck("#explain")
    predict(page)
    assert page.locator("#answer .explained").count() == 0


def test_where_explanations_are_switched_off_none_is_asked_for(
    serve: Serve, open_page: Open
) -> None:
    page = ready(open_page(serve("text", MAX_EXPLAINED=0)))
    assert page.locator("#explain").is_hidden()
    predict(page)
    assert page.locator("#answer .explained").count() == 0


def test_a_refused_explanation_leaves_the_answer(serve: Serve, open_page: Open) -> None:
    def refuse(page: Any) -> None:
        detail = {"detail": "text: expected at most 10 characters to explain"}
        problem = {"status": 422, "content_type": "application/problem+json"}
        page.route(
            "**/predict?explain=true",
            lambda route: route.fulfill(**problem, body=json.dumps(detail)),
        )

    page = ready(open_page(serve("text"), quiet=False, before=refuse))
    predict(page)
    assert "Not explained: text: expected at most 10 characters" in page.inner_text("#answer")


def test_a_wrong_value_is_told_beside_its_field_and_summarised(
    serve: Serve, open_page: Open
) -> None:
    page = ready(open_page(serve("label"), quiet=False))
    page.fill("#field-0", "")
    page.click("#predict")
    page.wait_for_selector("#summary li")
    assert "expected a number, got null" in page.inner_text("#error-0")
    assert "age: expected a number, got null" in page.inner_text("#summary")
    assert page.evaluate("document.activeElement.id") == "field-0"
    page.locator("#field-1").focus()
    page.click("#summary a")
    assert page.evaluate("document.activeElement.id") == "field-0"
    page.fill("#field-0", "30")
    predict(page)
    assert page.inner_text("#summary") == page.inner_text("#error-0") == ""


def test_a_value_that_training_did_not_see_is_warned_of_beside_its_field(
    serve: Serve, open_page: Open
) -> None:
    page = ready(open_page(serve("label")))
    page.fill("#field-0", "99")
    page.fill("#field-3", "X")
    page.fill("#field-1", "")
    predict(page)
    assert "99 is above 80.5" in page.inner_text("#warning-0")
    assert "'X' was not seen" in page.inner_text("#warning-3")
    assert page.locator("#answer .warning").count() == 2
    page.fill("#field-0", "30")
    page.click("#predict")
    expect(page.locator("#answer .warning")).to_have_count(1)
    assert page.inner_text("#warning-0") == ""
    assert page.locator("#answer .bar b").first.is_visible()  # the threshold


def test_a_number_has_its_interval(serve: Serve, open_page: Open) -> None:
    page = ready(open_page(serve("number")))
    assert "held-out row" in page.inner_text("#from-example")
    answer = predict(page).inner_text()
    assert "262 to 287, made to hold 90 % of the true values" in answer
    assert "True for this held-out row: 310" in answer
    page.fill("#field-0", "4")
    assert page.inner_text("#from-example") == ""
    page.click("#predict")
    expect(page.locator("#answer .lead")).to_contain_text("275.5")
    assert "held-out row" not in page.inner_text("#answer")


def test_several_labels_have_a_threshold_each(serve: Serve, open_page: Open) -> None:
    page = ready(open_page(serve("labels")))
    predict(page)
    table = page.locator("#answer table").first
    assert table.locator("tr.chosen th bdi").all_inner_texts() == ["drama", "war"]
    assert table.locator(".bar b").count() == 3


def test_an_unsure_answer_says_so_in_words(serve: Serve, open_page: Open) -> None:
    page = ready(open_page(serve(GOLDEN / "format-4")))
    page.fill("#field-0", "zzzz")
    assert "Unsure: this is unlike what the model was trained on." in predict(page).inner_text()


def test_another_example_comes_after_each_and_the_first_after_the_last(
    serve: Serve, open_page: Open
) -> None:
    page = ready(open_page(serve("number")))
    with urllib.request.urlopen(f"{serve('number')}model") as answer:
        count = json.load(answer)["num_examples"]
    seen = []
    for _ in range(count + 1):
        seen.append(page.input_value("#field-0"))
        with page.expect_response("**/predict/example*"):
            page.click("#another")
        page.wait_for_timeout(50)
    assert seen[0] == seen[-1]
    assert len(set(seen)) > 1


def test_where_nothing_is_shown_of_the_model_a_row_is_written_as_json(
    serve: Serve, open_page: Open
) -> None:
    page = open_page(serve("label", SHOW_EXAMPLES="false", SHOW_MODEL="false"))
    page.wait_for_selector("#fields .field")
    row = {"age": 38, "fare": 71.25, "heads": 2, "port": "C", "day": "2026-04-10", "note": ""}
    page.fill("#field-0", json.dumps(row))
    predict(page)
    assert lead(page).startswith("yes")
    assert "SHOW_MODEL" in page.inner_text("#card")
    assert page.locator("#another").is_hidden()


def test_one_of_several_models_is_chosen(serve: Serve, open_page: Open) -> None:
    models = f"prices={ARTEFACTS['number']}, a.b={ARTEFACTS['labels']}"
    page = ready(open_page(serve("text", MODELS=models)))
    assert page.inner_text("#heading") == "Predict tag"
    page.select_option("#model", "prices")
    expect(page.locator("#heading")).to_have_text("Predict price")
    ready(page)
    predict(page)
    assert lead(page).startswith("274.5")


def test_a_refused_artefact_is_told_with_its_reason(serve: Serve, open_page: Open) -> None:
    def refuse(page: Any) -> None:
        def answer(route: Any) -> None:
            models = route.fetch().json()
            at = "2026-11-28T02:03:04Z"
            models["models"][0]["refused"] = {
                "artefact": "x",
                "reason": f"damaged {MARKUP}",
                "at": at,
            }
            route.fulfill(json=models)

        page.route("**/models", answer)

    page = ready(open_page(serve("text"), before=refuse))
    assert "refused at 2026-11-28 02:03 UTC" in page.inner_text("#refused")
    assert MARKUP in page.inner_text("#refused")


# --------------------------------------------------------------------- keys


def test_a_key_is_asked_for_and_is_never_in_the_address(serve: Serve, open_page: Open) -> None:
    address = serve("text", API_KEYS="schlüssel")
    page = open_page(address)
    page.wait_for_selector("#key-form")
    assert page.locator("#shown").is_hidden()
    page.fill("#key", "schlüssel")
    page.keyboard.press("Enter")
    predict(ready(page))
    assert page.url == address
    assert page.evaluate("[document.cookie, localStorage.length]") == ["", 0]
    page.reload()
    predict(ready(page))


def test_a_wrong_key_is_told_to_be_one(serve: Serve, open_page: Open) -> None:
    page = open_page(serve("text", API_KEYS="schlüssel"), quiet=False)
    page.fill("#key", "schloss")
    page.keyboard.press("Enter")
    expect(page.locator("#key-error")).to_contain_text("none of the server's keys")
    assert page.evaluate("sessionStorage.length") == 0


# ------------------------------------------------------------ hostile names


def test_what_others_have_named_is_text_and_turns_nothing_around(
    serve: Serve, open_page: Open, hostile: Path
) -> None:
    page = ready(open_page(serve(hostile), viewport=PHONE))
    page.fill("#field-0", f"undo a commit {MARKUP} {REVERSED}")
    predict(page)
    page.click("#answer summary")
    page.click("#card summary")
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img, main script, body > script").count() == 0
    assert "javascript:" not in "".join(
        page.eval_on_selector_all("[href], [src]", "all => all.map(e => e.href || e.src)")
    )
    shown = page.inner_text("body")
    for part in ("<img src=x", "<script>", "U+202E", "U+0007", "שלום"):
        assert part in shown
    texts = page.evaluate("document.body.textContent + document.title")
    assert not set("\u202e\u202c\u2067\u2069\u0007") & set(texts)
    assert fits(page)


# ------------------------------------------------- people who see it differently


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", [*ARTEFACTS, "hostile"])
def test_an_audit_of_accessibility_finds_nothing(
    serve: Serve, open_page: Open, hostile: Path, kind: str, scheme: str
) -> None:
    artefact = hostile if kind == "hostile" else kind
    page = ready(open_page(serve(artefact), color_scheme=scheme))
    predict(page)
    for button in page.locator("#answer button.link").all():
        button.click()
    page.click("#answer summary")
    check_accessible(page)


def test_an_audit_of_errors_keys_and_a_phone_finds_nothing(serve: Serve, open_page: Open) -> None:
    page = ready(open_page(serve("label"), quiet=False, viewport=PHONE))
    page.fill("#field-0", "")
    page.click("#predict")
    page.wait_for_selector("#summary li")
    check_accessible(page)
    page = open_page(serve("text", API_KEYS="schlüssel"), quiet=False)
    page.wait_for_selector("#key-form")
    check_accessible(page)


def check_accessible(page: Any) -> None:
    found = axe.Axe().run(page)
    assert [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found.response["violations"]
    ] == []


def test_dark_is_dark_and_light_is_light(serve: Serve, open_page: Open) -> None:
    lightness = {}
    for scheme in ("light", "dark"):
        page = open_page(serve("text"), color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        lightness[scheme] = int(colour.split("(")[1].split(",")[0])
    assert lightness["light"] > 200
    assert lightness["dark"] < 60


@pytest.mark.parametrize("kind", ARTEFACTS)
def test_nothing_is_wider_than_a_phone(serve: Serve, open_page: Open, kind: str) -> None:
    page = ready(open_page(serve(kind), viewport=PHONE, reduced_motion="reduce"))
    predict(page)
    assert fits(page)
    place = page.locator("#answer-heading").evaluate("e => e.getBoundingClientRect().top")
    assert place < PHONE["height"] / 2


def test_the_keyboard_alone_is_enough(serve: Serve, open_page: Open) -> None:
    page = ready(open_page(serve("text")))
    keys = page.keyboard
    keys.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the form"
    keys.press("Enter")
    keys.press("Tab")
    assert page.evaluate("document.activeElement.id") == "field-0"
    keys.press("Control+a")
    keys.type("undo a commit")
    keys.press("Tab")
    assert page.evaluate("document.activeElement.id") == "predict"
    keys.press("Enter")
    page.wait_for_selector("#answer .lead")
    assert lead(page).startswith("svn")
    reached = set()
    for _ in range(30):
        keys.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"another", "explain", "pause", "SUMMARY"} <= reached


# ----------------------------------------------------------------- activity


def test_traffic_is_drawn_while_somebody_looks_and_can_be_paused(
    serve: Serve, open_page: Open
) -> None:
    looks = []

    def install(page: Any) -> None:
        page.clock.install()
        page.add_init_script(
            "window.away = false; Object.defineProperty(document, 'hidden', {get: () => window.away})"
        )
        page.on("request", lambda asked: asked.url.endswith("/metrics") and looks.append(asked))

    page = ready(open_page(serve("text"), before=install))

    def looks_after(act: Callable[[], Any]) -> int:
        before = len(looks)
        act()
        for _ in range(3):
            page.clock.run_for(5_100)
            page.wait_for_timeout(150)
        return len(looks) - before

    expect(page.locator("#rate-text")).not_to_be_empty()
    assert looks_after(lambda: predict(page)) >= 2
    chart = page.locator("#rate-chart svg")
    assert chart.get_attribute("role") == "img"
    assert "answered" in chart.get_attribute("aria-label")
    assert "answered" in page.inner_text("#rate-text")
    assert "95 % within" in page.inner_text("#latency-text")
    assert page.locator("#latency-chart svg").count() == 1
    assert "svn" in page.inner_text("#labels-chart")
    assert looks_after(lambda: page.click("#pause")) == 0
    assert looks_after(lambda: page.click("#pause")) >= 2
    leave = "window.away = {}; document.dispatchEvent(new Event('visibilitychange'))"
    assert looks_after(lambda: page.evaluate(leave.format("true"))) == 0
    assert looks_after(lambda: page.evaluate(leave.format("false"))) >= 2


def test_drift_and_live_accuracy_are_shown_as_the_server_tells_them(
    serve: Serve, open_page: Open
) -> None:
    window = {
        "answers": 500,
        "psi": 0.61,
        "expected_psi": 0.01,
        "evidence": 1e9,
        "verdict": "drift",
    }
    window["moved"] = [{"bin": MARKUP, "reference": 0.1, "live": 0.9}]
    dimension = {"of": "input", "name": "title", "verdict": "drift"}
    told = {
        "model": "a",
        "verdict": "drift",
        "reference_rows": 4_000,
        "dimensions": [{**dimension, "recent": window, "since_loaded": window}],
        "feedback": {
            "answers": 500,
            "share_with_feedback": 0.2,
            "since_loaded": {"answers": 100, "accuracy": 0.93, "accuracy_interval": [0.86, 0.97]},
        },
    }
    address = serve("text")
    page = ready(
        open_page(
            address,
            before=lambda page: page.route("**/drift", lambda route: route.fulfill(json=told)),
        )
    )
    page.wait_for_selector("#drift-chart table")
    shown = page.inner_text("#drift-chart")
    assert "0.61" in shown
    assert f"drift: {MARKUP} from 10.0 % to 90.0 %" in shown
    live = page.inner_text("#live-chart")
    assert "93.0 %" in live
    assert "86.0 % to 97.0 %" in live
    check_accessible(page)


# ------------------------------------------------------------------- proxies


def test_it_works_below_a_prefix(serve: Serve, open_page: Open) -> None:
    address = serve("text", TRUSTED_PROXIES=1)

    def strip(page: Any) -> None:
        def forward(route: Any) -> None:
            url = route.request.url.replace("/models-of/us/", "/")
            headers = {**route.request.headers, "x-forwarded-prefix": "/models-of/us"}
            route.fulfill(response=route.fetch(url=url, headers=headers))

        page.route("**/models-of/us/**", forward)

    page = ready(open_page(f"{address}models-of/us/", before=strip))
    predict(page)
    assert lead(page).startswith("svn")
    page.click("#answer summary")
    assert f"'{address}models-of/us/predict?explain=true'" in page.inner_text(
        "#answer pre >> nth=0"
    )
