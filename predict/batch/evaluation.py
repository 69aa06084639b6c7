"""The measures of a file that has the truth: sums that are added up chunk by chunk, and metrics made of them.

They are those of `train.evaluation.measures`, but for what needs every score at once and so cannot be had in constant
memory: `Measured.needs_all_rows`.
"""

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Output
from predict.contract.metrics import Metrics
from predict.scoring.outputs import Prediction, Raw

# A row of sums, as JSON has it; those of several chunks are added up.
Sums = dict[str, Any]

BINS = 15
# A confusion matrix of more labels than this is too large to be read, and to be kept.
_MOST_IN_MATRIX = 100
_SHOWN_UNKNOWN = 5


def added(total: Sums, more: Sums) -> Sums:
    """Return two sums as one.

    >>> added({"rows": 1, "hits": [1, 0]}, {"rows": 2, "hits": [0, 1]})
    {'rows': 3, 'hits': [1, 1]}
    """
    return {key: _plus(total[key], more[key]) for key in more} if total else more


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, dict):
        return {key: left.get(key, 0) + right.get(key, 0) for key in {**left, **right}}
    if isinstance(left, list):
        return [_plus(a, b) for a, b in zip(left, right, strict=True)]
    return left + right


class Measured:
    """What can be measured of one model's answers."""

    def __init__(
        self, output: Output, positive_label: str | None = None, origin: float = 0.0
    ) -> None:
        """Take what the model answers.

        Args:
            output: Its output.
            positive_label: Which of two labels is the positive one; None if nobody has said so.
            origin: A usual value of a number, around which squares are added up, so that digits are not lost.
        """
        self._origin = origin
        self._output, self._labels = output, output.labels
        self._places = {label: place for place, label in enumerate(output.labels)}
        two = output.kind == "label" and len(output.labels) == 2
        self._positive = self._places.get(positive_label or "") if two else None

    @property
    def needs_all_rows(self) -> Sequence[str]:
        """What is not measured: ROC AUC and PR AUC rank all rows by their scores, and a median sorts all errors."""
        if self._output.kind == "number":
            return ("median_absolute_error",)
        return ("roc_auc", "pr_auc") if self._positive is not None else ()

    def sums(self, truths: Sequence[Any], predictions: Sequence[Prediction], raw: Raw) -> Sums:
        """Return the sums of some rows whose truth is known; see `truths.TruthReader`.

        Args:
            truths: Of the rows.
            predictions: Their answers.
            raw: What the model put out for them, <float>[num_rows, width].
        """
        if self._output.kind == "number":
            return self._number_sums(truths, predictions)
        if self._output.kind == "labels":
            return self._set_sums(truths, predictions, raw)
        return self._label_sums(truths, predictions, raw)

    def metrics(self, sums: Sums) -> dict[str, Any]:
        """Return the metrics of all rows, with the keys of `metrics.json`; `rows` says how many there were."""
        if not sums or not sums["rows"]:
            return {"rows": 0}
        of_kind = {
            "label": self._label_metrics,
            "labels": self._set_metrics,
            "number": self._number_metrics,
        }
        found = of_kind[self._output.kind](sums)
        Metrics.model_validate(found)
        return found

    # ---------------------------------------------------------------- one label

    def _label_sums(
        self, truths: Sequence[str], predictions: Sequence[Prediction], raw: Raw
    ) -> Sums:
        places, count = self._places, len(self._labels)
        answers = np.array([places[one["label"]] for one in predictions], np.int64)
        truth = np.array([places.get(label, -1) for label in truths], np.int64)
        known, right = truth >= 0, truth == answers
        unknown: dict[str, int] = {}
        for label, place in zip(truths, truth.tolist(), strict=True):
            if place < 0:
                name = label if label in unknown or len(unknown) < _SHOWN_UNKNOWN else ""
                unknown[name] = unknown.get(name, 0) + 1
        outputs = raw.astype(np.float64)
        outputs /= outputs.sum(axis=1, keepdims=True)
        of_truth = outputs[known, truth[known]]
        least = float(np.finfo(np.float64).eps)
        sums: Sums = {
            "rows": len(truths),
            "unknown": unknown,
            "right": int(right.sum()),
            "hits": np.bincount(answers[right], minlength=count).tolist(),
            "said": np.bincount(answers, minlength=count).tolist(),
            "support": np.bincount(truth[known], minlength=count).tolist(),
            "log_loss": -float(np.log(np.clip(of_truth, least, 1 - least)).sum()),
        }
        if count <= _MOST_IN_MATRIX:
            cells = truth[known] * count + answers[known]
            matrix = np.bincount(cells, minlength=count * count).reshape(count, count)
            sums["matrix"] = matrix.tolist()
        if self._positive is not None:
            confidence, came_true = outputs[:, self._positive], truth == self._positive
        else:
            confidence = raw[np.arange(len(answers)), answers].astype(np.float64)
            came_true = right
        sums |= _bins(confidence, came_true)
        if self._output.can_be_unsure:
            sure = np.array([not one.get("unsure") for one in predictions], bool)
            sums |= {"sure": int(sure.sum()), "right_and_sure": int((right & sure).sum())}
        return sums

    def _label_metrics(self, sums: Sums) -> dict[str, Any]:
        rows = sums["rows"]
        known = rows - sum(sums["unknown"].values())
        per_label = self._per_label(sums)
        # As scikit-learn has it: labels that are neither true nor answered do not count, unknown ones do.
        scores = [
            of["f1"]
            for of, said in zip(per_label.values(), sums["said"], strict=True)
            if of["support"] or said
        ]
        found: dict[str, Any] = {
            "rows": rows,
            "accuracy": sums["right"] / rows,
            "macro_f1": sum(scores) / max(1, len(scores) + len(sums["unknown"])),
        }
        if known:
            found["log_loss"] = sums["log_loss"] / known
        if self._positive is not None:
            positive = self._labels[self._positive]
            of = per_label[positive]
            found |= {key: of[key] for key in ("precision", "recall", "f1")}
            found["positive_label"] = positive
        found["ece"] = _ece(sums)
        if "sure" in sums:
            sure = sums["sure"]
            found["unsure_share"] = 1 - sure / rows
            found["accuracy_when_sure"] = sums["right_and_sure"] / sure if sure else 0.0
        found["per_label"] = per_label
        if "matrix" in sums:
            found["confusion_matrix"] = sums["matrix"]
        if sums["unknown"]:
            found["unknown_labels"] = sums["unknown"]
        return found

    def _per_label(self, sums: Sums) -> dict[str, Any]:
        per_label = {}
        triples = zip(sums["hits"], sums["said"], sums["support"], strict=True)
        for name, (hits, said, support) in zip(self._labels, triples, strict=True):
            per_label[name] = {
                "precision": hits / max(said, 1),
                "recall": hits / max(support, 1),
                "f1": 2 * hits / max(said + support, 1),
                "support": support,
            }
        return per_label

    # ------------------------------------------------------------- sets of labels

    def _set_sums(
        self, truths: Sequence[frozenset[str]], predictions: Sequence[Prediction], raw: Raw
    ) -> Sums:
        answers = [frozenset(one["label"] for one in given["labels"]) for given in predictions]
        truth, said = self._flags(truths), self._flags(answers)
        unknown = [len(labels - self._places.keys()) for labels in truths]
        outputs = raw.astype(np.float64)
        wrong = truth != said
        # What the model does not know cannot be answered: training leaves such labels out, too.
        return {
            "rows": len(truths),
            "unknown": sum(unknown),
            "exact": int((~wrong).all(axis=1).sum()),
            "wrong": int(wrong.sum()),
            "hits": (truth & said).sum(axis=0).tolist(),
            "said": said.sum(axis=0).tolist(),
            "support": truth.sum(axis=0).tolist(),
            "ranking": float(sum(map(_ranking_precision, truth, outputs))),
            **_bins(outputs.ravel(), truth.ravel()),
        }

    def _flags(self, sets: Sequence[frozenset[str]]) -> npt.NDArray[np.bool_]:
        flags = np.zeros((len(sets), len(self._labels)), bool)
        for row, labels in enumerate(sets):
            flags[row, [self._places[label] for label in labels if label in self._places]] = True
        return flags

    def _set_metrics(self, sums: Sums) -> dict[str, Any]:
        rows, per_label = sums["rows"], self._per_label(sums)
        hits, said, support = (sum(sums[key]) for key in ("hits", "said", "support"))
        found: dict[str, Any] = {
            "rows": rows,
            "micro_f1": 2 * hits / max(1, said + support),
            "macro_f1": sum(of["f1"] for of in per_label.values()) / len(per_label),
            "subset_accuracy": sums["exact"] / rows,
            "hamming_loss": sums["wrong"] / (rows * len(self._labels)),
            "ranking_precision": sums["ranking"] / rows,
            "ece": _ece(sums),
            "per_label": per_label,
        }
        return found | ({"unknown_labels": sums["unknown"]} if sums["unknown"] else {})

    # -------------------------------------------------------------------- numbers

    def _number_sums(self, truths: Sequence[float], predictions: Sequence[Prediction]) -> Sums:
        truth = np.array(truths, np.float64)
        errors = np.array([one["value"] for one in predictions], np.float64) - truth
        sums: Sums = {"rows": len(truths), "absolute": float(np.abs(errors).sum())}
        offsets = truth - self._origin
        with np.errstate(over="ignore"):
            sums |= {
                "square": float((errors**2).sum()),
                "offset": float(offsets.sum()),
                "offset_square": float((offsets**2).sum()),
            }
        if self._output.interval is not None:
            sums["within"] = int((np.abs(errors) <= self._output.interval.half_width).sum())
        return sums

    def _number_metrics(self, sums: Sums) -> dict[str, Any]:
        rows = sums["rows"]
        found: dict[str, Any] = {
            "rows": rows,
            "mae": sums["absolute"] / rows,
            "rmse": sqrt(sums["square"] / rows),
        }
        spread = sums["offset_square"] - sums["offset"] ** 2 / rows
        if rows > 1 and spread > 0:
            found["r2"] = 1 - sums["square"] / spread
        if (interval := self._output.interval) is not None:
            found["interval_coverage"] = sums["within"] / rows
            found["interval_width"] = 2 * interval.half_width
        return {key: value for key, value in found.items() if isfinite(value)}


def _bins(confidence: npt.NDArray[np.float64], came_true: npt.NDArray[np.bool_]) -> Sums:
    """Return by bin of equal width how probable something was said to be, and how often it came true."""
    edges = np.arange(BINS + 1) / BINS
    bins = np.searchsorted(edges[1:-1], confidence, side="left")
    return {
        "claims": len(confidence),
        "confidence": np.bincount(bins, confidence, BINS).tolist(),
        "came_true": np.bincount(bins, came_true, BINS).tolist(),
    }


def _ece(sums: Sums) -> float:
    pairs = zip(sums["confidence"], sums["came_true"], strict=True)
    return float(sum(abs(said - true) for said, true in pairs) / sums["claims"])


def _ranking_precision(truth: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    """Return the label ranking average precision of a row, as scikit-learn has it."""
    own = scores[truth]
    if not 0 < len(own) < len(scores):
        return 1.0
    ranks = (scores >= own[:, np.newaxis]).sum(axis=1)
    return float(((own >= own[:, np.newaxis]).sum(axis=1) / ranks).mean())
