"""What is seen of one loaded model: its windows and its feedback, behind one door."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from predict.contract.artefact import Metadata
from predict.contract.counting import Instance
from predict.monitoring import drift, feedback
from predict.monitoring.feedback import MOST_REQUESTS, Feedback
from predict.monitoring.windows import Clock, UnknownShares, Windows

if TYPE_CHECKING:
    from predict.monitoring.prediction_log import PredictionLog


class ModelMonitor:
    """Watches one loaded model; a model that takes its place gets a monitor of its own. For any number of threads."""

    def __init__(
        self,
        metadata: Metadata,
        unknown_shares: UnknownShares | None = None,
        log: "PredictionLog | None" = None,
        feedback_requests: int = MOST_REQUESTS,
        clock: Clock = time.monotonic,
    ) -> None:
        """Watch from now on.

        Args:
            metadata: Of the artefact.
            unknown_shares: `Predictor.unknown_shares` of the model.
            log: Where predictions are written, if they are.
            feedback_requests: How many requests are remembered for `give`.
            clock: Seconds that never go back.
        """
        self._metadata, self._log = metadata, log
        self._windows = Windows(metadata, unknown_shares, clock)
        self._feedback = Feedback(metadata.outputs[0], clock, feedback_requests)

    def observe(
        self,
        request_id: str,
        instances: Sequence[Instance],
        predictions: Sequence[Mapping[str, Any]],
    ) -> None:
        """Note one answered request.

        Args:
            request_id: As the client knows it.
            instances: As they were scored.
            predictions: As they were answered.
        """
        self._windows.observe(instances, predictions)
        self._feedback.remember(request_id, predictions)
        if self._log is not None:
            self._log.predicted(request_id, self._metadata, instances, predictions)

    def answered_at(self, request_id: str) -> float | None:
        """Return when a request was answered, in seconds that never go back; None if that is not remembered."""
        return self._feedback.answered_at(request_id)

    def give(self, request_id: str, truths: Sequence[object]) -> int:
        """Take the truth of the answers to a request, and return how many were known; see `Feedback.give`.

        Raises:
            UnknownRequestError: No answer is remembered for the id.
            FeedbackGivenError: The truth was given before.
            FeedbackError: The truths do not fit the answers.
        """
        known = self._feedback.give(request_id, truths)
        if self._log is not None:
            self._log.learned(request_id, truths)
        return known

    def snapshot(self) -> dict[str, Any]:
        """Return all counts as JSON; `snapshots.merged` adds up those of several processes with the same artefact."""
        return {"windows": self._windows.snapshot(), "feedback": self._feedback.snapshot()}


def report(metadata: Metadata, snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of `GET /drift`: what `drift.report` says, and in `feedback` what `feedback.report` says.

    Args:
        metadata: Of the artefact.
        snapshot: What `ModelMonitor.snapshot` returns, or several of them added up.
    """
    found = drift.report(metadata.profile, snapshot["windows"])
    return {"model": metadata.name, **found, "feedback": feedback.report(snapshot["feedback"])}
