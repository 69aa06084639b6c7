"""Claims about the text model, most of them about one small model that was trained for real."""

import dataclasses
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import scipy.sparse

from predict.contract.artefact import MODEL, ArtefactError, Input
from predict.contract.encoder import ENCODED
from predict.contract.features import FeatureSettings, Parts, TextFeatures
from predict.contract.text_table import HEAD, SUMS
from predict.scoring.inputs import TextInputs
from predict.scoring.predictor import Predictor
from predict.scoring.text_head import TextHead
from predict.tests.tiny_artefact import change_metadata
from train.config.sections import TrainingConfig
from train.data.splits import Prepared, Split
from train.evaluation.answered import Answered
from train.evaluation.measures import evaluate
from train.features import feature_table
from train.features.embeddings import Embeddings
from train.models.calibration import Calibration
from train.models.decision import Decision
from train.models.text import family, training
from train.models.text.batches import Rows, batch_size, cut_into_batches
from train.models.text.network import Heads, build_deep, deep_margins, first_vectors, write_onnx
from train.models.text.targets import sample_weights
from train.models.text.training import TrainingError
from train.models.text.wide import fit_wide
from train.tests.conftest import Fitted, fit, make_rows, server_of, tiny_config, write_csv

# Words of letters that no training text has.
UNKNOWN = "ξψω ζζζ"


@pytest.fixture(scope="module")
def onnx_file(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / MODEL
    fitted.model.write(file.parent)
    return file


@pytest.fixture(scope="module")
def served(fitted: Fitted, onnx_file: Path) -> Any:
    """Texts -> probabilities, as a server computes them."""
    return server_of(fitted.model, onnx_file.parent)


def pair_of(features: TextFeatures, text: str) -> int:
    """Return the id of the one pair of a text of two words."""
    parts = Parts(features)
    return int(np.frombuffer(parts.ids[parts.of(text)[-1]].token_ids, np.int32)[0])


# ------------------------------------------------------------------ features


def test_rows_are_weighed_by_their_inverse_document_frequency() -> None:
    settings = FeatureSettings(ngram_buckets=0, pair_buckets=0)
    features = TextFeatures(settings, ["b", "a", "never"])
    table, _ = feature_table.build_table(features, ["a b", "b b", "b"])
    # log((1 + texts) / (1 + texts with the word)) + 1; row 0 is padding.
    expected = [0, np.log(4 / 4) + 1, np.log(4 / 2) + 1, np.log(4 / 1) + 1]
    np.testing.assert_allclose(table.idf[:, 0], expected, rtol=1e-6)
    assert not table.idf[:, 1].any()
    assert table.token_rows.tolist() == [0, 0, 1, 2, 3]


def test_a_pair_or_an_ngram_that_one_of_many_texts_alone_has_gets_no_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feature_table, "_MANY_TEXTS", 3)
    settings = FeatureSettings(ngram_buckets=1 << 16, pair_buckets=1 << 16)
    features = TextFeatures(settings, ["a", "b", "c"])
    table, _ = feature_table.build_table(features, ["a b", "a b", "b c"])
    of_ab, of_bc = (pair_of(features, text) for text in ("a b", "b c"))
    assert table.token_rows[of_ab] == 4
    assert table.token_rows[of_bc] == 0
    # "<a", "a>", "<a>", and the same of b; but nothing of c.
    assert len(table.idf) == 1 + 3 + 1 + 6


