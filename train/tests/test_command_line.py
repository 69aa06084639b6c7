"""Claims about `python -m train`, in processes of their own where it matters."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from predict.tests.conftest import ROOT
from train.__main__ import _next_command, _summary, main
from train.config import TrainConfig
from train.config.loading import to_yaml
from train.data.catalogue import CATALOGUE
from train.tests.conftest import WebServer, make_rows, tiny_config, write_csv
from train.tests.tables import make_table, table_config, write_table

NASTY = "<script>alert(1)</script>"


def _train(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "train", *map(str, arguments)]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One whole run as a user makes it: the host cannot be reached, and there is an offline dataset.

    That has two labels, one of them not nice; the configuration is half in the file, half on the command line.
    """
    folder = tmp_path_factory.mktemp("run")
    rows = [
        (text, {"fruit": NASTY}.get(label, label))
        for text, label in make_rows(240, ["fruit", "music"])
    ]
    offline = write_csv(folder / "offline.csv", [*rows, ("", "music")])
    server = WebServer()
    server.stop()
    of_the_other = {"columns": {"text": ["title", "body"]}, "decision": {"positive": "somebody"}}
    config = tiny_config(folder, f"{server.url}/d.csv", offline=str(offline), **of_the_other)
    content = to_yaml(config).replace("  batch_size: 32", "  batch_size: 999")
    (folder / "conf.yml").write_text(f"{content}\n")
    settings = ["--set", "training.batch_size=32"]
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
    assert heading.split("  ")[-1].strip() == "TF-IDF words and characters + linear SVM"
    names = [line.split()[0] for line in lines[:8]]
    ranking, hits = ["roc_auc", "pr_auc"], ["precision", "recall", "f1"]
    assert names == ["accuracy", "macro_f1", "log_loss", *ranking, *hits]
    assert re.fullmatch(r"accuracy +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4} *", lines[0])
    assert re.fullmatch(r"log_loss +\d\.\d{4} +\d\.\d{4} +– *", lines[2])


def test_a_run_ends_with_the_artefact_and_the_next_command(
    finished: Finished, latest: Path
) -> None:
    *_, artefact, following = finished[1].stdout.splitlines()
    path = artefact.removeprefix("artefact: ")
    assert Path(path) == latest.resolve()
    assert following == f'next:     ARTEFACT_DIR={path} make predict-test TEXT="…"'


def test_what_was_trained_answers(finished: Finished, latest: Path) -> None:
    from predict.scoring.predictor import Predictor

    predictor = Predictor.load(latest)
    instance = {"text": "play the violin and piano"}
    predictor.check([instance])
    assert predictor.predict([instance])[0]["label"] == "music"


@pytest.mark.parametrize(
    ("reads_one_text", "target", "command"),
    [(True, ["predict-test", "TEXT=…"], "text"), (False, ["predict-example"], "example")],
)
def test_the_next_command_can_be_pasted(
    finished: Finished, latest: Path, tmp_path: Path, reads_one_text: bool, target: list[str], command: str
) -> None:  # fmt: skip
    folder = tmp_path / "it's a $HOME; `of` my own"
    shutil.copytree(latest.resolve(), folder / "2030")
    config = tiny_config(tmp_path, "d", artefacts_dir=folder)
    line = _next_command(folder / "2030", config, reads_one_text)
    # The shell sees one setting and make with its arguments; the rest is the Makefile's.
    show = 'make() { printf "%s\\n" "$ARTEFACT_DIR" "$@"; }'
    said = subprocess.run(["bash", "-c", f"{show}; {line}"], capture_output=True, text=True, check=True)  # fmt: skip
    assert said.stdout.splitlines() == [str(folder / "2030"), *target]
    (tmp_path / "predict.conf").touch()
    asked = [sys.executable, "-m", "predict", "--conf", str(tmp_path / "predict.conf"), command]
    asked += ["--", "…"] if command == "text" else []
    environment = os.environ | {"ARTEFACT_DIR": said.stdout.splitlines()[0]}
    answered = subprocess.run(asked, capture_output=True, text=True, env=environment, check=False)
    assert '"probabilities"' in answered.stdout, answered.stderr


