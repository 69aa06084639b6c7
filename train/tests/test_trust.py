"""Claims about the code that a configuration names: it runs where a user asked for it, and nowhere else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from train.__main__ import main
from train.config import ConfigError
from train.config.loading import to_yaml
from train.config.trust import Trust, functions_named, own_code
from train.models.table.users_code import load_function
from train.progress import SilentProgress
from train.run import run
from train.tests.tables import table_config, write_table

OWN = """
from pathlib import Path
from sklearn.linear_model import LogisticRegression
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
Path(r"{mark}").write_text("imported")
def build(C=1.0):
    numbers = make_column_transformer((SimpleImputer(), ["age", "visits", "paid"]))
    return make_pipeline(numbers, LogisticRegression(C=C))
"""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that is there once the user's module was imported."""
    return tmp_path / "imported"


@pytest.fixture
def conf(tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes a configuration, by default of `own.py:build`, into the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN.format(mark=mark))
    file = write_table(tmp_path / "t.csv")

    def write(**changes: object) -> Path:
        changes = {"model": {"pipeline": "own.py:build"}} | changes
        config = table_config(tmp_path, file, **changes)
        (tmp_path / "conf.yml").write_text(to_yaml(config))
        return tmp_path / "conf.yml"

    return write


def _train(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_run_runs_the_function_of_ones_own_configuration(
    conf: Callable[..., Path], mark: Path
) -> None:
    done = _train("run", "--conf", conf())
    assert done.exit_code == 0, done.output
    assert mark.exists()


def test_check_runs_no_code_and_says_which(conf: Callable[..., Path], mark: Path) -> None:
    done = _train("check", "--conf", conf())
    assert done.exit_code == 0, done.output
    assert not mark.exists()
    assert (
        "Not checked: model.pipeline would run the function build of own.py. If you trust that code, add --trust-code."
        in done.output.splitlines()
    )


def test_check_without_trust_finds_all_other_problems(
    conf: Callable[..., Path], mark: Path
) -> None:
    done = _train("check", "--conf", conf(evaluation={"gate": {"acuracy": ">=0.9"}}))
    assert done.exit_code == 1
    assert "Did you mean accuracy?" in done.output
    assert not mark.exists()


def test_check_with_trust_checks_the_function_too(conf: Callable[..., Path], mark: Path) -> None:
    wrong = conf(model={"pipeline": "own.py:build", "c": 1})
    assert _train("check", "--conf", wrong).exit_code == 0
    done = _train("check", "--trust-code", "--conf", wrong)
    assert "model.c: own.py:build has no such parameter. Did you mean C?" in done.output
    assert mark.exists()


@pytest.mark.parametrize("name", ["os:system", "posix:system", "subprocess:getoutput"])
@pytest.mark.parametrize("command", [["run"], ["check"], ["check", "--trust-code"]])
def test_a_command_of_the_system_is_never_run(
    conf: Callable[..., Path], tmp_path: Path, name: str, command: list[str]
) -> None:
    wrong = conf(model={"pipeline": name, "command": "touch done", "cmd": "touch done"})
    done = _train(*command, "--conf", wrong)
    assert done.exit_code == 1
    assert f"model.pipeline: {name}: {name.partition(':')[0]} is part of Python" in done.output
    assert not (tmp_path / "done").exists()


def test_reproduce_and_compare_run_no_code_unless_it_is_trusted(
    conf: Callable[..., Path], tmp_path: Path, mark: Path
) -> None:
    assert _train("run", "--conf", conf()).exit_code == 0
    mark.unlink()
    latest = tmp_path / "artefacts" / "latest"
    refused = _train("reproduce", latest)
    assert refused.exit_code == 1
    assert refused.output.splitlines() == [
        f"Error: {latest}/train-conf.yml: model.pipeline would run the function build of own.py. "
        "If you trust that code, add --trust-code."
    ]
    compared = _train("compare", latest, latest)
    assert compared.exit_code == 0, compared.output
    assert not mark.exists()
    allowed = _train("reproduce", "--trust-code", latest)
    assert allowed.exit_code == 0, allowed.output
    assert mark.exists()


@pytest.mark.parametrize(
    "parameters",
    [{"model.pipeline": ["linear", "own.py:build"]}, {"model": [{"pipeline": "own.py:build"}]}],
)
def test_the_code_that_only_a_search_names_is_no_exception(
    conf: Callable[..., Path], mark: Path, parameters: dict[str, object]
) -> None:
    file = conf(model={"pipeline": "linear"}, search={"parameters": parameters})
    done = _train("check", "--conf", file)
    assert "would run the function build of own.py" in done.output
    assert not mark.exists()


def test_a_run_from_a_program_needs_trust_as_well(tmp_path: Path) -> None:
    config = table_config(tmp_path, "t.csv", model={"pipeline": "own.py:build"})
    assert functions_named(config) == ["own.py:build"]
    with pytest.raises(ConfigError, match=r"the function build of own\.py, which nothing allows"):
        run(config, SilentProgress())


def test_a_file_must_be_below_the_working_directory_or_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, beside, away = (tmp_path / name for name in ("here", "beside", "away"))
    for folder in (here, beside, away):
        folder.mkdir()
        (folder / "own.py").write_text("def build(): pass")
    (here / "link.py").symlink_to(away / "own.py")
    monkeypatch.chdir(here)
    trust = own_code(beside / "conf.yml")
    for file in ("own.py", beside / "own.py"):
        assert load_function(f"{file}:build", trust).__name__ == "build"
    for file in (away / "own.py", "link.py", "../away/own.py"):
        with pytest.raises(ConfigError, match="neither below the working directory nor"):
            load_function(f"{file}:build", trust)
    assert load_function(f"{away}/own.py:build", Trust()).__name__ == "build"
    with pytest.raises(ConfigError, match="nothing allows its code to run"):
        load_function("own.py:build", None)
