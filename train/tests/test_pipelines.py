"""Claims about the pipelines that a configuration can name, and about every mistake in a function of the user's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sklearn.pipeline import Pipeline

from train.config import ConfigError
from train.config.sections import ModelConfig
from train.config.trust import Trust
from train.models.table.pipelines import TableShape, build_pipeline

SHAPE = TableShape(["age"], ["plan"], [], "classification", seed=3)
NUMBERS = TableShape(["age"], ["plan"], [], "regression", seed=3)


def _build(pipeline: str, shape: TableShape = SHAPE, **parameters: Any) -> Pipeline:
    return build_pipeline(ModelConfig(pipeline=pipeline, **parameters), shape, Trust())


@pytest.mark.parametrize(
    ("name", "shape", "model"),
    [
        ("linear", SHAPE, "LogisticRegression"),
        ("linear", NUMBERS, "Ridge"),
        ("random_forest", SHAPE, "RandomForestClassifier"),
        ("random_forest", NUMBERS, "RandomForestRegressor"),
        ("hist_gradient_boosting", SHAPE, "HistGradientBoostingClassifier"),
        ("hist_gradient_boosting", NUMBERS, "HistGradientBoostingRegressor"),
    ],
)
def test_every_built_in_pipeline_is_for_both_tasks(
    name: str, shape: TableShape, model: str
) -> None:
    last = _build(name, shape).steps[-1][1]
    assert type(last).__name__ == model
    if "random_state" in last.get_params() and name != "linear":
        assert last.random_state == 3


def test_parameters_reach_the_model() -> None:
    assert _build("linear", C=0.25).steps[-1][1].C == 0.25
    forest = _build("random_forest", n_estimators=7, max_depth=2).steps[-1][1]
    assert (forest.n_estimators, forest.max_depth) == (7, 2)


def test_texts_become_tfidf_of_the_linear_model_alone() -> None:
    shape = TableShape(["age"], [], ["said", "wrote"], "classification", seed=0)
    parts = _build("linear", shape).steps[0][1].transformers
    assert [(name, columns) for name, _, columns in parts] == [
        ("numbers", ["age"]),
        ("text 0", "said"),
        ("characters 0", "said"),
        ("text 1", "wrote"),
        ("characters 1", "wrote"),
    ]
    with pytest.raises(
        ConfigError, match=r"random_forest does not read texts .said, wrote.: choose linear"
    ):
        _build("random_forest", shape)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lineer", "Did you mean linear?"),
        ("random-forest", "Did you mean random_forest?"),
        ("xyz", "got 'xyz'."),
    ],
)
def test_an_unknown_name_is_told_with_those_that_are_known(name: str, hint: str) -> None:
    with pytest.raises(
        ConfigError, match=r"expected one of linear, random_forest, .*file.py:function"
    ) as caught:
        _build(name)
    assert hint in str(caught.value)


def test_all_wrong_parameters_are_told_together() -> None:
    with pytest.raises(ConfigError, match="no such parameter") as caught:
        _build("random_forest", n_estimator=5, depth=3, max_depth=2)
    first, second = str(caught.value).split("\n")
    assert (
        first
        == "model.n_estimator: random_forest has no such parameter. Did you mean n_estimators?"
    )
    assert second.startswith("  model.depth: random_forest has no such parameter.")


# ------------------------------------------------------------ the user's own

GOOD = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

HELPER = 3

def churn(C=1.0, max_iter=500):
    return make_pipeline(OneHotEncoder(), LogisticRegression(C=C, max_iter=max_iter))

def prices(alpha):
    return make_pipeline(OneHotEncoder(), Ridge(alpha=alpha))

def anything(**options):
    return churn()
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that writes a module and returns its path."""

    def write(code: str) -> str:
        file = tmp_path / "mine.py"
        file.write_text(GOOD + code)
        return str(file)

    return write


def test_a_function_is_taken_from_a_file(write: Callable[[str], str]) -> None:
    assert _build(f"{write('')}:churn", C=0.5).steps[-1][1].C == 0.5
    assert _build(f"{write('')}:prices", NUMBERS, alpha=2).steps[-1][1].alpha == 2
    assert isinstance(_build(f"{write('')}:anything", whatever=2), Pipeline)


def test_a_file_is_found_from_where_the_command_is_run(
    write: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(write("")).parent)
    assert isinstance(_build("mine.py:churn"), Pipeline)
    assert isinstance(_build("./mine.py:churn"), Pipeline)


