"""Claims about `python -m train`, in processes of their own where it matters."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from train.__main__ import main
from train.catalogue import CATALOGUE
from train.tests.conftest import WebServer, make_rows, tiny_config, write_csv

NASTY = "<script>alert(1)</script>"


def _train(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "train", *map(str, arguments)]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One whole run as a user makes it: the host cannot be reached, and there is an offline dataset.

    That has two text columns and two labels, one of them not nice; the configuration is half in the file, half
    on the command line.
    """
    folder = tmp_path_factory.mktemp("run")
    rows = [
        (text[:9], text[9:], {"fruit": NASTY}.get(label, label))
        for text, label in make_rows(240, ["fruit", "music"])
    ]
    offline = write_csv(
        folder / "offline.csv", [*rows, ("", "", "music")], ("title", "body", "label")
    )
    server = WebServer()
    server.stop()
    config = tiny_config(folder, f"{server.url}/d.csv", offline=str(offline))
    content = config.to_yaml().replace("  batch_size: 32", "  batch_size: 999")
    (folder / "conf.yml").write_text(f"{content}\n")
    settings = ["--set", "training.batch_size=32", "--set", "columns.text=[title, body]"]
    command = _train("run", "--conf", folder / "conf.yml", *settings)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return folder, done


Finished = tuple[Path, "subprocess.CompletedProcess[str]"]


@pytest.fixture
def latest(finished: Finished) -> Path:
    return finished[0] / "artefacts" / "latest"


# ----------------------------------------------------------------------- run


def test_a_run_prints_the_metrics_beside_the_baselines(finished: Finished) -> None:
    _, done = finished
    assert done.returncode == 0, done.stderr
    heading, *lines = done.stdout.splitlines()
    assert heading.split("  ")[0] == "on the test split"
    assert heading.split("  ")[-1].strip() == "TF-IDF + linear SVM"
    names = [line.split()[0] for line in lines[:5]]
    assert names == ["accuracy", "macro_f1", "log_loss", "roc_auc", "pr_auc"]
    assert re.fullmatch(r"accuracy +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4} *", lines[0])
    assert re.fullmatch(r"log_loss +\d\.\d{4} +- +- *", lines[2])


def test_a_run_ends_with_the_artefact_and_the_next_command(
    finished: Finished, latest: Path
) -> None:
    *_, artefact, following = finished[1].stdout.splitlines()
    path = artefact.removeprefix("artefact: ")
    assert Path(path) == latest.resolve()
    assert following == f'next:     ARTEFACT_DIR={path} make predict-test TEXT="…"'


def test_the_next_command_answers(finished: Finished, latest: Path) -> None:
    from predict.predictor import Predictor

    predictor = Predictor.load(latest)
    instance = {"title": "play the", "body": "violin and piano"}
    predictor.check([instance])
    assert predictor.predict([instance])[0]["label"] == "music"


def test_what_was_said_on_the_command_line_is_in_the_artefact(latest: Path) -> None:
    written = (latest / "train-conf.yml").read_text(encoding="utf-8")
    assert "batch_size: 32\n" in written
    assert "  - title\n  - body\n" in written


def test_the_offline_dataset_is_told_loudly_and_recorded(finished: Finished, latest: Path) -> None:
    folder, done = finished
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line]
    assert len(warnings) == 2
    assert "cannot be reached" in warnings[0]
    assert "training on the dataset" in warnings[1]
    dataset = json.loads((latest / "metadata.json").read_bytes())["dataset"]
    assert dataset["name"] == str(folder / "offline.csv")
    assert dataset["requested"].startswith("http://127.0.0.1:")
    assert dataset["rows_dropped"] == {"text empty": 1}
    assert "could not be reached" in (latest / "report.html").read_text(encoding="utf-8")


def test_a_label_that_is_html_stays_text_in_the_page(latest: Path) -> None:
    assert NASTY not in (latest / "report.html").read_text(encoding="utf-8")
    assert NASTY in (latest / "metadata.json").read_text(encoding="utf-8")


def test_a_run_tells_its_stages_with_their_times_and_without_noise(finished: Finished) -> None:
    lines = finished[1].stderr.splitlines()
    assert all(re.match(r"\[ *\d+\.\d s\] \S", line) for line in lines), finished[1].stderr
    told = " ".join(lines)
    for stage in (
        "dataset:",
        "embeddings:",
        "features:",
        "train:",
        "refit:",
        "evaluate:",
        "export:",
    ):
        assert f"] {stage}" in told
    assert "epoch 1/2: loss" in told
    assert "1 rows dropped: text empty" in told
    assert "served and trained probabilities differ by at most" in told