def test_in_the_usual_folder_the_next_command_needs_no_setting() -> None:
    config = TrainConfig(dataset="d")
    artefact = config.artefacts_dir / "2030"
    assert _next_command(artefact, config, True) == 'make predict-test TEXT="…"'


def test_what_was_said_on_the_command_line_is_in_the_artefact(latest: Path) -> None:
    written = (latest / "train-conf.yml").read_text(encoding="utf-8")
    assert "batch_size: 32\n" in written
    assert "batch_size: 999" not in written


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
    assert "epoch 1: loss" in told
    assert "1 row dropped: text empty" in told
    assert "served and trained outputs differ by at most" in told


@pytest.mark.parametrize(
    ("stop", "exit_code", "last_word"),
    [(signal.SIGINT, 1, "Aborted!"), (signal.SIGTERM, 143, "")],
)
def test_a_signal_while_training_leaves_no_artefact_and_no_traceback(
    tiny_csv: Path, tmp_path: Path, stop: signal.Signals, exit_code: int, last_word: str
) -> None:
    config = tiny_config(tmp_path, tiny_csv, training={"epochs": 5000, "patience": 5000})
    (tmp_path / "conf.yml").write_text(to_yaml(config))
    command = _train("run", "--conf", tmp_path / "conf.yml")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        while "epoch 3: " not in said:
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
    file.write_text(to_yaml(tiny_config(tmp_path, tiny_csv)))
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
    table, verdict = result.stdout.rstrip("\n").rsplit("\n", 1)
    assert verdict == f"{conf}: would train."
    assert table.split("\n")[0].split() == ["column", "type", "why", "missing", "examples"]
    assert "300 rows read, 300 kept, 3 labels; 216 to train" in result.stderr
    assert {file for file in tmp_path.rglob("*") if file.is_file()} == before


def test_check_lists_every_problem_of_a_configuration_at_once(tmp_path: Path) -> None:
    (tmp_path / "conf.yml").write_text(
        "dataset: a\nsplit: {test: 2}\ntraining: {epochs: no}\nx: 1\n"
    )
    result = _invoke("check", "--conf", tmp_path / "conf.yml")
    assert result.exit_code == 1
    assert f"Error: {tmp_path}/conf.yml: 4 problems\n" in result.stderr
    for place in (
        "\n  split.test:",
        "\n  training.epochs:",
        "\n  x:",
        "\n  dataset: 'a' is neither",
    ):
        assert place in result.stderr


def test_check_lists_what_is_wrong_with_the_dataset_beside_unknown_keys() -> None:
    wrong = {
        "evaluation.gate": '{acuracy: ">=0.9"}',
        "evaluation.slices": "[petal]",
        "decision.aim": "f1",
        "training.epoch": "3",
        "behaviour": "{must_be: [{text: a, label: setosa}]}",
        "search": "{model.C: [1, -1]}",
    }
    options = [part for key, value in wrong.items() for part in ("--set", f"{key}={value}")]
    result = _invoke("check", "--conf", ROOT / "conf" / "iris.yml", *options)
    assert result.exit_code == 1
    heading, *problems = result.stderr[result.stderr.index("Error: ") :].splitlines()
    assert heading.endswith("iris.yml: 6 problems")
    for problem, (key, hint) in zip(
        problems,
        {
            "training.epoch": "Did you mean epochs",
            "decision.aim": "a threshold needs two labels; the dataset has 3",
            "evaluation.slices": "'petal' is neither an input nor the label",
            "behaviour.must_be.0.text": "give an instance",
            "evaluation.gate.acuracy": "Did you mean accuracy",
            "search": "model.C=-1",
        }.items(),
        strict=True,
    ):
        assert problem.startswith(f"  {key}: ")
        assert hint in problem


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


