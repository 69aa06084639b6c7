"""The numbers behind `/metrics`: what requests cost, in the text format of Prometheus.

A request leaves one tuple; tuples are counted many at once, or when somebody looks. `prometheus_client`, which takes 20
to 40 ms to import, is imported by the first who looks.
"""

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Metadata
from predict.monitoring import drift, feedback
from predict.monitoring.windows import SCORE_EDGES

# Seconds. A small answer takes a tenth of a millisecond.
LATENCY_EDGES = [
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
]
STEPS = ("wait", "parse", "encode", "score")
OTHER = "other"
_METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE")
_COUNTED_AT_ONCE = 512
_MOST_MODELS = 100
# Dimensions whose drift is shown for a model, the worst first.
_MOST_DIMENSIONS = 200
_SEPARATOR = "\t"
_WINDOWS = ("recent", "since_loaded")

Load = Callable[[], Mapping[str, float]]
Steps = tuple[float | None, float | None, float | None, float | None]
_Noted = tuple[str, str, int, float, str | None, int, Steps]
_Values = npt.NDArray[np.float64]
Key = TypeVar("Key")
Value = TypeVar("Value")


class Watched(NamedTuple):
    """A loaded model, for `render`."""

    name: str
    metadata: Metadata
    # What `ModelMonitor.snapshot` returns, or several of them added up.
    snapshot: Mapping[str, Any]


class Metrics:
    """What the requests of a process cost; for any number of threads."""

    def __init__(self, routes: Iterable[str], load: Load | None = None) -> None:
        """Start from zero.

        Args:
            routes: The routes as they are to be named, such as `/models/<name>/predict`; any other one is "other".
            load: Is asked for gauges and counters by name, such as `queue_depth`, `requests_in_flight` or `shed_total`;
                the name of a counter ends in `_total`.
        """
        self._routes, self._load = frozenset(routes), load
        self._lock = Lock()
        # Threads add to it without the lock.
        self._noted: deque[_Noted] = deque()
        self._edges = np.array(LATENCY_EDGES)
        self._requests: Counter[str] = Counter()
        self._durations: dict[str, _Histogram] = {}
        self._steps: dict[str, _Histogram] = {}
        self._instances: Counter[str] = Counter()
        self._reloads: Counter[str] = Counter()
        self._models: set[str] = set()

    def record(
        self,
        route: str,
        method: str,
        status: int,
        seconds: float,
        model: str | None = None,
        instances: int = 0,
        steps: Steps = (None,) * 4,
    ) -> None:
        """Count one request that was answered.

        Args:
            route: One of those that were announced.
            method: Of HTTP.
            status: Of the answer.
            seconds: From the first byte to the answer.
            model: The name under which the model is served, if one was asked.
            instances: How many instances were answered.
            steps: The seconds of each of `STEPS`; None for one that was not taken.
        """
        self._noted.append((route, method, status, seconds, model, instances, steps))
        if len(self._noted) >= _COUNTED_AT_ONCE:
            with self._lock:
                self._count()

    def reloaded(self, model: str, result: str) -> None:
        """Count an attempt to change a model, such as `loaded`, `refused` or `rolled_back`."""
        with self._lock:
            self._reloads[_key(self._known(model), result)] += 1

    def snapshot(self) -> dict[str, Any]:
        """Return all numbers as JSON; `snapshots.merged` adds up those of several processes."""
        load = {} if self._load is None else dict(self._load())
        with self._lock:
            self._count()
            return {
                "requests": dict(self._requests),
                "durations": {key: one.as_json() for key, one in self._durations.items()},
                "steps": {key: one.as_json() for key, one in self._steps.items()},
                "instances": dict(self._instances),
                "reloads": dict(self._reloads),
                "load": load,
                # By process, for the time of its start is not to be added to another.
                "processes": {str(os.getpid()): _of_process()},
            }

    def _count(self) -> None:
        """Count what was noted; whoever calls it holds the lock."""
        noted = [self._noted.popleft() for _ in range(len(self._noted))]
        if not noted:
            return
        routes, methods, statuses, seconds, models, instances, steps = zip(*noted, strict=True)
        for (route, method, status), count in Counter(
            zip(routes, methods, statuses, strict=True)
        ).items():
            shown = method if method in _METHODS else OTHER
            self._requests[_key(self._shown_route(route), shown, str(status))] += count
        for route, some in _grouped(routes, seconds).items():
            self._add(self._durations, self._shown_route(route), some)
        for model, numbers in _grouped(models, instances).items():
            if model is not None:
                self._instances[self._known(model)] += sum(numbers)
        for model, rows in _grouped(models, steps).items():
            if model is not None:
                for name, took in zip(STEPS, zip(*rows, strict=True), strict=True):
                    self._add(self._steps, _key(self._known(model), name), took)

    def _add(
        self, histograms: dict[str, "_Histogram"], key: str, values: Sequence[float | None]
    ) -> None:
        array = np.array(values, np.float64)  # None becomes NaN
        known = array[~np.isnan(array)]
        if len(known):
            histograms.setdefault(key, _Histogram(self._edges)).add(known)

    def _shown_route(self, route: str) -> str:
        return route if route in self._routes else OTHER

    def _known(self, model: str) -> str:
        if model not in self._models and len(self._models) >= _MOST_MODELS:
            return OTHER
        self._models.add(model)
        return model


