"""Claims about the commands on artefacts that are there, and about a run that its gate stops."""

import json
import re
import shutil
import webbrowser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from train.__main__ import main
from train.config.loading import to_yaml
from train.progress import SilentProgress
from train.run import run
from train.tests.tables import make_table, table_config, write_table


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A good model and a worse one of the same table, in this order."""
    folder = tmp_path_factory.mktemp("artefacts")
    table = write_table(folder / "table.csv")
    settings = ({"C": 1.0}, {"C": 1e-6})
    return [
        run(
            table_config(folder, table, model={"pipeline": "linear", **more}),
            SilentProgress(),
        ).artefact_dir
        for more in settings
    ]


def _call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_two_artefacts_are_compared_as_a_table_as_json_and_as_a_page(
    artefacts: list[Path], tmp_path: Path
) -> None:
    good, worse = artefacts
    table = _call("compare", good, worse, "--page", tmp_path / "page.html")
    assert table.exit_code == 0, table.output
    assert "accuracy" in table.output
    assert "McNemar" in table.output
    assert "</html>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    by_name = _call("compare", good.name, worse.name, "--artefacts-dir", good.parent, "--json")
    assert json.loads(by_name.stdout)["metrics"]["accuracy"]["first"] <= 1


@pytest.mark.parametrize(("second", "code"), [(0, 0), (1, 1)])
def test_that_two_models_are_equal_can_be_demanded(
    artefacts: list[Path], second: int, code: int
) -> None:
    done = _call("compare", artefacts[0], artefacts[second], "--expect-equal", "1e-5")
    assert done.exit_code == code, done.output


def test_a_page_that_cannot_be_written_is_one_line(artefacts: list[Path], tmp_path: Path) -> None:
    done = _call("compare", *artefacts, "--page", tmp_path / "no" / "page.html")
    assert done.exit_code == 1
    assert "page.html: cannot be written" in done.output


@pytest.mark.parametrize("command", ["compare", "runs", "data"])
def test_a_page_replaces_a_file_only_when_that_is_demanded(
    artefacts: list[Path], tmp_path: Path, command: str
) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    (tmp_path / "t.csv").write_text(
        "a,label\n" + "".join(f"{i % 17},{'xy'[i % 2]}\n" for i in range(80))
    )
    arguments = {
        "compare": artefacts,
        "runs": ["--artefacts-dir", artefacts[0].parent],
        "data": [tmp_path / "t.csv", "--out", "-"],
    }[command]
    refused = _call(command, *arguments, "--page", page)
    assert refused.exit_code == 1
    assert "page.html: exists already. Name another file, or add --overwrite." in refused.output
    assert page.read_text() == "mine"
    assert _call(command, *arguments, "--page", page, "--force").exit_code == 0
    assert "</html>" in page.read_text(encoding="utf-8")


def test_the_artefacts_are_listed_and_removed_only_when_that_is_confirmed(
    artefacts: list[Path],
) -> None:
    folder = artefacts[0].parent
    listed = _call("runs", "--artefacts-dir", folder, "--json")
    assert {item["name"] for item in json.loads(listed.stdout)["runs"]} == {
        path.name for path in artefacts
    }
    assert "latest" in _call("runs", "--artefacts-dir", folder, "--sort", "-accuracy").output
    planned = _call("prune", "--artefacts-dir", folder, "--keep", "1", "--where", "accuracy>=0")
    assert re.search(
        r"^1 artefact, [\d.]+ kB\. Nothing was removed yet: add --yes", planned.output, re.M
    )
    assert all(path.exists() for path in artefacts)


def test_artefacts_are_removed_when_that_is_confirmed_but_not_the_latest(
    artefacts: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "artefacts"
    shutil.copytree(artefacts[0].parent, folder, symlinks=True)
    done = _call("prune", "--artefacts-dir", folder, "--keep", "0", "--yes")
    assert done.exit_code == 0, done.output
    assert f"{folder / artefacts[1].name} stays: latest points to it" in done.output
    assert "removed 1 artefact, " in done.output
    assert not (folder / artefacts[0].name).exists()
    assert "Nothing to remove." in _call("prune", "--artefacts-dir", folder, "--failed").output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["runs", "--prune", "--keep", "1"], 2, "No such option '--prune'"),
        (["runs", "--keep", "1"], 2, "No such option '--keep'"),
        (["prune", "--keep", "-1"], 2, "-1 is not in the range x>=0"),
        (["prune"], 1, "Add --keep N, --older-than 30d or --failed"),
        (["prune", "--where", "accuracy<1"], 1, "Add --keep N, --older-than 30d or --failed"),
        (["prune", "--older-than", "3 months"], 1, "expected hours, days or weeks"),
        (["prune", "--failed", "--where", "accuracy"], 1, "expected KEY=VALUE"),
    ],
)
def test_a_prune_that_is_asked_for_wrongly_says_what_would_do(
    artefacts: list[Path], arguments: list[str], code: int, message: str
) -> None:
    done = _call(*arguments, "--artefacts-dir", artefacts[0].parent)
    assert (done.exit_code, message in done.output) == (code, True), done.output
    assert all(path.exists() for path in artefacts)


def test_the_report_is_opened(artefacts: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    done = _call("report", artefacts[0])
    assert done.output.strip() == str(artefacts[0] / "report.html")
    assert opened == [(artefacts[0] / "report.html").as_uri()]
    assert "Run `make train` first" in _call("report", artefacts[0].parent).output


def test_an_artefact_is_reproduced(artefacts: list[Path]) -> None:
    done = _call("reproduce", artefacts[0])
    assert done.exit_code == 0, done.output
    assert "reproduced: metrics and predictions are the same." in done.output


@pytest.mark.parametrize("command", ["compare", "runs", "prune", "report", "reproduce"])
def test_every_command_says_what_it_is_for(command: str) -> None:
    done = _call(command, "--help")
    assert done.exit_code == 0
    assert len(done.output.splitlines()) > 4


def test_a_model_that_fails_its_gate_is_kept_and_does_not_become_the_latest(
    tmp_path: Path,
) -> None:
    table = write_table(tmp_path / "table.csv")

    def train(c: float, **gate: Any) -> Result:
        config = table_config(
            tmp_path, table, model={"pipeline": "linear", "C": c}, evaluation={"gate": gate}
        )
        conf = tmp_path / "conf.yml"
        conf.write_text(to_yaml(config), encoding="utf-8")
        return _call("run", "--conf", conf)

    condition = {"vs latest": "not significantly worse"}
    good, worse = train(1.0, **condition), train(1e-6, **condition)
    assert good.exit_code == 0, good.output
    assert worse.exit_code == 3
    assert "stopped by vs latest: not significantly worse" in worse.output
    latest = (tmp_path / "artefacts" / "latest").resolve()
    kept = [path for path in latest.parent.iterdir() if path.is_dir() and not path.is_symlink()]
    assert len(kept) == 2
    assert latest == min(kept)
    assert "failed" in (max(kept) / "report.html").read_text(encoding="utf-8")


def test_the_gate_compares_with_the_newest_good_model_of_the_same_rows(tmp_path: Path) -> None:
    """Whatever else was trained meanwhile, and whatever failed."""
    table = write_table(tmp_path / "table.csv")
    other = write_table(tmp_path / "other.csv", make_table(seed=1))

    def train(dataset: Path, c: float, condition: str | None = None) -> Result:
        gate = {"vs latest": "not significantly worse"} if condition else {}
        config = table_config(
            tmp_path, dataset, model={"pipeline": "linear", "C": c}, evaluation={"gate": gate}
        )
        conf = tmp_path / "conf.yml"
        conf.write_text(to_yaml(config), encoding="utf-8")
        return _call("run", "--conf", conf)

    first = train(table, 1.0, "gate")
    assert "not compared: there is no good artefact of the same rows yet" in first.output
    assert train(other, 1.0).exit_code == 0
    assert train(table, 1e-6, "gate").exit_code == 3
    assert train(table, 1e-6, "gate").exit_code == 3  # the one that failed is no measure
    assert train(table, 1.0, "gate").exit_code == 0


def test_what_is_no_artefact_does_not_disturb_the_gate(tmp_path: Path) -> None:
    foreign = tmp_path / "artefacts" / "foreign"
    foreign.mkdir(parents=True)
    (foreign / "metadata.json").write_text("[]", encoding="utf-8")
    gate = {"vs latest": "not significantly worse"}
    table = write_table(tmp_path / "table.csv")
    conf = tmp_path / "conf.yml"
    config = table_config(tmp_path, table, evaluation={"gate": gate})
    conf.write_text(to_yaml(config), encoding="utf-8")
    done = _call("run", "--conf", conf)
    assert done.exit_code == 0, done.output
    assert "not compared: there is no good artefact" in done.output