OWN = """
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

def whole(C=1.0): return make_pipeline(LogisticRegression(C=C))
def margins(): return make_pipeline(SVC())
def bare(): return LogisticRegression()
"""


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["model.pipeline=lineer"], "got 'lineer'. Did you mean linear?"),
        (["model.c=1"], "model.c: linear has no such parameter. Did you mean C?"),
        (["model.C=-1"], "model: The 'C' parameter of LogisticRegression must be"),
        (["model.pipeline={own}:whole", "model.c=1"], "has no such parameter. Did you mean C?"),
        (["model.pipeline={own}:hole"], "has no function 'hole'. Did you mean whole?"),
        (["model.pipeline={own}:bare"], "returned a LogisticRegression"),
        (["model.pipeline={own}:margins"], "the pipeline cannot be exported as ONNX: 1 problem"),
        (["features={{r: {{ratio: [paid, vists]}}}}"], "features.r: no column 'vists'. Did you mean 'visits'?"),
        (["search={{model.C: [1, 2], metric: rmse}}"], "search.metric: expected one of accuracy"),
        (["search={{model.D: [1, 2]}}"], "search: model.D=1: model.D: linear has no such parameter"),
        (["evaluation.interval=0.9"], "evaluation.interval: only a regression"),
        (["decision.aim=f1", "decision.positive=si"], "decision.positive: expected one of two labels"),
    ],
)  # fmt: skip
def test_check_knows_what_is_wrong_with_a_table_without_fitting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], complaint: str
) -> None:
    from sklearn.pipeline import Pipeline

    monkeypatch.setattr(Pipeline, "fit", lambda *_, **__: pytest.fail("fitted"))
    (tmp_path / "own.py").write_text(OWN)
    config = table_config(tmp_path, write_table(tmp_path / "t.csv"))
    (tmp_path / "conf.yml").write_text(to_yaml(config))
    settings = [f"--set={option.format(own=tmp_path / 'own.py')}" for option in options]
    result = _invoke("check", "--conf", tmp_path / "conf.yml", "--trust-code", *settings)
    assert result.exit_code == 1
    said = [line for line in result.stderr.splitlines() if not line.startswith("[")]
    assert said[0].startswith("Error: ")
    assert complaint in "\n".join(said)
    assert isinstance(result.exception, SystemExit)


def test_check_lets_a_table_pass_after_fitting_a_few_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.pipeline import Pipeline

    sizes, fit = [], Pipeline.fit

    def remember(pipeline: Pipeline, frame: Any, *more: Any, **options: Any) -> Any:
        sizes.append(len(frame))
        return fit(pipeline, frame, *more, **options)

    monkeypatch.setattr(Pipeline, "fit", remember)
    search = {"model.C": [0.1, 1.0], "metric": "f1"}
    config = table_config(
        tmp_path, write_table(tmp_path / "t.csv", make_table(1000)), search=search
    )
    (tmp_path / "conf.yml").write_text(to_yaml(config))
    result = _invoke("check", "--conf", tmp_path / "conf.yml")
    assert result.stdout.endswith(f"\n{tmp_path}/conf.yml: would train.\n")
    assert sizes
    assert max(sizes) <= 300


def test_a_table_is_trained_without_tensorflow(tmp_path: Path) -> None:
    config = table_config(tmp_path, write_table(tmp_path / "t.csv"))
    (tmp_path / "conf.yml").write_text(to_yaml(config))
    code = (
        "import sys\nfrom train.__main__ import main\n"
        f"main(['run', '--conf', {str(tmp_path / 'conf.yml')!r}], standalone_mode=False)\n"
        "print(sorted({'tensorflow', 'keras', 'gensim'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.splitlines()[-2].endswith(" make predict-example")
    assert all(line.startswith("[") for line in done.stderr.splitlines())


def test_the_summary_shows_every_measure_beside_what_it_is_compared_with() -> None:
    metrics = {
        "rmse": 46153.4, "r2": -0.00001,
        "baselines": {"mean": {"rmse": 114786.2}},
        "cross_validation": {"mean": {"rmse": 47000.0}, "std": {"rmse": 0.5}},
    }  # fmt: skip
    assert [line.split() for line in _summary(metrics).splitlines()] == [
        ["on", "the", "test", "split", "this", "model", "mean"],
        ["rmse", "46,153", "114,786"],
        ["r2", "0.0000", "–"],
        ["rmse", "in", "folds", "47,000", "±", "0.5000"],
    ]
    two = {"f1": 0.5, "at_even_odds": {"f1": 0.25}, "baselines": {"majority label": {"f1": 0.0}}}
    assert _summary(two).splitlines()[1].split() == ["f1", "0.5000", "0.2500", "0.0000"]


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