class _Histogram:
    """Counts of numbers up to each edge, and their sum."""

    def __init__(self, edges: _Values) -> None:
        self._edges, self._sum = edges, 0.0
        self._counts = np.zeros(len(edges) + 1, np.int64)

    def add(self, values: _Values) -> None:
        # A value at an edge is below it, as Prometheus has it.
        places = self._edges.searchsorted(values, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(values.sum())

    def as_json(self) -> dict[str, Any]:
        return {"counts": self._counts.tolist(), "sum": self._sum}


def render(
    snapshot: Mapping[str, Any], models: Sequence[Watched] = (), accept: str = ""
) -> tuple[bytes, str]:
    """Return the numbers as Prometheus or OpenMetrics text, and the type of the content.

    Args:
        snapshot: What `Metrics.snapshot` returns, or several of them added up.
        models: The models that are loaded.
        accept: The header of the request.
    """
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector

    class Numbers(Collector):
        def collect(self) -> Iterator[Any]:
            yield from _of_requests(snapshot)
            yield from _of_models(models)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Numbers())
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _of_requests(snapshot: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the families of metrics that know no model."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield _counters(
        "requests", "Requests answered.", ("route", "method", "status"), snapshot["requests"]
    )
    yield _histograms(
        "request_duration_seconds", "From the first byte of a request to its answer.", ("route",), snapshot["durations"]
    )  # fmt: skip
    yield _histograms(
        "step_duration_seconds", "The steps of an answer.", ("model", "step"), snapshot["steps"]
    )
    yield _counters("instances", "Instances answered.", ("model",), snapshot["instances"])
    yield _counters(
        "reloads", "Attempts to change a model.", ("model", "result"), snapshot["reloads"]
    )
    for name, value in snapshot["load"].items():
        family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        yield family(f"capstone_{name}", name.replace("_", " ").capitalize() + ".", value=value)
    processes = list(snapshot["processes"].values())
    for name in dict.fromkeys(name for process in processes for name in process):
        values = [process[name] for process in processes if name in process]
        family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        value = min(values) if name == "process_start_time_seconds" else sum(values)
        yield family(name, "Of all processes of the server.", value=value)


def _of_models(models: Sequence[Watched]) -> Iterator[Any]:
    """Yield the families of metrics of the loaded models."""
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
    )

    which = ("model", "artefact")
    info = InfoMetricFamily("capstone_model", "What is loaded.", labels=which)
    predictions = CounterMetricFamily(
        "capstone_predictions", "Answers by label.", labels=(*which, "label")
    )
    scores = HistogramMetricFamily("capstone_score", "The scores of answers.", labels=which)
    psi = GaugeMetricFamily(
        "capstone_drift_psi",
        "The population stability index of live traffic against the test rows.",
        labels=(*which, "of", "dimension", "window"),
    )
    drifted = GaugeMetricFamily(
        "capstone_drift_dimensions", "Dimensions by verdict.", labels=(*which, "verdict")
    )
    known = GaugeMetricFamily(
        "capstone_feedback_answers", "Answers whose truth is known.", labels=(*which, "window")
    )
    quality = GaugeMetricFamily(
        "capstone_live_metric",
        "Metrics of the answers whose truth is known.",
        labels=(*which, "metric", "window"),
    )
    for name, metadata, snapshot in models:
        of_model = (name, metadata.name)
        info.add_metric(of_model, {"task": metadata.task, "created_at": metadata.created_at})
        counted = snapshot["windows"]
        for label, count in counted["labels"].items():
            predictions.add_metric((*of_model, label), count)
        if counted["score"]:
            scores.add_metric(of_model, _cumulated(SCORE_EDGES, counted["score"]), None)
        found = drift.report(metadata.profile, counted)["dimensions"]
        for verdict, count in Counter(one["verdict"] for one in found).items():
            drifted.add_metric((*of_model, verdict), count)
        for one in found[:_MOST_DIMENSIONS]:
            for window in _WINDOWS:
                if one[window]["answers"]:
                    labels = (*of_model, one["of"], one["name"], window)
                    psi.add_metric(labels, one[window]["psi"])
        live = feedback.report(snapshot["feedback"])
        for window in _WINDOWS:
            known.add_metric((*of_model, window), live[window]["answers"])
            for metric in feedback.METRICS:
                if (value := live[window].get(metric)) is not None:
                    quality.add_metric((*of_model, metric, window), value)
    yield from (info, predictions, scores, psi, drifted, known, quality)


def _counters(name: str, about: str, labels: Sequence[str], counts: Mapping[str, float]) -> Any:
    from prometheus_client.core import CounterMetricFamily

    family = CounterMetricFamily(f"capstone_{name}", about, labels=labels)
    for key, count in counts.items():
        family.add_metric(key.split(_SEPARATOR), count)
    return family


def _histograms(name: str, about: str, labels: Sequence[str], histograms: Mapping[str, Any]) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    family = HistogramMetricFamily(f"capstone_{name}", about, labels=labels)
    for key, one in histograms.items():
        buckets = _cumulated(LATENCY_EDGES, one["counts"])
        family.add_metric(key.split(_SEPARATOR), buckets, one["sum"])
    return family


def _cumulated(edges: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    names = [*map(str, edges), "+Inf"]
    return list(zip(names, np.cumsum(counts).tolist(), strict=True))


def _grouped(keys: Iterable[Key], values: Iterable[Value]) -> dict[Key, list[Value]]:
    groups: defaultdict[Key, list[Value]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        groups[key].append(value)
    return groups


def _key(*parts: str) -> str:
    return _SEPARATOR.join(parts)


def _of_process() -> dict[str, float]:
    """Return processor seconds, memory, open files and the time of the start; nothing where there is no /proc."""
    from prometheus_client import ProcessCollector

    return {
        sample.name: sample.value
        for family in ProcessCollector(registry=None).collect()
        for sample in family.samples
    }
