"""What the test rows show of a model's scope: what it costs within the scope, beside what it finds outside of it."""

from typing import Any

from train.evaluation.answered import Answered
from train.models.scope import Scope


def measure(scope: Scope, answered: Answered) -> dict[str, Any]:
    """Return the evidence for a scope, that of the test rows included; see `predict.contract.metrics.OutOfScope`.

    Args:
        scope: What was found without the test rows.
        answered: The test rows, with their familiarity.
    """
    right, sure = answered.right(), answered.sure()
    none = scope.evidence.get("none_label")
    is_none = answered.truth == (-1 if none is None else answered.label_names.index(none))
    within, kept = ~is_none, ~is_none & sure
    shown: dict[str, Any] = {"test_rows": int(within.sum())}
    if within.any():
        shown["test_given_up"] = float(1 - sure[within].mean())
        shown["test_accuracy"] = float(right[within].mean())
    if kept.any():
        shown["test_accuracy_kept"] = float(right[kept].mean())
    if is_none.any():
        shown["test_none_rows"] = int(is_none.sum())
        shown["test_none_found"] = float(1 - sure[is_none].mean())
    return scope.evidence | shown
