"""Claims about the documentation site: it builds without a warning, no link is dead, and it says what the code says."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from jobs.settings import JobsSettings
from predict.settings import Settings
from train.data.catalogue import CATALOGUE
from train.evaluation.metrics import METRICS

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("sphinx") is None,
    reason="Sphinx is not installed; `make docs` installs it",
)


class Page(HTMLParser):
    """What a page refers to, what may be referred to in it, and what a browser would load with it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given["id"]} if "id" in given else set()
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif "src" in given or (tag == "link" and "href" in given):
            self.loaded.append(given.get("src") or given["href"])


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", str(out / "doctrees"), str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert built.returncode == 0, built.stderr
    return out / "html"


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Page]:
    return {file: Page(file.read_text(encoding="utf-8")) for file in site.rglob("*.html")}


def dead_links(site: Path, pages: dict[Path, Page]) -> Iterator[str]:
    for file, page in pages.items():
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            anchor = unquote(parts.fragment)
            if not target.is_file() or (
                anchor and target in pages and anchor not in pages[target].anchors
            ):
                yield f"{file.relative_to(site)}: {link}"


def test_no_link_within_the_site_is_dead(site: Path, pages: dict[Path, Page]) -> None:
    assert len(pages) > 50
    assert list(dead_links(site, pages)) == []


def test_a_browser_loads_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loaded = {link for page in pages.values() for link in page.loaded}
    styles = [file.read_text(encoding="utf-8") for file in site.rglob("*.css")]
    loaded |= {link for text in styles for link in re.findall(r"url\(([^)]+)\)", text)}
    loaded |= {link for text in styles for link in re.findall(r'@import "([^"]+)', text)}
    assert loaded
    elsewhere = {link for link in loaded if re.match(r"(?:https?:)?//", link.strip("\"'"))}
    assert elsewhere == set()


def words_of(file: Path) -> str:
    return re.sub(r"<[^>]+>", "", file.read_text(encoding="utf-8"))


def test_every_setting_metric_and_dataset_is_on_its_page(site: Path) -> None:
    settings = words_of(site / "reference/settings.html")
    for name in (*Settings.model_fields, *JobsSettings.model_fields):
        assert name.upper() in settings, name
    metrics = words_of(site / "reference/metrics.html")
    for key in METRICS:
        assert key in metrics, key
    datasets = words_of(site / "reference/datasets.html")
    for name, entry in CATALOGUE.items():
        assert name in datasets, name
        assert all(file.sha256 in datasets for file in entry.files), name


def rows_of(file: Path) -> dict[str, list[str]]:
    """Return the cells of each row of a page's tables, by the first one."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", file.read_text(encoding="utf-8"), re.DOTALL)
    cells = [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td>(.*?)</td>", row, re.S)]
        for row in rows
    ]
    return {row[0]: row[1:] for row in cells if row}


def test_a_key_has_the_values_the_default_and_the_words_that_the_code_and_the_manual_have(
    site: Path,
) -> None:
    keys = rows_of(site / "reference/configuration.html")
    assert keys["training.hidden_size"] == [
        "whole number from 1",
        "128",
        "units of the hidden layer",
    ]
    assert keys["dataset"][1] == "required"
    assert keys["quotes"][0] == "auto, enclose, literal"
    assert keys["columns.inputs.NAME.max_missing"][0] == "number from 0 to 1"


def test_no_key_and_no_setting_is_left_without_a_meaning(site: Path) -> None:
    for page in ("configuration", "settings"):
        rows = rows_of(site / f"reference/{page}.html")
        assert [key for key, cells in rows.items() if not cells[-1]] == []


def test_the_routes_of_the_server_are_on_their_page(site: Path) -> None:
    routes = words_of(site / "reference/routes.html")
    for route in ("POST /predict", "GET /metrics", "POST /feedback", "GET /v2/health/ready"):
        assert route in routes, route