def test_a_function_is_taken_from_a_module_that_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "of_a_user"
    package.mkdir()
    (package / "churning.py").write_text(GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    assert isinstance(_build("of_a_user.churning:churn"), Pipeline)


def test_a_file_may_be_named_like_a_library_that_it_imports(tmp_path: Path) -> None:
    (tmp_path / "statistics.py").write_text(f"from statistics import mean\nmean([1])\n{GOOD}")
    assert isinstance(_build(f"{tmp_path}/statistics.py:churn"), Pipeline)


def test_a_file_that_has_changed_is_read_again(write: Callable[[str], str]) -> None:
    assert isinstance(_build(f"{write('')}:churn"), Pipeline)
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        _build(f"{write('1/0')}:churn")


@pytest.mark.parametrize(
    ("code", "function", "parameters", "complaint"),
    [
        ("", "chrun", {}, "has no function 'chrun'. Did you mean churn[?] It has: churn, prices, anything"),
        ("", "HELPER", {}, "'HELPER' is not a function that .*mine.py itself defines. It has: churn"),
        ("", "", {}, "has no function ''"),
        ("", "churn", {"c": 1}, "model.c: .* has no such parameter"),
        ("", "churn", {"max_itr": 1, "D": 2}, "model.max_itr: .* Did you mean max_iter[?]\n  model.D: "),
        ("", "prices", {}, "model.alpha: missing; .*mine.py:prices needs it"),
        ("", "prices", {"alpha": 1}, "ends with Ridge, a regressor; task: classification needs a classifier"),
        ("def f(:", "f", {}, "SyntaxError: invalid syntax"),
        ("import nowhere_to_be_found", "f", {}, "'nowhere_to_be_found'.*The module itself imports nowhere_to_be_found"),
        ("from sklearn import nothing", "f", {}, "cannot be imported .cannot import name 'nothing'"),
        ("raise SystemExit(3)", "f", {}, "SystemExit: 3, while it was imported"),
        ("{}['a']", "f", {}, "KeyError: 'a', while it was imported"),
        ("def f(): return 1 / 0", "f", {}, "mine.py:f failed: ZeroDivisionError: division by zero[.]$"),
        ("def f(): raise ValueError('two\\nlines')", "f", {}, "failed: ValueError: two[.]$"),
        ("def f(): exit(1)", "f", {}, "mine.py:f failed: SystemExit"),
        ("def f(): pass", "f", {}, "returned a NoneType, expected an unfitted sklearn.pipeline.Pipeline[.]$"),
        ("def f(): return LogisticRegression()", "f", {}, "returned a LogisticRegression, .* Wrap it: make_pipeline"),
        ("def f(): return LogisticRegression().fit([[0], [1]], [0, 1])", "f", {}, "returned a LogisticRegression"),
        ("def f(): return Pipeline", "f", {}, "returned a (type|ABCMeta)"),
        ("def f(): return Pipeline([])", "f", {}, "whose steps are not pairs"),
        ("def f(): return Pipeline([LogisticRegression()])", "f", {}, "whose steps are not pairs"),
        ("", "Pipeline", {}, "'Pipeline' is not a function that .*mine.py itself defines"),
        ("", "make_pipeline", {}, "'make_pipeline' is not a function that .*mine.py itself defines"),
        ("from os import system as f", "f", {"command": "true"}, "'f' is not a function that"),
        ("f = churn.__call__", "f", {}, "'f' is not a function that"),
    ],
)  # fmt: skip
def test_every_mistake_in_a_function_of_ones_own_is_one_clear_message(
    write: Callable[[str], str],
    code: str,
    function: str,
    parameters: dict[str, Any],
    complaint: str,
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        _build(f"{write(code)}:{function}", **parameters)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("no/such.py:f", "no/such.py is not a Python file.. The path is relative"),
        ("train:f", "train has no function 'f'. It has: none"),
        ("no_such_module:f", "cannot be imported .No module named 'no_such_module'.. Is its folder on PYTHONPATH"),
        ("no_such_package.module:f", "No module named 'no_such_package'.. Is its folder on PYTHONPATH"),
        (":f", 'expected "package.module:function" or'),
        (".relative:f", 'expected "package.module:function" or'),
        ("builtins:print", "builtins is part of Python"),
        ("os:system", "os is part of Python"),
        ("os.path:join", "os is part of Python"),
        ("multiprocessing.util:spawnv_passfds", "multiprocessing is part of Python"),
        ("__main__:f", "__main__ is part of Python"),
        ("math:pi", "math is part of Python"),
        ("~/no_such_file.py:f", "is not a Python file"),
        ("conf:f:g", 'expected "package.module:function" or'),
    ],
)  # fmt: skip
def test_a_place_where_there_is_no_function_is_one_clear_message(
    name: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=complaint):
        _build(name)


def test_a_regression_is_not_for_a_classifier(write: Callable[[str], str]) -> None:
    with pytest.raises(
        ConfigError,
        match="ends with LogisticRegression, a classifier; task: regression needs a regressor",
    ):
        _build(f"{write('')}:churn", NUMBERS)