@pytest.mark.parametrize(
    ("stop", "exit_code", "last_word"),
    [(signal.SIGINT, 1, "Aborted!"), (signal.SIGTERM, 143, "")],
)
def test_a_signal_while_training_leaves_no_artefact_and_no_traceback(
    tiny_csv: Path, tmp_path: Path, stop: signal.Signals, exit_code: int, last_word: str
) -> None:
    config = tiny_config(tmp_path, tiny_csv, training={"epochs": 5000, "patience": 5000})
    (tmp_path / "conf.yml").write_text(config.to_yaml())
    command = _train("run", "--conf", tmp_path / "conf.yml")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        while "epoch 3/" not in said:
            said = process.stderr.readline()
            assert said, "it ended early"
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
    assert process.returncode == exit_code
    assert err.strip().endswith(last_word)
    assert "Traceback" not in err
    assert out == ""
    assert not list((tmp_path / "artefacts").iterdir())


# -------------------------------------------------------------------- errors


@pytest.fixture(autouse=True)
def _keep_the_signal_handlers() -> Iterator[None]:
    """Undo what `run` sets for its own process."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def _invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def conf(tiny_csv: Path, tmp_path: Path) -> Path:
    file = tmp_path / "conf.yml"
    file.write_text(tiny_config(tmp_path, tiny_csv).to_yaml())
    return file


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--set", "training.epoch=3"], "training.epoch: unknown key. Did you mean epochs?"),
        (["--set", "training"], "--set training: expected section.key=value"),
        (["--dataset", "stackoverfow"], "Did you mean stackoverflow?"),
        (["--set", "columns.label=tag"], "no column 'tag'"),
        (["--conf", "no/such.yml"], "no/such.yml: not found. Copy conf/train-conf.yml.dist"),
        (["--set", "artefacts_dir=/dev/null/x"], "set artefacts_dir to a folder that can be written"),
        (["--set", "split.test=1e-4"], "too few rows to split"),
    ],
)  # fmt: skip
def test_our_errors_are_one_clear_message_and_exit_code_1(
    conf: Path, command: str, options: list[str], complaint: str
) -> None:
    result = _invoke(command, "--conf", conf, *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    said = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    assert said[0].startswith("Error: ")
    assert complaint in "\n".join(said)
    assert len(said) <= 2  # a list of problems has a line of its own for each
    assert isinstance(result.exception, SystemExit)
    assert not list(conf.parent.glob("artefacts/*"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["teach"],
        ["run", "--dateset", "x"],
        ["run", "--set"],
        ["run", "extra"],
        ["datasets", "extra"],
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    result = _invoke(*arguments)
    assert result.exit_code == 2
    assert re.search("^Usage: |^Error: ", result.stderr)


def test_an_error_in_a_process_of_its_own_has_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "conf.yml").write_text("dataset: a\ndataset: b\n")
    command = _train("run", "--conf", tmp_path / "conf.yml")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == f"Error: {tmp_path}/conf.yml, line 2: the key 'dataset' is given twice.\n"


# --------------------------------------------------------------------- check


def test_check_says_that_a_good_configuration_would_train_and_writes_no_file(
    conf: Path, tmp_path: Path
) -> None:
    before = {file for file in tmp_path.rglob("*") if file.is_file()}
    result = _invoke("check", "--conf", conf)
    assert result.exit_code == 0
    assert result.stdout == f"{conf}: would train.\n"
    assert "300 rows read, 300 kept, 3 labels; 216 to train" in result.stderr
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == before


def test_check_lists_every_problem_of_a_configuration_at_once(tmp_path: Path) -> None:
    (tmp_path / "conf.yml").write_text(
        "dataset: a\nsplit: {test: 2}\ntraining: {epochs: no}\nx: 1\n"
    )
    result = _invoke("check", "--conf", tmp_path / "conf.yml")
    assert result.exit_code == 1
    assert f"Error: {tmp_path}/conf.yml: 3 problems\n" in result.stderr
    for place in ("\n  split.test:", "\n  training.epochs:", "\n  x:"):
        assert place in result.stderr


@pytest.mark.parametrize("command", ["datasets", "check"])
def test_what_does_not_train_does_not_wait_for_tensorflow(conf: Path, command: str) -> None:
    options = ["--conf", str(conf)] if command == "check" else []
    code = (
        "import sys\nfrom train.__main__ import main\n"
        f"main({[command, *options]!r}, standalone_mode=False)\n"
        "print(sorted({'tensorflow', 'keras', 'gensim'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


# ------------------------------------------------------------------ datasets


def test_datasets_lists_every_name_of_the_catalogue_with_its_licence() -> None:
    result = _invoke("datasets")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    for name, entry in CATALOGUE.items():
        assert f" {name} " in f" {shown} "
        assert entry.licence.split()[0] in shown


@pytest.mark.parametrize("command", ["run", "check", "datasets"])
def test_every_command_says_what_it_does(command: str) -> None:
    result = _invoke(command, "--help")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) > 3
