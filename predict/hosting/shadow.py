"""The shadow: a model that scores in the background what another one answers, to see how often they disagree."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from predict.scoring.inputs import Instance, InstanceError
from predict.scoring.outputs import Prediction
from predict.scoring.predictor import Predictor

log = logging.getLogger("predict")

# Requests that wait for the shadow, at most, and the instances of each that it looks at.
_MOST_WAITING = 64
_MOST_INSTANCES = 100


class Shadow:
    """A model beside another one. It never delays an answer: what it cannot keep up with is left out and counted.

    Attributes:
        directory: Where it was read.
    """

    def __init__(self, predictor: Predictor, directory: Path | None = None) -> None:
        self._predictor, self.directory = predictor, directory
        self._waiting: SimpleQueue[tuple[Sequence[Instance], Sequence[Prediction]] | None]
        self._waiting = SimpleQueue()
        self._compared = self._disagreed = self._left_out = self._not_taken = self._failed = 0
        self._seconds = self._difference = 0.0
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    @property
    def name(self) -> str:
        """The name of its artefact."""
        return self._predictor.metadata.name

    def start(self) -> None:
        """Begin to score."""
        self._thread.start()

    def stop(self) -> None:
        """Score no more."""
        self._waiting.put(None)

    def offer(self, instances: Sequence[Instance], predictions: Sequence[Prediction]) -> None:
        """Hand over what was asked and answered; of a batch, the first instances are looked at."""
        if self._waiting.qsize() >= _MOST_WAITING:
            self._left_out += len(instances)
            return
        self._left_out += max(0, len(instances) - _MOST_INSTANCES)
        self._waiting.put((instances[:_MOST_INSTANCES], predictions[:_MOST_INSTANCES]))

    def counts(self) -> dict[str, Any]:
        """Return what has been seen so far, as numbers that can be added up over processes; see `told`."""
        return {
            "artefact": self.name,
            "compared": self._compared,
            "disagreed": self._disagreed,
            "left_out": self._left_out,
            "not_taken": self._not_taken,
            "failed": self._failed,
            "seconds": self._seconds,
            "difference": self._difference,
        }

    def _run(self) -> None:
        while (asked := self._waiting.get()) is not None:
            self._score(*asked)

    def _score(self, instances: Sequence[Instance], answers: Sequence[Prediction]) -> None:
        started = time.perf_counter()
        try:
            self._predictor.check(instances)
            own = self._predictor.predict(instances)
        except InstanceError:
            self._not_taken += len(instances)
            return
        except Exception:
            self._failed += len(instances)
            log.exception("%s failed in the shadow", self.name)
            return
        self._seconds += time.perf_counter() - started
        self._compared += len(own)
        for answer, other in zip(answers, own, strict=True):
            self._disagreed += _said(answer) != _said(other)
            if "value" in answer and "value" in other:
                self._difference += abs(answer["value"] - other["value"])


def told(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the shadows of one model have seen in all processes, ready for JSON.

    `disagreed` counts answers with another label, other labels, or another value. `not_taken` counts instances that the
    shadow's columns do not allow, and `left_out` those that it did not keep up with. `mean_difference` is that of
    values, without its sign.
    """
    sums = {key: sum(each[key] for each in counts) for key in counts[0] if key != "artefact"}
    seconds, difference, compared = sums.pop("seconds"), sums.pop("difference"), sums["compared"]
    state = {"artefact": counts[0]["artefact"], **sums}
    if compared:
        state["disagreement"] = sums["disagreed"] / compared
        state["ms_per_instance"] = seconds / compared * 1000
        if difference:
            state["mean_difference"] = difference / compared
    return state


def _said(prediction: Prediction) -> object:
    """Return what a prediction says, without how sure it is."""
    if "labels" in prediction:
        return {each["label"] for each in prediction["labels"]}
    return prediction.get("label", prediction.get("value"))
