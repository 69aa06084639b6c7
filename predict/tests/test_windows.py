"""Claims about the windows of live traffic."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predict.contract.artefact import Metadata, load_artefact
from predict.contract.profile import Dimension, Profile
from predict.monitoring.snapshots import merged
from predict.monitoring.windows import BUCKET_S, BUCKETS, OTHER_LABELS, TimedSums, Windows
from predict.scoring.predictor import Predictor


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


PROFILE = Profile(
    rows=10,
    dimensions=[
        Dimension(of="input", name="title", edges=[3.0], missing=True, counts=[5, 5, 0]),
        Dimension(of="answer", name="score", edges=[0.5], counts=[5, 5]),
        Dimension(of="texts", name="unknown_share", edges=[0.5], counts=[5, 5]),
    ],
)


@pytest.fixture
def metadata(predictor: Predictor) -> Metadata:
    labels = predictor.labels
    of_label = Dimension(of="answer", name="label", values=labels, counts=[0] * (len(labels) + 1))
    profile = Profile(rows=10, dimensions=[*PROFILE.dimensions, of_label])
    return predictor.metadata.model_copy(update={"profile": profile})


def answers(labels: list[str], score: float = 0.7) -> list[dict[str, Any]]:
    return [{"label": label, "score": score, "probabilities": {label: score}} for label in labels]


def texts(*given: str) -> list[dict[str, str]]:
    return [{"title": text} for text in given]


def test_everything_is_counted_once_and_the_recent_part_of_it(
    metadata: Metadata, clock: Clock
) -> None:
    windows, [first, second, *_] = Windows(metadata, clock=clock), metadata.outputs[0].labels
    windows.observe(texts("ab"), answers([first], 0.4))
    clock.now += BUCKETS * BUCKET_S
    windows.observe(texts("abc", "a"), answers([second, first]))
    counted = windows.snapshot()
    title = counted["dimensions"]["input:title"]
    assert title == {"since_loaded": [2, 1, 0], "recent": [1, 1, 0]}
    assert counted["dimensions"]["answer:score"] == {"since_loaded": [1, 2], "recent": [0, 2]}
    assert counted["labels"][first] == 2
    assert counted["labels"][second] == 1
    assert counted["score"] == [0, 0, 0, 1, 0, 0, 2, 0, 0, 0]
    clock.now += BUCKETS * BUCKET_S
    after = windows.snapshot()["dimensions"]["input:title"]
    assert after == {"since_loaded": [2, 1, 0], "recent": [0, 0, 0]}


def test_what_waits_to_be_counted_belongs_to_the_time_of_its_request(
    metadata: Metadata, clock: Clock
) -> None:
    windows, labels = Windows(metadata, clock=clock), metadata.outputs[0].labels
    windows.observe(texts("ab"), answers(labels[:1]))
    clock.now += (BUCKETS - 1) * BUCKET_S
    windows.observe(texts("ab"), answers(labels[:1]))  # the first one is still recent
    assert windows.snapshot()["dimensions"]["input:title"]["recent"] == [2, 0, 0]
    clock.now += BUCKET_S
    assert windows.snapshot()["dimensions"]["input:title"]["recent"] == [1, 0, 0]


def test_an_artefact_without_a_profile_has_its_labels_and_scores_counted(
    predictor: Predictor, clock: Clock
) -> None:
    assert predictor.metadata.profile is None
    windows, labels = Windows(predictor.metadata, clock=clock), predictor.labels
    windows.observe(texts("ab", "c"), answers([labels[0], "a stranger"], 0.1))
    counted = windows.snapshot()
    assert counted["labels"] == {**dict.fromkeys(labels, 0), labels[0]: 1, OTHER_LABELS: 1}
    assert counted["score"][0] == 2
    assert list(counted["dimensions"]) == ["answer:label"]


def test_all_labels_of_a_set_are_counted(films: Predictor, clock: Clock) -> None:
    windows = Windows(films.metadata, clock=clock)
    instances = [example.instance for example in films.metadata.examples]
    predictions = films.predict(instances)
    windows.observe(instances, predictions)
    given = [label["label"] for prediction in predictions for label in prediction["labels"]]
    assert len(given) > 1
    assert windows.snapshot()["labels"] == {label: given.count(label) for label in films.labels}


def test_the_unknown_words_of_some_texts_are_counted(metadata: Metadata, clock: Clock) -> None:
    asked = []

    def shares(instances: Any) -> list[float]:
        asked.append(len(instances))
        return [1.0] * len(instances)

    windows, label = Windows(metadata, shares, clock), metadata.outputs[0].labels[:1]
    for _ in range(320):
        windows.observe(texts("ab"), answers(label))
    windows.observe(texts(*["ab"] * 10_000), answers(label * 10_000))
    assert asked == [1] * 10 + [100]
    counted = windows.snapshot()["dimensions"]["texts:unknown_share"]["since_loaded"]
    assert counted == [0, 110]


def test_a_large_request_has_all_answers_counted_and_some_instances(
    metadata: Metadata, clock: Clock
) -> None:
    windows, label = Windows(metadata, clock=clock), metadata.outputs[0].labels[:1]
    windows.observe(texts(*["ab"] * 10_000), answers(label * 10_000))
    counted = windows.snapshot()
    assert counted["labels"][label[0]] == 10_000
    assert sum(counted["dimensions"]["input:title"]["since_loaded"]) == 1_000


def test_no_text_is_kept(metadata: Metadata, clock: Clock) -> None:
    windows, label = Windows(metadata, clock=clock), metadata.outputs[0].labels[:1]
    text = "a" * 1_000
    before = sys.getrefcount(text)
    instances = texts(text)
    windows.observe(instances, answers(label))
    del instances
    assert sys.getrefcount(text) == before


def test_threads_lose_no_count(metadata: Metadata) -> None:
    windows, label = Windows(metadata), metadata.outputs[0].labels[:1]

    def ask() -> None:
        for _ in range(5_000):
            windows.observe(texts("ab"), answers(label))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert windows.snapshot()["labels"][label[0]] == 20_000


def test_the_counts_of_two_processes_add_up_as_json(metadata: Metadata, clock: Clock) -> None:
    one, two = Windows(metadata, clock=clock), Windows(metadata, clock=clock)
    label = metadata.outputs[0].labels[:1]
    one.observe(texts("ab"), answers(label))
    two.observe(texts("ab", "abc"), answers(label * 2))
    both = Windows(metadata, clock=clock)
    both.observe(texts("ab", "ab", "abc"), answers(label * 3))
    snapshots = [json.loads(json.dumps(each.snapshot())) for each in (one, two)]
    assert merged(snapshots) == both.snapshot()


def test_a_table_of_every_type_is_counted(tables: dict[str, Path], clock: Clock) -> None:
    passengers = Predictor.load(tables["label"])
    metadata = load_artefact(tables["label"]).metadata
    dimensions = [
        Dimension(of="input", name="fare", edges=[50.0], missing=True, counts=[0, 0, 0]),
        Dimension(of="input", name="port", values=["C"], missing=True, counts=[0, 0, 0]),
    ]
    profile = Profile(rows=0, dimensions=dimensions)
    windows = Windows(metadata.model_copy(update={"profile": profile}), clock=clock)
    instances = [example.instance for example in metadata.examples]
    windows.observe(instances, passengers.predict(instances))
    counted = windows.snapshot()["dimensions"]
    assert counted["input:fare"]["since_loaded"] == [0, 3, 1]
    assert counted["input:port"]["since_loaded"] == [1, 2, 1]


def test_the_memory_of_sums_is_constant(clock: Clock) -> None:
    sums = TimedSums(2, clock)
    for _ in range(10 * BUCKETS):
        sums.add(np.array([1, 2]))
        clock.now += BUCKET_S
    assert len(sums._buckets) <= BUCKETS
    total, recent = sums.sums()
    assert total.tolist() == [10 * BUCKETS, 20 * BUCKETS]
    assert recent.tolist() == [BUCKETS - 1, 2 * (BUCKETS - 1)]
