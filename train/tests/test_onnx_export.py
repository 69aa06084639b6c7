"""Every export is asked by onnxruntime, and has to answer as scikit-learn does."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from google.protobuf.message import EncodeError
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from train.errors import UserError
from train.onnx_export import UnsupportedStepError, by_skl2onnx, check_exportable, convert, to_onnx
from train.onnx_export.predictors import PREDICTORS


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Keep OpenMP from starting threads, which costs a tiny fit far more than it takes itself."""
    with threadpool_limits(1):
        yield


NUMBERS = ["Größe (cm)", "b.c", "big", "constant"]
# What training did not see, and yet not so far away that exponentials overflow.
DISTANT = {"Größe (cm)": -5.5, "b.c": 7.25, "big": 1e9 + 6, "constant": 3.0}
CATEGORIES = ["Farbe / colour", "rare"]
WORDS = ["ä", "b", "cc", ".", "!", "日本", "naïve", "b-b"]


def make_frame(num_rows: int = 150) -> pd.DataFrame:
    """Numbers with holes, ties and a large offset; categories with rare and empty ones; tokenised texts."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "Größe (cm)": random.normal(size=num_rows).round(1),
            "unused": random.normal(size=num_rows),
            "b.c": random.integers(0, 5, num_rows).astype(float),
            "big": 1e9 + random.normal(size=num_rows),
            "constant": 1.0,
            "Farbe / colour": random.choice(["rot", "grün", "sky blue", ""], num_rows),
            "rare": random.choice(list("abcdef"), num_rows, p=[0.5, 0.3, 0.1, 0.05, 0.03, 0.02]),
            "text": [
                " ".join(random.choice(WORDS, random.integers(0, 7))) for _ in range(num_rows)
            ],
        }
    ).astype(dict.fromkeys([*CATEGORIES, "text"], object))
    for name in NUMBERS[:3]:
        frame.loc[random.random(num_rows) < 0.1, name] = np.nan
    return frame


FRAME = make_frame()
_NOISE = np.random.default_rng(1).normal(size=len(FRAME))
_SCORES = FRAME["Größe (cm)"].fillna(0).to_numpy() + (FRAME["rare"] == "a") + 0.5 * _NOISE
THREE = np.array(["low", "mid", "high"])[np.digitize(_SCORES, [0, 1])]
TWO = np.where(_SCORES > 0.5, "yes", "no")
VALUES = np.exp(_SCORES)


def encoded(numbers=None, categories=None) -> ColumnTransformer:
    return ColumnTransformer(
        [
            ("number", numbers or make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
            ("category", categories or OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
        ]
    )


def imputed(*steps) -> ColumnTransformer:
    return encoded(make_pipeline(SimpleImputer(), StandardScaler(), *steps))


def one_hot(**settings) -> ColumnTransformer:
    return encoded(categories=OneHotEncoder(**({"handle_unknown": "ignore"} | settings)))


def words(kind=TfidfVectorizer, **settings):
    return kind(token_pattern=r"\S+", lowercase=False, **settings)


def characters(kind=TfidfVectorizer, **settings):
    return kind(analyzer="char", lowercase=False, **settings)


def on_text(vectorizer) -> ColumnTransformer:
    return ColumnTransformer([("text", vectorizer, "text")])


def logistic() -> LogisticRegression:
    return LogisticRegression(max_iter=1000)


def expected_of(pipeline: Pipeline, frame: pd.DataFrame) -> np.ndarray:
    method = pipeline.predict_proba if hasattr(pipeline, "predict_proba") else pipeline.predict
    return method(frame).reshape(len(frame), -1)


def open_session(pipeline: Pipeline, frame: pd.DataFrame, file: Path):
    to_onnx(pipeline, frame, file)
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def ask(session, frame: pd.DataFrame) -> np.ndarray:
    feeds = {
        column.name: frame[column.name]
        .to_numpy(np.float64 if column.type == "tensor(double)" else object)
        .reshape(-1, 1)
        for column in session.get_inputs()
    }
    (answers,) = session.run(None, feeds)
    return answers


def assert_equal(session, pipeline: Pipeline, frame: pd.DataFrame) -> None:
    answers = ask(session, frame)
    assert answers.dtype == np.float64
    np.testing.assert_allclose(answers, expected_of(pipeline, frame), rtol=1e-9, atol=1e-12)


def hard_frames(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """One row alone, and all with those of what training did not see: categories, distant numbers, nothing at all."""
    changes = [{name: value} for name in CATEGORIES for value in ("unseen", "")]
    changes += [{name: value} for name in NUMBERS for value in (DISTANT[name], np.nan)]
    changes.append(dict.fromkeys(NUMBERS, np.nan))
    rows = frame[:20]
    return [frame[:1], pd.concat([frame, *(rows.assign(**change) for change in changes)])]


PREPROCESSORS = {
    "mean and scaled": encoded(),
    "median with indicator": encoded(SimpleImputer(strategy="median", add_indicator=True)),
    "constant": encoded(
        make_pipeline(SimpleImputer(strategy="constant", fill_value=-1), MaxAbsScaler())
    ),
    "most frequent": encoded(
        make_pipeline(SimpleImputer(strategy="most_frequent"), RobustScaler())
    ),
    "missing indicator": encoded(
        FeatureUnion([("filled", SimpleImputer()), ("flags", MissingIndicator(features="all"))])
    ),
    "clipped": imputed(MinMaxScaler(clip=True)),
    "power": imputed(PowerTransformer()),
    "quantiles": encoded(make_pipeline(QuantileTransformer(n_quantiles=20), SimpleImputer())),
    "bins one-hot": imputed(KBinsDiscretizer(3, strategy="uniform")),
    "bins": imputed(KBinsDiscretizer(3, encode="ordinal", strategy="uniform")),
    "polynomial": imputed(PolynomialFeatures(2, include_bias=False)),
    "selected": imputed(SelectKBest(k=2)),
    "categories dropped": one_hot(drop="first"),
    "rare categories": one_hot(min_frequency=8, handle_unknown="infrequent_if_exist"),
    "rare categories unknown": one_hot(max_categories=3, drop="first"),
    "ordinal": encoded(
        categories=OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    ),
    "target": encoded(categories=TargetEncoder()),
    "filled text": encoded(
        categories=make_pipeline(
            SimpleImputer(missing_values="", strategy="most_frequent", add_indicator=False),
            OneHotEncoder(handle_unknown="ignore"),
        )
    ),
    "constant text": encoded(
        categories=make_pipeline(
            SimpleImputer(missing_values="", strategy="constant", fill_value="fehlt"),
            OneHotEncoder(handle_unknown="ignore"),
        )
    ),
    "numbers as categories": ColumnTransformer(
        [("both", OneHotEncoder(handle_unknown="ignore"), ["b.c", "rare"])]
    ),
    "by selector": ColumnTransformer(
        [("number", SimpleImputer(), make_column_selector(dtype_include=np.number))],
        remainder=OneHotEncoder(handle_unknown="ignore"),
    ),
    "passed through": make_pipeline(
        ColumnTransformer(
            [
                ("category", OneHotEncoder(handle_unknown="ignore"), CATEGORIES),
                ("x", "drop", ["text"]),
            ],
            remainder="passthrough",
        ),
        SimpleImputer(),
        StandardScaler(),
    ),
    "nested and weighted": make_pipeline(
        FeatureUnion(
            [("all", encoded()), ("one", ColumnTransformer([("n", SimpleImputer(), ["b.c"])]))],
            transformer_weights={"one": 0.5},
        ),
        ColumnTransformer(
            [("scaled", StandardScaler(), [0, 2]), ("rest", "passthrough", slice(3, 9))]
        ),
    ),
    "named between": make_pipeline(
        ColumnTransformer([("n", SimpleImputer(), NUMBERS)]).set_output(transform="pandas"),
        ColumnTransformer([("scaled", StandardScaler(), ["n__big"])], remainder="drop"),
    ),
}


@pytest.mark.filterwarnings(
    "ignore:Feature", "ignore:Found unknown categories", "ignore:invalid value"
)
@pytest.mark.parametrize("name", PREPROCESSORS)
def test_preprocessing_is_what_scikit_learn_does(name, tmp_path):
    preprocessor = PREPROCESSORS[name]
    scaler = StandardScaler(with_mean=False)
    frame = FRAME.fillna({"b.c": 2.0}) if name == "numbers as categories" else FRAME
    pipeline = Pipeline([("prepare", preprocessor), ("scale", scaler), ("model", logistic())])
    check_exportable(pipeline)
    pipeline.fit(frame, THREE)
    session = open_session(pipeline, frame, tmp_path / "model.onnx")
    for asked in hard_frames(frame):
        assert_equal(session, pipeline, asked)


# What `encoded` makes of the frames is all numbers, and there are no categories for it to warn about.
_ENCODED = ColumnTransformer(encoded().transformers, sparse_threshold=0).fit(FRAME)
NUMERIC = pd.DataFrame(_ENCODED.transform(FRAME)).add_prefix("x")
DISTANT_NUMERIC = pd.concat([NUMERIC, *(NUMERIC[:20].assign(**{x: 9.0}) for x in NUMERIC)])


def assert_exported(model: BaseEstimator, targets: np.ndarray, file: Path) -> None:
    """Fit it on the encoded frame, and ask one row alone, and all with those of what training did not see."""
    if "random_state" in model.get_params():
        model.set_params(random_state=0)
    pipeline = model if isinstance(model, Pipeline) else Pipeline([("model", model)])
    check_exportable(pipeline)
    pipeline.fit(NUMERIC, targets)
    session = open_session(pipeline, NUMERIC, file)
    # Further away, neighbours at the same distance stand in no order.
    near = isinstance(model, KNeighborsClassifier | KNeighborsRegressor)
    for frame in [NUMERIC[:1], NUMERIC if near else DISTANT_NUMERIC]:
        assert_equal(session, pipeline, frame)


CLASSIFIERS = {
    "logistic": logistic(),
    "discriminants": LinearDiscriminantAnalysis(),
    "tree": DecisionTreeClassifier(max_depth=5),
    "forest": RandomForestClassifier(9),
    "one leaf": RandomForestClassifier(3, min_samples_leaf=100),
    "extra trees": ExtraTreesClassifier(9),
    "gradient boosting": GradientBoostingClassifier(n_estimators=5),
    "gradient boosting from zero": GradientBoostingClassifier(n_estimators=5, init="zero"),
    "histograms": HistGradientBoostingClassifier(max_iter=5),
    "histograms stopped early": HistGradientBoostingClassifier(max_iter=9, early_stopping=True),
    "sgd": SGDClassifier(loss="log_loss"),
    "sgd huber": SGDClassifier(loss="modified_huber"),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=2),
    "calibrated forest": CalibratedClassifierCV(RandomForestClassifier(5), cv=2),
    "isotonic": CalibratedClassifierCV(RandomForestClassifier(5), cv=2, method="isotonic"),
    "temperature": CalibratedClassifierCV(logistic(), cv=2, method="temperature"),
    "voting": VotingClassifier(
        [("a", logistic()), ("b", "drop"), ("c", GaussianNB(var_smoothing=1e-3))],
        voting="soft",
        weights=[1, 2, 3],
    ),
    "stacking": StackingClassifier(
        [("a", logistic()), ("b", LinearSVC()), ("c", RandomForestClassifier(5))],
        cv=2,
        final_estimator=logistic(),
        passthrough=True,
    ),
    "bagging": BaggingClassifier(DecisionTreeClassifier(max_depth=3), 5, max_features=0.7),
    "ada": AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=5),
    "one against all": OneVsRestClassifier(logistic()),
    "search": GridSearchCV(logistic(), {"C": [0.1, 1]}, cv=2),
}


@pytest.mark.parametrize("labels", [TWO, THREE], ids=["two labels", "three labels"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_gives_the_probabilities_of_scikit_learn(name, labels, tmp_path):
    assert_exported(CLASSIFIERS[name], labels, tmp_path / "model.onnx")


def test_exponential_loss_has_scores_of_half_the_size(tmp_path):
    model = GradientBoostingClassifier(n_estimators=5, loss="exponential")
    assert_exported(model, TWO, tmp_path / "model.onnx")


REGRESSORS = {
    "tree": DecisionTreeRegressor(max_depth=4, criterion="absolute_error"),
    "forest": RandomForestRegressor(9),
    "extra trees": ExtraTreesRegressor(9),
    "gradient boosting": GradientBoostingRegressor(n_estimators=5, loss="huber"),
    "histograms": HistGradientBoostingRegressor(max_iter=5),
    "histograms poisson": HistGradientBoostingRegressor(max_iter=5, loss="poisson"),
    "histograms gamma": HistGradientBoostingRegressor(max_iter=5, loss="gamma"),
    "histograms quantile": HistGradientBoostingRegressor(max_iter=5, loss="quantile", quantile=0.8),
    "tweedie with identity": TweedieRegressor(power=0),
    "tweedie with logarithm": TweedieRegressor(power=1.5),
    "support vectors": SVR(),
    "logarithm": TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
    "scaled": TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    "stacking": StackingRegressor([("a", Ridge()), ("b", RandomForestRegressor(5))], cv=2),
}
LINEAR = [
    kind
    for kind in PREDICTORS
    if issubclass(kind, RegressorMixin) and kind.__module__.startswith("sklearn.linear_model")
]


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_gives_the_values_of_scikit_learn(name, tmp_path):
    assert_exported(REGRESSORS[name], VALUES, tmp_path / "model.onnx")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", LINEAR)
def test_every_linear_model_gives_the_values_of_scikit_learn(kind, tmp_path):
    assert_exported(kind(), VALUES, tmp_path / "model.onnx")


# The settings are such that the fit ends, and that neighbours do not overflow.
LEFT_TO_SKL2ONNX = {
    "pca": (PCA(2, whiten=True), THREE),
    "incremental pca": (IncrementalPCA(2), THREE),
    "svd": (TruncatedSVD(2), THREE),
    "normalised": (Normalizer(), THREE),
    "naive": (GaussianNB(var_smoothing=1e-3), THREE),
    "quadratic": (QuadraticDiscriminantAnalysis(reg_param=0.1), THREE),
    "network": (MLPClassifier((4,), solver="lbfgs", max_iter=500, alpha=10), TWO),
    "network of three": (
        MLPClassifier((3, 3), "tanh", solver="lbfgs", max_iter=500, alpha=10),
        THREE,
    ),
    "network of values": (
        MLPRegressor(hidden_layer_sizes=(4,), activation="logistic", solver="lbfgs", alpha=10),
        VALUES,
    ),
    "neighbours": (KNeighborsClassifier(), THREE),
    "neighbours' values": (KNeighborsRegressor(), VALUES),
}


@pytest.mark.parametrize("name", LEFT_TO_SKL2ONNX)
def test_what_is_left_to_skl2onnx_is_as_exact(name, tmp_path):
    model, targets = LEFT_TO_SKL2ONNX[name]
    if not hasattr(model, "predict"):
        model = Pipeline([("before", StandardScaler()), ("it", model), ("model", logistic())])
    assert_exported(model, targets, tmp_path / "model.onnx")


def test_nothing_is_left_to_skl2onnx_that_is_not_measured():
    of_words = {MultinomialNB}
    measured = {type(model) for model, _ in LEFT_TO_SKL2ONNX.values()}
    assert measured | of_words == by_skl2onnx.KINDS


# -------------------------------------------------------------------- exactness

TREES = {
    "tree": DecisionTreeClassifier(),
    "forest": RandomForestClassifier(5),
    "extra trees": ExtraTreesClassifier(5),
    "histograms": HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=3),
    "gradient boosting": GradientBoostingClassifier(n_estimators=5),
    "forest of values": RandomForestRegressor(5),
    "histograms of values": HistGradientBoostingRegressor(max_iter=4, min_samples_leaf=3),
}


def thresholds_of(model) -> list[tuple[int, float]]:
    if hasattr(model, "_predictors"):
        nodes = np.concatenate([tree.nodes for stage in model._predictors for tree in stage])
        nodes = nodes[(nodes["is_leaf"] == 0) & np.isfinite(nodes["num_threshold"])]
        return list(
            zip(nodes["feature_idx"].tolist(), nodes["num_threshold"].tolist(), strict=True)
        )
    trees = [tree.tree_ for tree in np.ravel(getattr(model, "estimators_", [model]))]
    return [
        (feature, threshold)
        for tree in trees
        for feature, threshold in zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True)
        if feature >= 0 and np.isfinite(threshold)
    ]


# Gradient boosting takes no missing values.
@pytest.mark.parametrize(
    ("name", "missing"),
    [
        (name, holes)
        for name in TREES
        for holes in (False, True)[: 1 + (name != "gradient boosting")]
    ],
)
def test_a_value_on_a_threshold_or_next_to_it_goes_the_way_it_goes_in_scikit_learn(
    name, missing, tmp_path
):
    random = np.random.default_rng(0)
    rows = random.normal(size=(200, 2)).round(2) + np.array([1e9, 0])
    if missing:
        rows[random.random(rows.shape) < 0.2] = np.nan
    frame = pd.DataFrame(rows, columns=["a", "b"])
    targets = VALUES if "values" in name else THREE
    pipeline = Pipeline([("model", TREES[name])]).fit(frame, np.resize(targets, 200))
    session = open_session(pipeline, frame, tmp_path / "model.onnx")
    asked = []
    for feature, threshold in thresholds_of(pipeline[-1]):
        rounded = np.float32(threshold)
        neighbours = [np.nextafter(threshold, way) for way in (-np.inf, np.inf)]
        neighbours += [rounded, np.nextafter(rounded, np.float32(np.inf))]
        for value in [threshold, *neighbours]:
            row = rows[len(asked) % 200].copy()
            row[feature] = value
            asked.append(row)
    assert len(asked) > 100
    frame = pd.DataFrame(asked, columns=["a", "b"])
    assert_equal(session, pipeline, frame)
    if missing:
        for holes in (["a"], ["b"], ["a", "b"]):
            assert_equal(session, pipeline, frame.assign(**dict.fromkeys(holes, np.nan)))


VECTORIZERS = {
    "words and pairs": words(ngram_range=(1, 2)),
    "pairs alone": words(ngram_range=(2, 2)),
    "up to three": words(ngram_range=(1, 3), sublinear_tf=True, norm="l1"),
    "no pair is left": words(ngram_range=(1, 2), min_df=40),
    "present or not": words(binary=True, norm=None, smooth_idf=False),
    "no idf": words(use_idf=False),
    "most frequent": words(max_features=3),
    "counts": words(CountVectorizer, ngram_range=(1, 2)),
    "counts weighted": make_pipeline(words(CountVectorizer), TfidfTransformer(sublinear_tf=True)),
    "characters": characters(ngram_range=(1, 3), sublinear_tf=True),
    "characters by threes": characters(ngram_range=(3, 3), norm="l1"),
    "most frequent characters": characters(max_features=7, binary=True),
    "counts of characters": characters(CountVectorizer, ngram_range=(1, 2)),
}
TEXTS = [
    "ä b cc",
    "",
    "b b b b ä b",
    "neu ä neu b",
    "日本 日本",
    "😀 न्",
    "  ä  b ",
    "B Ä",
    "ä\u00a0b",
    ".",
]


@pytest.mark.parametrize("name", VECTORIZERS)
def test_counts_of_words_and_characters_are_exact(name, tmp_path):
    model = MultinomialNB() if name.startswith("counts") else logistic()
    pipeline = Pipeline([("text", on_text(VECTORIZERS[name])), ("model", model)])
    check_exportable(pipeline)
    pipeline.fit(FRAME, THREE)
    session = open_session(pipeline, FRAME, tmp_path / "model.onnx")
    assert [column.name for column in session.get_inputs()] == ["text"]
    # scikit-learn knows every kind and number of blanks; between the words of a normalised text there is one.
    texts = [" ".join(text.split()) for text in TEXTS]
    for asked in [
        FRAME["text"].str.split().str.join(" ").tolist(),
        texts,
        ["", ""],
        *([text] for text in texts),
    ]:
        assert_equal(session, pipeline, pd.DataFrame({"text": asked}, dtype=object))


@pytest.mark.parametrize(
    "model",
    [LinearRegression(), MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", max_iter=900)],
    ids=str,
)
def test_a_single_column_loses_nothing_to_an_optimisation_of_onnxruntime(model, tmp_path):
    """One division before a product of matrices is merged with it, and was rounded to float32."""
    steps = [("fill", SimpleImputer()), ("scale", StandardScaler()), ("model", model)]
    frame = FRAME[["Größe (cm)"]]
    pipeline = Pipeline(steps).fit(frame, VALUES)
    assert_equal(open_session(pipeline, frame, tmp_path / "model.onnx"), pipeline, frame)


def test_small_probabilities_have_as_many_digits_as_large_ones(tmp_path):
    frame = pd.DataFrame({"x": np.linspace(-40, 40, 400)})
    pipeline = Pipeline([("model", LogisticRegression(C=1e3))]).fit(frame, frame["x"] > 1)
    answers = ask(open_session(pipeline, frame, tmp_path / "model.onnx"), frame)
    positive = pipeline.predict_proba(frame)[:, 1]
    assert positive.min() < 1e-30
    np.testing.assert_allclose(answers[:, 1], positive, rtol=1e-9)


def test_text_numbers_and_categories_go_together(tmp_path):
    columns = ColumnTransformer(
        [*encoded().transformers, ("text", words(ngram_range=(1, 2)), "text")]
    )
    pipeline = Pipeline([("prepare", columns), ("model", logistic())]).fit(FRAME, TWO)
    session = open_session(pipeline, FRAME, tmp_path / "model.onnx")
    for frame in [*hard_frames(FRAME), FRAME.assign(text="")]:
        assert_equal(session, pipeline, frame)


# -------------------------------------------------------------------- the graph


def test_the_graph_has_an_input_for_each_column_that_is_read_and_one_output(tmp_path):
    pipeline = Pipeline([("prepare", encoded()), ("model", logistic())]).fit(FRAME, THREE)
    session = open_session(pipeline, FRAME, tmp_path / "model.onnx")
    types = {column.name: (column.type, column.shape[1]) for column in session.get_inputs()}
    numbers, texts = ("tensor(double)", 1), ("tensor(string)", 1)
    assert types == dict.fromkeys(NUMBERS, numbers) | dict.fromkeys(CATEGORIES, texts)
    assert [output.type for output in session.get_outputs()] == ["tensor(double)"]
    assert ask(session, FRAME[:4]).shape == (4, 3)


@pytest.mark.parametrize(
    "name", ["output", "t1", "t2", "a b", "größe.x", "1", "x/y:0", "日本", " "]
)
def test_a_column_may_have_any_name(name, tmp_path):
    frame = pd.DataFrame({name: [1.0, 2.0, np.nan, 4.0], "other": [1.0, 0.0, 1.0, 0.0]})
    steps = [("fill", SimpleImputer()), ("model", LinearRegression())]
    pipeline = Pipeline(steps).fit(frame, [1.0, 2.0, 3.0, 4.0])
    session = open_session(pipeline, frame, tmp_path / "model.onnx")
    assert [column.name for column in session.get_inputs()] == [name, "other"]
    assert_equal(session, pipeline, frame)


def test_columns_may_come_in_another_order(tmp_path):
    pipeline = Pipeline([("prepare", encoded()), ("model", logistic())]).fit(FRAME, THREE)
    session = open_session(pipeline, FRAME[FRAME.columns[::-1]], tmp_path / "model.onnx")
    assert_equal(session, pipeline, FRAME)


def test_whole_numbers_and_truth_values_are_numbers(tmp_path):
    frame = pd.DataFrame({"count": [1, 2, 3, 4], "flag": [True, False, True, False]})
    pipeline = Pipeline([("model", LinearRegression())]).fit(frame, [1.0, 2.0, 3.0, 5.0])
    session = open_session(pipeline, frame, tmp_path / "model.onnx")
    assert {column.type for column in session.get_inputs()} == {"tensor(double)"}
    assert_equal(session, pipeline, frame)


# -------------------------------------------------------------------- refusals


def with_model(model) -> Pipeline:
    return Pipeline([("prepare", encoded()), ("model", model)])


def with_columns(**steps) -> Pipeline:
    return Pipeline([("prepare", encoded(**steps)), ("model", logistic())])


def with_vectorizer(**settings) -> Pipeline:
    return Pipeline([("text", on_text(words(**settings))), ("model", logistic())])


REFUSED = {
    "a transformer without converter": (
        with_columns(numbers=make_pipeline(SimpleImputer(), SplineTransformer())),
        r"prepare -> number -> splinetransformer: SplineTransformer has no converter\. For numbers use Standard",
    ),
    "an imputer that is exported wrongly": (
        with_columns(numbers=KNNImputer()),
        r"prepare -> number: KNNImputer has no converter",
    ),
    "an estimator without converter": (
        with_model(AdaBoostRegressor()),
        r"model: AdaBoostRegressor has no converter\. Use HistGradientBoostingRegressor",
    ),
    "an inner estimator": (
        with_model(VotingClassifier([("b", GaussianProcessClassifier())], voting="soft")),
        r"model -> b: GaussianProcessClassifier has no converter\. Use HistGradientBoostingClassifier",
    ),
    "a function": (
        with_columns(numbers=FunctionTransformer(np.log1p)),
        r"prepare -> number: FunctionTransformer calls a Python function.*Use PowerTransformer",
    ),
    "an encoder that stops": (
        with_columns(categories=OneHotEncoder()),
        r'category: OneHotEncoder raises an error for an unseen category.*Set handle_unknown to "ignore"',
    ),
    "an ordinal encoder that stops": (
        with_columns(categories=OrdinalEncoder()),
        r'Set handle_unknown to "use_encoded_value" and unknown_value to -1',
    ),
    "normal quantiles": (
        with_columns(numbers=QuantileTransformer(output_distribution="normal")),
        r'QuantileTransformer has no converter for output_distribution "normal"',
    ),
    "no probabilities": (
        with_model(LinearSVC()),
        r"model: LinearSVC gives no probabilities\. Use LogisticRegression, or CalibratedClassifierCV",
    ),
    "hard votes": (
        with_model(VotingClassifier([("a", logistic())])),
        r'VotingClassifier gives no probabilities\. Set voting to "soft"',
    ),
    "a loss without probabilities": (
        with_model(SGDClassifier()),
        r'SGDClassifier gives no probabilities\. Set loss to "log_loss"',
    ),
    "no estimator at the end": (
        Pipeline([("prepare", encoded()), ("scale", StandardScaler())]),
        r"scale: StandardScaler is the last step, but neither a classifier nor a regressor",
    ),
    "clusters": (with_model(KMeans()), r"model: KMeans is the last step, but neither"),
    "categories of its own": (
        with_model(HistGradientBoostingClassifier(categorical_features=[0])),
        r"splits categories itself.*put a OneHotEncoder or an OrdinalEncoder before it",
    ),
    "a network's other loss": (
        with_model(MLPRegressor(loss="poisson")),
        r'has no converter for loss "poisson"\. Set it to "squared_error"',
    ),
    "another kernel": (with_model(SVR(kernel="poly")), r'Set kernel to "rbf", or use Ridge'),
    "calibrated vectors": (
        with_model(CalibratedClassifierCV(SVC())),
        r"CalibratedClassifierCV reads the decision_function of SVC",
    ),
    "an initial estimator": (
        with_model(GradientBoostingRegressor(init=Ridge())),
        r'starts from another estimator.*set it to "zero"',
    ),
    "weighted neighbours": (
        with_model(KNeighborsClassifier(weights="distance")),
        r'only with weights "uniform"',
    ),
    "a target function": (
        with_model(TransformedTargetRegressor(Ridge(), func=np.cbrt, inverse_func=np.sinh)),
        r"Set inverse_func to one of numpy\.exp, numpy\.expm1",
    ),
    "characters of words": (
        with_vectorizer(analyzer="char_wb"),
        r'Set analyzer to "word" or "char"',
    ),
    "stop words": (with_vectorizer(stop_words=["b"]), r"Set stop_words to null"),
    "default tokens": (
        Pipeline([("text", on_text(TfidfVectorizer())), ("model", logistic())]),
        r'text -> text: TfidfVectorizer counts.*Set token_pattern to "\\S\+", lowercase to false',
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused_before_training(name):
    pipeline, message = REFUSED[name]
    with pytest.raises(UnsupportedStepError, match=message):
        check_exportable(pipeline)


def test_all_problems_are_told_at_once():
    pipeline = Pipeline([("prepare", encoded(KNNImputer(), OneHotEncoder())), ("model", SVC())])
    with pytest.raises(
        UserError, match=r"3 problems\n  prepare -> number.*\n  .*\n  model: SVC has no converter"
    ):
        check_exportable(pipeline)


def test_a_conversion_that_answers_otherwise_is_refused_with_the_name_of_its_step(tmp_path):
    grid = pd.DataFrame(np.indices((12, 12)).reshape(2, -1).T.astype(float), columns=["a", "b"])
    labels = np.random.default_rng(0).integers(0, 2, len(grid))
    pipeline = Pipeline([("near", KNeighborsClassifier())]).fit(grid, labels)
    file = tmp_path / "model.onnx"
    with pytest.raises(UnsupportedStepError, match="near: KNeighborsClassifier cannot be exported"):
        to_onnx(pipeline, grid, file)
    assert not file.exists()


def test_text_that_reaches_an_estimator_is_refused_by_name(tmp_path):
    columns = ColumnTransformer([("category", "passthrough", ["rare"])])
    numbers = FRAME.assign(rare=FRAME["rare"].map(ord).astype(float))
    pipeline = Pipeline([("prepare", columns), ("model", logistic())]).fit(numbers, TWO)
    with pytest.raises(UnsupportedStepError, match=r"model: LogisticRegression .* reads text"):
        to_onnx(pipeline, FRAME, tmp_path / "model.onnx")


def too_large_to_count() -> int:
    raise EncodeError("Failed to serialize proto")


@pytest.mark.parametrize("count", [lambda: 2**31, too_large_to_count], ids=["counted", "not"])
def test_a_model_of_more_than_2_gb_is_refused_with_what_makes_it_smaller(
    count, tmp_path, monkeypatch
):
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    pipeline = Pipeline([("model", RandomForestRegressor(2))]).fit(frame, [1.0, 2.0])
    monkeypatch.setattr(convert.Graph, "to_model", lambda *_: SimpleNamespace(ByteSize=count))
    with pytest.raises(
        UnsupportedStepError, match=r"larger than 2 GB.* Train fewer or shallower trees"
    ):
        to_onnx(pipeline, frame, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
