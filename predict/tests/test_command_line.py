"""The command line: answers on standard output, one clear line on standard error, and the right exit code."""

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from predict.__main__ import main
from predict.settings import Settings
from predict.tests.conftest import ROOT
from predict.tests.processes import Process, ask, connect
from predict.tests.tiny_tables import PASSENGERS

Start = Callable[..., Process]


@pytest.fixture
def runner(tiny_artefact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("ARTEFACT_DIR", str(tiny_artefact))
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def test_a_text_is_answered_as_json(runner: CliRunner) -> None:
    result = runner.invoke(main, ["text", "how do I undo a commit"])
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["model"] == "2026-01-02-03-04-05"
    assert [prediction["label"] for prediction in answer["predictions"]] == ["svn"]
    assert result.stderr == ""


def test_top_k_lists_the_most_probable_labels(runner: CliRunner) -> None:
    result = runner.invoke(main, ["text", "--top-k", "1", "--", "--svn"])
    assert len(json.loads(result.stdout)["predictions"][0]["probabilities"]) == 1


def test_an_answer_is_explained_on_request(runner: CliRunner) -> None:
    result = runner.invoke(main, ["text", "--explain", "undo a commit"])
    assert result.exit_code == 0
    [prediction] = json.loads(result.stdout)["predictions"]
    words = [one["word"] for one in prediction["explanation"]["contributions"]]
    assert words == ["undo", "a", "commit"]
    refused = runner.invoke(main, ["text", "--explain", "x" * 10_001])
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: TEXT: expected at most 10,000 characters")


def test_an_instance_of_a_table_is_a_text_too(runner: CliRunner, tables: dict[str, Path]) -> None:
    result = runner.invoke(
        main, ["text", '{"rooms": 13, "area": 2}'], env={"ARTEFACT_DIR": str(tables["number"])}
    )
    assert result.exit_code == 0
    [prediction] = json.loads(result.stdout)["predictions"]
    assert prediction["value"] == pytest.approx(13 + 3 * 2)
    assert [warning["field"] for warning in prediction["warnings"]] == ["rooms"]


@pytest.mark.parametrize(("arguments", "number"), [([], 0), (["1"], 1)])
def test_an_example_is_printed_with_its_answer_and_the_truth(
    runner: CliRunner, tables: dict[str, Path], arguments: list[str], number: int
) -> None:
    environ = {"ARTEFACT_DIR": str(tables["label"])}
    result = runner.invoke(main, ["example", *arguments], env=environ)
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert printed["instances"] == [PASSENGERS.instances[number]]
    assert [answer["label"] for answer in printed["expected"]["predictions"]] == ["yes"]
    assert printed["expected"]["truth"] == [PASSENGERS.truths[number]]


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["serve", "-h"], ["text", "--help"], ["example", "-h"]]
)
def test_help_is_given(runner: CliRunner, arguments: list[str]) -> None:
    result = runner.invoke(main, arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["text", " "], 1, "Error: TEXT: empty text\n"),
        (["--conf", "none.conf", "text", "a"], 1, "Error: none.conf: cannot be read: No such file"),
        (["example", "5"], 1, "Error: number: expected 0 to 4, for there are 5 examples; got 5\n"),
        (["example", "one"], 2, "'one' is not a valid integer"),
        (["text"], 2, "Missing argument 'TEXT'"),
        (["text", "a", "b"], 2, "Got unexpected extra argument (b)"),
        (["text", "--top-k", "0", "a"], 2, "0 is not in the range x>=1"),
        (["--conf", ".", "text", "a"], 2, "is a directory"),
        (["serve", "--prot", "1"], 2, "No such option"),
        (["server"], 2, "No such command 'server'"),
        ([], 2, "Usage: "),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    runner: CliRunner, arguments: list[str], exit_code: int, message: str
) -> None:
    result = runner.invoke(main, arguments)
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", [["text", "svn"], ["example"], ["serve"]])
@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"ARTEFACT_DIR": "nowhere"},
            "Error: nowhere does not exist. Run `make train`, then set ARTEFACT_DIR",
        ),
        ({"ARTEFACT_DIR": "."}, "Error: . is not an artefact directory: metadata.json is missing."),
        ({"PORT": "many"}, "Error: environment: PORT: Input should be a valid integer"),
    ],
)
def test_a_bad_artefact_or_setting_is_one_line(
    runner: CliRunner, command: list[str], environ: dict[str, str], message: str
) -> None:
    result = runner.invoke(main, command, env=environ)
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_a_bad_artefact_stops_a_real_server_with_one_line(start: Start) -> None:
    server = start("-m", "predict", "serve", ARTEFACT_DIR="nowhere")
    assert server.exit_code() == 1
    assert server.errors.startswith("Error: nowhere does not exist. Run `make train`")
    assert server.errors.count("\n") == 1
    assert server.output == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1"])
def test_an_address_that_cannot_be_listened_on_is_one_line(
    start: Start, tiny_artefact: Path, host: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start("-m", "predict", "serve", ARTEFACT_DIR=tiny_artefact, HOST=host, PORT=port)
        assert server.exit_code() == 1
    assert server.errors.startswith(f"Error: cannot listen on {host} port {port}: ")
    assert server.errors.endswith("Set HOST and PORT in conf/predict.conf.\n")
    assert server.errors.count("\n") == 1


def test_a_wrong_option_is_exit_code_two(start: Start) -> None:
    process = start("-m", "predict", "serve", "--nonsense")
    assert process.exit_code() == 2
    assert "Usage: python -m predict serve" in process.errors
    assert "No such option '--nonsense'" in process.errors.replace(": --", " '--").replace(
        "\n", "'"
    )


def test_the_default_file_is_read_from_the_current_folder(
    start: Start, tiny_artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "conf").mkdir()
    shipped = (ROOT / "conf" / "predict.conf.dist").read_text(encoding="utf-8")
    (tmp_path / "conf" / "predict.conf").write_text(
        shipped.replace("PORT=8080", "PORT=0").replace("data/artefacts/latest", str(tiny_artefact)),
        encoding="utf-8",
    )
    server = start("-m", "predict", "serve")
    assert ask(connect(server.port()), {"text": "svn"})[0] == 200
    server.send(signal.SIGINT)
    assert server.exit_code() == 0
