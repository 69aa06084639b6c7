"""Runs of networks end in time, and what a network is made of is known before it is loaded."""

import multiprocessing
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from predict.contract.text_table import SUMS
from predict.hosting.models import Models
from predict.http.app import create_app
from predict.scoring import session as sessions
from predict.scoring.errors import ModelError, TimeLimitError
from predict.scoring.network import MOST_OPERATIONS, external_files
from predict.scoring.predictor import Predictor
from predict.scoring.session import Session, open_session
from predict.tests.hostile_networks import (
    functions_that_call_each_other,
    loop,
    many_nodes,
    network_of,
    one_large_product,
    with_external_weights,
)

FEEDS = {SUMS: np.zeros((1, 2, 4), np.float32)}


def opened(model: onnx.ModelProto, limit_s: float | None = 0.2) -> Session:
    return open_session(model.SerializeToString(), limit_s=limit_s)


def test_a_run_without_end_is_ended() -> None:
    session = opened(loop())
    started = time.monotonic()
    with pytest.raises(TimeLimitError, match=r"^the model took longer than 0\.2 s$"):
        session.run(["answer"], FEEDS)
    assert 0.2 <= time.monotonic() - started < 2


def test_a_run_that_ends_in_time_is_answered_while_another_one_is_ended() -> None:
    # 2,000 turns take some milliseconds.
    quick, endless = opened(loop(2_000), limit_s=60), opened(loop())
    failures: list[Exception] = []

    def run_without_end() -> None:
        try:
            endless.run(["answer"], FEEDS)
        except TimeLimitError as error:
            failures.append(error)

    threads = [threading.Thread(target=run_without_end) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        [answer] = quick.run(["answer"], FEEDS)
        assert answer.shape == (1, 3)
    assert len(failures) == 3


def test_a_single_operation_that_takes_too_long_is_not_answered_either() -> None:
    session = opened(one_large_product(2_500), limit_s=1e-3)
    with pytest.raises(TimeLimitError, match="took longer"):
        session.run(["answer"], FEEDS)


def test_no_limit_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions._Watch, "add", lambda self, run: pytest.fail("it is watched"))
    session = Session(opened_by_onnxruntime(loop(10)), limit_s=None)
    assert len(session.run(["answer"], FEEDS)) == 1


def opened_by_onnxruntime(model: onnx.ModelProto) -> object:
    return sessions.onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def test_the_watch_wakes_up_after_it_has_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions._Watch, "_IDLE_TICKS", 1)
    monkeypatch.setattr(sessions, "_watch", sessions._Watch())
    session = opened(loop())
    for _ in range(2):
        with pytest.raises(TimeLimitError, match="took longer"):
            session.run(["answer"], FEEDS)
        deadline = time.monotonic() + 5
        while sessions._watch._is_awake.is_set():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def _ends(session: Session) -> None:
    try:
        session.run(["answer"], FEEDS)
    except TimeLimitError:
        return
    raise SystemExit(1)


def test_a_process_that_was_forked_ends_its_runs_too() -> None:
    session = opened(loop())
    _ends(session)  # the thread that watches is there
    forked = multiprocessing.get_context("fork").Process(target=_ends, args=[session], daemon=True)
    forked.start()
    forked.join(timeout=10)
    assert forked.exitcode == 0


def test_the_bytes_of_a_network_are_not_kept() -> None:
    content = loop(1).SerializeToString()
    before = sys.getrefcount(content)
    session = open_session(content)
    assert sys.getrefcount(content) == before
    assert len(session.run(["answer"], FEEDS)) == 1


def test_loading_a_network_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "LOAD_LIMIT_S", 0.01)
    with pytest.raises(ValueError, match=r"^onnxruntime takes longer than 0\.01 s$"):
        opened(many_nodes(MOST_OPERATIONS))