def test_the_weights_of_a_text_are_of_length_one_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    features = TextFeatures(FeatureSettings(ngram_buckets=64, pair_buckets=64), ["a", "b"])
    texts = ["a b", "b a", "", "zzz", "a " * 300]
    table, _ = feature_table.build_table(features, texts)
    monkeypatch.setattr(feature_table, "_TEXTS_AT_ONCE", 64)
    design = feature_table.weigh(features, table, texts * 60)
    assert design.shape == (300, len(table.idf))
    assert design.dtype == np.float32
    assert not design[:, 0].nnz  # padding
    tokens, ngrams = (design[:, table.idf[:, kind] > 0].power(2).sum(axis=1).A1 for kind in (0, 1))
    np.testing.assert_allclose(tokens[:5], [1, 1, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(ngrams[:5], [1, 1, 0, 1, 1], atol=1e-6)
    assert (design[:5] != design[295:]).nnz == 0


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_the_texts_of_a_table_are_weighed_as_new_ones_are(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_table, "_TEXTS_AT_ONCE", at_once)
    features = TextFeatures(FeatureSettings(ngram_buckets=64, pair_buckets=64), ["a", "b"])
    texts = ["a b", "", "b b-a a", "zzz a", "b"]
    table, design = feature_table.build_table(features, texts)
    assert table.idf.shape == (len(table.weights), 2)
    for row, text in enumerate(texts):
        again = feature_table.weigh(features, table, [text])
        np.testing.assert_array_equal(design[row].toarray(), again.toarray())


def test_no_text_at_all_has_no_weights() -> None:
    features = TextFeatures(FeatureSettings(), ["a"])
    table, _ = feature_table.build_table(features, ["a"])
    assert feature_table.weigh(features, table, []).shape == (0, len(table.idf))


def test_the_share_of_unknown_words_counts_every_word(fitted: Fitted) -> None:
    asked = replace(
        fitted.dataset, frame=pd.DataFrame({"text": ["apple violin", "zzz apple", " "]})
    )
    assert fitted.model.unknown_share(asked, np.arange(3)).tolist() == [0.0, 0.5, 1.0]
    rows = Split(np.arange(0), np.arange(0), np.arange(3))
    described = fitted.model.describe(Prepared(fitted.config, asked, rows))
    assert described["embedding"]["unknown_token_share"] == 0.25


# ---------------------------------------------------------------- the exported


def test_exported_and_trained_probabilities_agree(fitted: Fitted, served: Any) -> None:
    texts = [*fitted.test_texts(), UNKNOWN, "?!", "apple " * 500, "APPLE", "apple apple"]
    trained = fitted.probabilities(texts)
    np.testing.assert_allclose(served(texts), trained, rtol=0, atol=1e-5)


def test_probabilities_sum_to_one(fitted: Fitted, served: Any) -> None:
    texts = [*fitted.test_texts(), UNKNOWN]
    for probabilities in (served(texts), fitted.probabilities(texts)):
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("batch", [["apple"], ["a much longer text " * 9, UNKNOWN, "piano"]])
def test_one_text_alone_gets_the_same_answer_as_in_a_batch(
    fitted: Fitted, served: Any, batch: list[str]
) -> None:
    for text in [*fitted.test_texts()[:5], UNKNOWN]:
        np.testing.assert_allclose(served([text, *batch])[0], served([text])[0], atol=1e-6)
        trained = fitted.probabilities([*batch, text])[-1]
        np.testing.assert_allclose(trained, fitted.probabilities([text])[0], atol=1e-6)


@pytest.mark.parametrize("text", [UNKNOWN, "?", " ", ""])
def test_a_text_without_any_known_word_gets_finite_probabilities(
    fitted: Fitted, served: Any, text: str
) -> None:
    (answer,) = served([text])
    assert np.isfinite(answer).all()
    assert answer.sum() == pytest.approx(1)
    np.testing.assert_allclose(answer, fitted.probabilities([text])[0], atol=1e-5)


def test_a_text_without_features_gets_about_the_shares_of_the_labels(served: Any) -> None:
    (answer,) = served([""])
    assert answer == pytest.approx(1 / 3, abs=0.2)


def test_the_words_of_a_topic_are_recognised(fitted: Fitted, served: Any) -> None:
    names = fitted.dataset.label_names
    answers = served(["banana melon", "violin piano", "hammer drill"])
    assert [names[i] for i in answers.argmax(axis=1)] == ["fruit", "music", "tools"]


def test_a_word_never_seen_is_recognised_by_its_parts(fitted: Fitted, served: Any) -> None:
    assert "violinists" not in fitted.model.design.features.vocabulary
    assert served(["violinists"])[0].argmax() == fitted.dataset.label_names.index("music")


def test_the_exported_model_is_onnx_alone_and_passes_its_checker(onnx_file: Path) -> None:
    model = onnx.load(onnx_file)
    onnx.checker.check_model(model, full_check=True)
    assert {item.domain for item in model.opset_import} <= {"", "ai.onnx.ml"}
    assert [item.name for item in model.graph.input] == [SUMS]
    assert not model.metadata_props
    assert not [item for item in model.graph.initializer if item.external_data]


@pytest.mark.parametrize(
    "calibrated",
    [
        {"offsets": 0.7},
        {"offsets": -2.0, "prior_factors": np.array([0.7, 0.2, 0.1])},
        {"offsets": np.array([-1.0, 0.5, 0.0]), "several": True},
    ],
    ids=["label", "weighted label", "labels"],
)
@pytest.mark.parametrize("deep_share", [0.0, 0.25])
@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("encoder_width", [0, 2])
def test_the_head_of_a_single_text_computes_what_the_exported_model_does(
    tmp_path: Path, deep_share: float, calibrated: dict[str, Any], scale: float, encoder_width: int
) -> None:
    random, columns = np.random.default_rng(0), 7 + encoder_width
    shapes = ((columns, 3), (3,), (columns, 4), (4, 5), (5,), (9, 3), (3,))
    weights = [random.normal(size=shape).astype(np.float32) for shape in shapes]
    heads = Heads(*weights[:3], weights[3:], table_rows=7)
    write_onnx(heads, Calibration(deep_share, 0.5, **calibrated), tmp_path / MODEL)
    session = onnxruntime.InferenceSession(tmp_path / MODEL)
    answer, *names = [output.name for output in session.get_outputs()]
    absent = {"encoder_kernel"} if not encoder_width else set()
    absent |= {"hidden_kernel", "hidden_bias"} if not deep_share else set()
    absent |= {"log_prior"} if "prior_factors" not in calibrated else set()
    assert set(names) == set(HEAD) - absent
    width = session.get_inputs()[0].shape[-1]
    sums = scale * random.normal(size=(5, 2, width)).astype(np.float32)
    sums[:, :, 0] = random.uniform(0, 9, (5, 2))
    sums[0] = 0
    encoded = random.normal(size=(5, encoder_width)).astype(np.float32)
    feeds = {SUMS: sums, ENCODED: encoded} if encoder_width else {SUMS: sums}
    expected, *values = session.run([answer, *names], feeds)
    head = TextHead(dict(zip(names, values, strict=True)), calibrated.get("several", False))
    for text, vector, probabilities in zip(sums, encoded, expected, strict=True):
        given = (text[np.newaxis], vector[np.newaxis])
        np.testing.assert_allclose(head.of(*given)[0], probabilities, rtol=0, atol=2e-6)


def test_a_model_that_answers_otherwise_than_its_weights_is_refused(
    trained: Any, tmp_path: Path
) -> None:
    directory = shutil.copytree(trained.artefact_dir, tmp_path / "artefact")
    assert Predictor.load(directory)._head is not None
    model = onnx.load(directory / MODEL)
    [said] = [node for node in model.graph.node if node.output[0] == "bias"]
    said.op_type = "Exp"
    onnx.save(model, directory / MODEL)
    change_metadata(directory)
    with pytest.raises(ArtefactError, match=r"golden example 0 is answered differently"):
        Predictor.load(directory)
    [answer] = [node for node in model.graph.node if node.output[0] == model.graph.output[0].name]
    said.op_type, answer.op_type = "Identity", "LogSoftmax"
    onnx.save(model, directory / MODEL)
    change_metadata(directory)
    with pytest.raises(ArtefactError, match=r"model\.onnx: its answers are not those of the weig"):
        Predictor.load(directory)


def test_weights_that_do_not_fit_one_another_are_refused(trained: Any, tmp_path: Path) -> None:
    directory = shutil.copytree(trained.artefact_dir, tmp_path / "artefact")
    model = onnx.load(directory / MODEL)
    [said] = [node for node in model.graph.node if node.output[0] == "bias"]
    said.input[0] = next(node.input[0] for node in model.graph.node if node.output[0] == "kernel")
    for output in model.graph.output:
        if output.name == "bias":
            output.type.tensor_type.ClearField("shape")
    onnx.save(model, directory / MODEL)
    change_metadata(directory)
    with pytest.raises(ArtefactError, match=r"its weights are not those of a head"):
        Predictor.load(directory)


# --------------------------------------------------------------------- seeds


def test_the_same_seed_gives_the_same_metrics(fitted: Fitted, trained: Any) -> None:
    dataset, test = fitted.dataset, fitted.split.test
    probabilities = fitted.model.predict(dataset, test)
    decision = Decision("label", dataset.label_names)
    again = evaluate(Answered(dataset.targets[test], probabilities, decision))
    assert fitted.model.history == trained.metrics["history"]
    assert again.items() <= trained.metrics.items()


def test_the_same_seed_gives_the_same_weights_in_the_exported_model(
    onnx_file: Path, trained: Any
) -> None:
    # Not the same bytes: tf2onnx names and orders constants differently from run to run.
    def weights(file: Path) -> set[bytes]:
        return {item.raw_data for item in onnx.load(file).graph.initializer if len(item.dims) > 0}

    assert weights(onnx_file) == weights(trained.artefact_dir / "model.onnx")


def test_another_seed_gives_another_model(fitted: Fitted, tmp_path: Path) -> None:
    config = fitted.config.training.model_copy(update={"seed": 1, "epochs": 1})
    other = fit(fitted.config.model_copy(update={"training": config}))
    assert other.model.history[0] != fitted.model.history[0]


def test_the_history_has_both_losses_of_every_epoch_and_they_fall(fitted: Fitted) -> None:
    first, *_, last = fitted.model.history
    assert len(fitted.model.history) == 2
    assert set(first) == {"loss", "validation_loss"}
    assert last["loss"] < first["loss"]
    assert fitted.model.metadata["epochs"] in (1, 2)


# --------------------------------------------------------- difficult datasets


def _imbalanced(folder: Path, class_weights: str) -> Fitted:
    """Fit on 190 of "usual" and 10 of "rare", whose one telling word stands under both."""
    rows = [(f"{'signal' if i % 10 < 2 else 'noise'} x{i % 7}", "usual") for i in range(190)]
    rows += [(f"signal y{i}", "rare") for i in range(10)]
    unique = [(f"{text} n{i}", label) for i, (text, label) in enumerate(rows)]
    return fit(
        tiny_config(
            folder,
            write_csv(folder / "d.csv", unique),
            training={"epochs": 3},
            imbalance={"class_weights": class_weights},
        )
    )


def test_balanced_weights_give_the_rare_label_more_of_a_chance(tmp_path: Path) -> None:
    rare = {}
    for class_weights in ("none", "balanced"):
        fitted = _imbalanced(tmp_path, class_weights)
        assert fitted.dataset.label_names == ["rare", "usual"]
        (rare[class_weights], _), _ = fitted.probabilities(["signal", "noise"])
    assert 0 < rare["none"] < 0.5
    assert rare["balanced"] > rare["none"]


def test_balanced_weights_have_a_mean_of_one_and_the_same_sum_for_every_label(
    fitted: Fitted,
) -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    dataset = dataclasses.replace(fitted.dataset, targets=labels)
    weights = sample_weights(dataset, np.arange(10), balanced=True)
    assert weights.mean() == pytest.approx(1)
    assert [weights[labels == label].sum() for label in range(3)] == pytest.approx([10 / 3] * 3)
    assert (sample_weights(dataset, np.arange(10), balanced=False) == 1).all()


@pytest.mark.parametrize(
    ("rate", "batch_size"),
    [(10.0, 32), (1e20, 32), (1e10, 1000), (1e40, 32)],
    ids=["far above", "not a number", "only after the one batch", "no rate at all"],
)
def test_a_learning_rate_that_diverges_says_what_to_lower(
    fitted: Fitted, rate: float, batch_size: int
) -> None:
    changes = {"learning_rate": rate, "batch_size": batch_size}
    training = fitted.config.training.model_copy(update=changes)
    with pytest.raises(TrainingError, match=r"diverged.*Lower training\.learning_rate"):
        fit(fitted.config.model_copy(update={"training": training}))


def test_a_label_that_nearly_all_texts_have_is_no_divergence(tmp_path: Path) -> None:
    rows = [(f"noise x{i % 7} n{i}", "usual") for i in range(990)]
    rows += [(f"signal y{i}", "rare") for i in range(10)]
    for size in (32, 5000):
        csv = write_csv(tmp_path / "d.csv", rows)
        fitted = fit(tiny_config(tmp_path, csv, training={"batch_size": size}))
        assert fitted.model.metadata["epochs"] == 2
        assert fitted.probabilities(["signal", "noise"]).argmax(axis=1).tolist() == [0, 1]


def test_texts_without_features_are_trained_on_as_well(tmp_path: Path) -> None:
    rows = [(text if i % 2 else f"ξ{i}", label) for i, (text, label) in enumerate(make_rows(200))]
    fitted = fit(
        tiny_config(
            tmp_path,
            write_csv(tmp_path / "d.csv", rows),
            text_features={"ngram_buckets": 0, "pair_buckets": 0},
            embeddings={"min_count": 2},
            training={"batch_size": 1},
        )
    )
    assert np.isfinite(fitted.probabilities([UNKNOWN, "apple"])).all()


def test_fits_in_one_process_are_equal_and_silent(
    fitted: Fitted, caplog: pytest.LogCaptureFixture
) -> None:
    """A search makes many fits; TensorFlow warns of what it traces five times in a few calls."""
    training = fitted.config.training.model_copy(update={"epochs": 1, "batch_size": 1000})
    fits = [fit(fitted.config.model_copy(update={"training": training})).model for _ in range(5)]
    assert not caplog.records
    for one in fits[1:]:
        for mine, first in zip(one.heads.layers, fits[0].heads.layers, strict=True):
            np.testing.assert_array_equal(mine, first)
        np.testing.assert_array_equal(one.heads.vectors, fits[0].heads.vectors)
        np.testing.assert_array_equal(one.heads.wide, fits[0].heads.wide)


@pytest.mark.parametrize(
    ("targets", "clear"),
    [
        ([[1, 0], [0, 1], [1, 0]], [[1, -1], [-1, 1]]),
        ([[1, 0, 0], [0, 1, 0], [1, 0, 0]], [[1, -1, -1], [-1, 1, -1]]),
        ([[0, 0, 1], [0, 1, 0], [0, 0, 1]], [[-1, -1, 1], [-1, 1, -1]]),
        ([[1, 0], [1, 1], [1, 0]], [[1, -1], [1, 1]]),
        ([[1, 0], [1, 0], [1, 0]], [[1, -1], [1, -1]]),
        ([[0, 0], [0, 1], [0, 0]], [[-1, -1], [-1, 1]]),
    ],
    ids=["two", "one of three unseen", "the first unseen", "sets", "all the same", "sets, one unseen"],
)  # fmt: skip
def test_the_wide_head_says_yes_and_no_of_every_label(
    targets: list[list[int]], clear: list[list[int]]
) -> None:
    design = scipy.sparse.csr_matrix(np.array([[1, 0], [0, 1], [1, 0]], np.float32))
    wide, bias = fit_wide(design, np.array(targets, np.float32), np.ones(3, np.float32), 100.0, 0)
    assert (np.sign((design @ wide + bias)[:2]) == clear).all()


def test_weights_move_the_wide_head_as_copies_of_a_text_would() -> None:
    design = scipy.sparse.csr_matrix(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    targets, weights = np.eye(2, dtype=np.float32)[[0, 1, 1]], np.array([3, 1, 1], np.float32)
    copied = [0, 0, 0, 1, 2]
    weighted = fit_wide(design, targets, weights, 0.3, 0)
    copies = fit_wide(design[copied], targets[copied], np.ones(5, np.float32), 0.3, 0)
    for one, other in zip(weighted, copies, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_training_ends_by_itself_and_the_refit_repeats_what_was_best(
    tiny_csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny_config(tmp_path, tiny_csv, training={"epochs": 500, "learning_rate": 0.05})
    model = fit(config).model
    losses = [epoch["validation_loss"] for epoch in model.history]
    rates = model.metadata["learning_rates"]
    assert len(losses) < 100
    assert model.metadata["epochs"] == len(rates) == len(losses) - 3  # patience 2, and the last
    said = capsys.readouterr().err
    assert said.count("back to the best epoch") == 3
    assert rates[0] == 0.05
    assert rates == sorted(rates, reverse=True)
    deep = model.metadata["deep_share"] > 0
    again = f"the same {len(rates)} epochs" if deep else "the wide head alone"
    assert f"refit: {again} on all" in said


@pytest.mark.parametrize(
    ("num_texts", "size"), [(5, 16), (1_500, 16), (6_000, 64), (200_000, 128), (800_000, 256)]
)
def test_batches_grow_with_the_number_of_texts(num_texts: int, size: int) -> None:
    assert batch_size(num_texts) == size


def test_every_text_is_in_one_batch() -> None:
    batches = cut_into_batches(10, 4, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(np.concatenate(batches).tolist()) == list(range(10))


def test_only_the_rows_of_a_batch_are_trained() -> None:
    first = np.ones((4, 2), np.float32)
    rows = Rows(first)
    kept = rows.copy()
    for _ in range(2):
        rows.update(np.array([1, 3]), np.array([[3, -3], [0, 0]], np.float32), rate=0.5)
    np.testing.assert_array_equal(rows.vectors[[0, 2, 3]], first[[0, 2, 3]])
    # The rate is divided by the root of the sum of the squared gradients: 0.5 at first, then 0.5 / 2 ** 0.5.
    np.testing.assert_allclose(rows.vectors[1], [1 - 0.5 - 0.5**1.5, 1 + 0.5 + 0.5**1.5], rtol=1e-6)
    np.testing.assert_array_equal(kept.vectors, first)


def _separable(num_texts: int) -> tuple[Any, Any]:
    """Return texts of three features, of which the first two tell the label, and the targets."""
    labels = np.arange(num_texts) % 3
    design = np.zeros((num_texts, 4), np.float32)
    design[np.arange(num_texts), labels] = 1
    design[:, 3] = 0.5
    return scipy.sparse.csr_matrix(design), np.eye(3, dtype=np.float32)[labels]


def test_the_wide_head_learns_in_batches_what_it_learns_at_once() -> None:
    design, targets = _separable(3000)
    weights = np.ones(3000, np.float32)
    at_once = fit_wide(design, targets, weights, 0.3, 0)
    in_batches, again = (fit_wide(design, targets, weights, 0.3, 0, True) for _ in range(2))
    margins, expected = (design @ wide + bias for wide, bias in (in_batches, at_once))
    assert (np.sign(margins) == np.sign(expected)).all()
    np.testing.assert_array_equal(in_batches[0], again[0])


def test_a_text_without_weight_teaches_the_wide_head_nothing() -> None:
    design, targets = _separable(3000)
    weights = np.repeat(np.array([1, 0], np.float32), 1500)
    wrong = targets.copy()
    wrong[1500:] = np.roll(wrong[1500:], 1, axis=1)
    for in_batches in (False, True):
        wide, bias = fit_wide(design, wrong, weights, 0.3, 0, in_batches)
        assert (np.argmax(design @ wide + bias, axis=1) == np.argmax(targets, axis=1)).all()


def test_who_does_not_wait_for_the_wide_head_any_more_stops_it() -> None:
    design, targets = _separable(3000)
    wide, _ = fit_wide(design, targets, np.ones(3000, np.float32), 0.3, 0, True, lambda: True)
    assert not wide.any()


def test_many_texts_are_fitted_in_batches_also_in_the_refit(
    tiny_csv: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = []

    def note(*arguments: Any) -> Any:
        asked.append(arguments[5])
        return fit_wide(*arguments)

    monkeypatch.setattr(training, "fit_wide", note)
    usual = fit(tiny_config(tmp_path, tiny_csv)).model
    monkeypatch.setattr(training, "MANY_TEXTS", 50)
    many = fit(tiny_config(tmp_path, tiny_csv)).model
    assert asked == [False, False, True, True]
    assert usual.metadata["wide_fitted"] == "to its optimum"
    assert many.metadata["wide_fitted"] == "in batches"
    assert "the wide head in batches" in capsys.readouterr().err


def test_hashed_features_may_be_switched_off(tmp_path: Path) -> None:
    rows = [(f"{' '.join(text.split()[-3:-1])} n{i}", x) for i, (text, x) in enumerate(make_rows(200))]  # fmt: skip
    fitted = fit(
        tiny_config(
            tmp_path,
            write_csv(tmp_path / "d.csv", rows),
            text_features={"ngram_buckets": 0, "pair_buckets": 0},
            training={"epochs": 1, "batch_size": 16},
        )
    )
    fitted.model.write(tmp_path)
    assert np.isfinite(fitted.probabilities([UNKNOWN, "apple"])).all()


def test_the_deep_head_starts_from_the_vectors_of_the_words() -> None:
    matrix = np.zeros((2 + 2, 8), np.float32)
    matrix[2] = 7
    features = TextFeatures(FeatureSettings(ngram_buckets=0, pair_buckets=0), ["apple", "pear"])
    table, _ = feature_table.build_table(features, ["apple", "pear"])
    vectors = first_vectors(len(table.idf), Embeddings(["apple", "pear"], matrix, {}), seed=0)
    assert (vectors[1] == 7).all()  # row 1 is the first word
    assert 0 < np.abs(vectors[2]).max() < 1  # without a vector: a small random one


def test_a_small_penalty_keeps_the_weights_of_batches_small() -> None:
    random = np.random.default_rng(0)
    design = scipy.sparse.random(400, 30, 0.3, "csr", np.float32, random_state=0)
    targets = np.eye(2, dtype=np.float32)[random.integers(2, size=400)]
    sizes = []
    for penalty in (0.001, 0.1, 10.0):
        ones = np.ones(400, np.float32)
        wide, _ = fit_wide(design, targets, ones, penalty, seed=0, in_batches=True)
        sizes.append(np.linalg.norm(wide))
    assert sizes[0] < 0.5 * sizes[1] < sizes[1] < sizes[2]


def test_the_deep_head_outside_of_keras_is_the_network_that_was_trained() -> None:
    network = build_deep(3, 2, TrainingConfig(hidden_size=4))
    random = np.random.default_rng(0)
    weights = [random.normal(size=weight.shape).astype(np.float32) for weight in network.get_weights()]  # fmt: skip
    network.set_weights(weights)
    vectors = random.normal(size=(5, 3)).astype(np.float32)
    design = scipy.sparse.random(7, 5, 0.5, "csr", np.float32, random_state=0)
    expected = network(design @ vectors, training=False)
    np.testing.assert_allclose(deep_margins(design, vectors, weights), expected, atol=1e-5)


def test_metadata_names_everything_that_makes_the_features(fitted: Fitted) -> None:
    settings = {
        "ngram_range": [2, 5],
        "ngram_buckets": 512,
        "pair_buckets": 512,
        "vector_size": 8,
        "vocabulary_size": len(fitted.model.design.features.vocabulary),
    }
    assert settings.items() <= fitted.model.embedding_metadata.items()
    assert fitted.model.metadata["table_rows"] == len(fitted.model.design.table.idf)


def test_of_several_texts_one_may_be_null_where_it_was_in_training(tmp_path: Path) -> None:
    rows = [
        (text if i % 3 else "", "" if i % 3 == 1 else f"{text} b{i}", label)
        for i, (text, label) in enumerate(make_rows(120))
    ]
    file = write_csv(tmp_path / "mails.csv", rows, ("subject", "body", "label"))
    two = fit(tiny_config(tmp_path, file, columns={"text": ["subject", "body"]}))
    inputs = [Input.model_validate(column) for column in two.model.describe(two.prepared)["inputs"]]
    assert [(column.name, column.nullable) for column in inputs] == [
        ("subject", True),
        ("body", True),
    ]
    assert 0.2 < inputs[0].missing_share < 0.5
    asked = TextInputs(inputs, two.model.design.features)
    assert asked.problems_of({"subject": None, "body": "apple pie"}) == []
    assert asked.problems_of({"subject": None, "body": " "}) == [("subject", "empty text")]


def test_a_text_that_was_never_missing_is_described_in_three_words(fitted: Fitted) -> None:
    assert fitted.model.describe(fitted.prepared)["inputs"] == [
        {"name": "text", "type": "text", "tokenizer": 2}
    ]


def test_of_many_rows_the_baseline_gets_some_of_every_label_and_says_so(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = fitted.prepared.known
    assert family._some(known, fitted.dataset) is known
    monkeypatch.setattr(family, "_MOST_ROWS_OF_BASELINE", 30)
    monkeypatch.setattr(family, "_FEWEST_OF_A_LABEL", 12)
    some = family._some(known, fitted.dataset)
    assert set(some.tolist()) <= set(known.tolist())
    assert np.bincount(fitted.dataset.targets[some]).tolist() == [12, 12, 12]
    [baseline] = family.fit_baselines(fitted.prepared)
    assert baseline.name.endswith("linear SVM, on 36 rows")
    assert baseline.answers is not None
    assert len(baseline.answers) == len(fitted.prepared.split.test)