def test_a_request_that_meets_the_limit_is_answered_with_503(
    tiny_artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(tiny_artefact)
    monkeypatch.setattr(predictor, "_session", opened(loop()))
    answer = (
        create_app(Models.of(predictor)).test_client().post("/predict", json={"texts": ["a", "b"]})
    )
    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert answer.json is not None
    assert answer.json["detail"] == "the model took longer than 0.2 s."


def test_a_batch_with_fewer_answers_than_rows_is_not_answered(
    tiny_artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(tiny_artefact)
    monkeypatch.setattr(predictor._session, "run", lambda *_: [np.zeros((1, 3), np.float32)])
    message = r"an array of shape \(1, 3\), expected \(2, 3\)"
    with pytest.raises(ModelError, match=message):
        predictor.predict([{"title": "a"}, {"title": "b"}])
    answer = (
        create_app(Models.of(predictor)).test_client().post("/predict", json={"texts": ["a", "b"]})
    )
    assert answer.status_code == 500
    assert answer.json is not None
    assert "shape (1, 3)" in answer.json["detail"]


# ------------------------------------------------------------------- network


def external_tensor(name: str = "weights") -> TensorProto:
    [weights] = with_external_weights(name).graph.initializer
    return weights


def in_a_constant() -> onnx.ModelProto:
    return network_of([helper.make_node("Constant", [], ["answer"], value=external_tensor())])


def in_a_body() -> onnx.ModelProto:
    model = loop()
    body = next(node for node in model.graph.node if node.op_type == "Loop").attribute[0].g
    body.initializer.append(external_tensor())
    return model


def in_a_function() -> onnx.ModelProto:
    model = functions_that_call_each_other(2)
    node = helper.make_node("Constant", [], ["made"], value=external_tensor())
    model.functions[1].node.append(node)
    return model


def without_its_place() -> onnx.ModelProto:
    """A reader that goes by `data_location` alone would not see it."""
    model = with_external_weights("weights")
    model.graph.initializer[0].ClearField("data_location")
    return model


@pytest.mark.parametrize(
    "build",
    [
        lambda: with_external_weights("weights"),
        in_a_constant,
        in_a_body,
        in_a_function,
        without_its_place,
    ],
)
def test_weights_in_files_are_found_wherever_they_are(
    build: Callable[[], onnx.ModelProto],
) -> None:
    assert external_files(build().SerializeToString()) == ["weights"]


def test_weights_in_files_are_read_by_the_function_that_is_given() -> None:
    content = with_external_weights("weights").SerializeToString()
    given = np.arange(8, dtype=np.float32)
    session = open_session(content, {"weights": given.tobytes()}.__getitem__)
    [answer] = session.run(["answer"], FEEDS)
    np.testing.assert_array_equal(answer.ravel(), given)
    with pytest.raises(ValueError, match=r"it reads the file 'weights'; store its weights in the"):
        open_session(content)


def test_long_lists_and_names_are_passed_over() -> None:
    node = helper.make_node(
        "TreeEnsembleRegressor",
        [SUMS],
        ["answer"],
        domain="ai.onnx.ml",
        nodes_values=[0.5] * 5_000,
        nodes_treeids=[-1, 5, 1 << 40] * 1_000,
        nodes_modes=["LEAF", "BRANCH_LEQ", "", "long" * 40] * 500,
        weights=external_tensor(),
    )
    names = [attribute.name for attribute in node.attribute]
    assert external_files(network_of([node]).SerializeToString()) == ["weights"]
    assert "nodes_modes" in names


def test_operations_of_functions_count_each_time_that_they_are_called() -> None:
    # 2 ** 13 cosines, and 2 ** 13 - 1 calls.
    assert external_files(functions_that_call_each_other(13).SerializeToString()) == []
    with pytest.raises(ValueError, match="more than 100,000 operations"):
        external_files(functions_that_call_each_other(16).SerializeToString())


def test_a_network_that_ends_early_is_refused_wherever_it_ends() -> None:
    content = network_of(
        [helper.make_node("Add", [SUMS, "one"], ["answer"])],
        [numpy_helper.from_array(np.ones(4, np.float32), "one")],
    ).SerializeToString()
    refused = 0
    for end in range(len(content)):
        try:
            external_files(content[:end])
        except ValueError:
            refused += 1
    # Between two fields of the outermost message it may end.
    assert refused > len(content) - 10
