"""What there is to see of the test rows beside the metrics: slices, mistakes, suspected labels, curves.

Everything here is small enough for `metrics.json`, however many test rows there are.
"""

from typing import Any

from train.data.splits import Prepared
from train.evaluation.answered import Answered
from train.evaluation.curves import draw_curves
from train.evaluation.mistakes import find_mistakes, find_suspects
from train.evaluation.slices import columns_of, measure_slices
from train.models.decision import Values


def gather(
    prepared: Prepared, answered: Answered, unknown_share: Values | None = None
) -> dict[str, Any]:
    """Gather what a person wants to see of the test rows.

    Args:
        prepared: What the model was fitted on; `evaluation.slices` names the columns that the test rows are sliced by.
        answered: The test rows.
        unknown_share: The share of unknown words of each test row, <float64>[num_rows]; None where it is not known.

    Returns:
        `slices`, `mistakes`, `suspects` and `curves`, as `measure_slices`, `find_mistakes`, `find_suspects` and
        `draw_curves` say; and `evidence`, what to know about them: the `least_rows` of a slice, how many slices are
        `too_small` or `not_shown`, and how many `mistakes` and `suspects` there are in all.
    """
    dataset, rows = prepared.dataset, prepared.split.test
    names = prepared.config.evaluation.slices
    columns = columns_of(dataset, rows, names, unknown_share)
    slices, about = measure_slices(answered, columns, chosen=bool(names))
    mistakes, num_mistakes = find_mistakes(dataset, rows, answered)
    suspects, num_suspects = find_suspects(dataset, rows, answered)
    return {
        "slices": slices,
        "mistakes": mistakes,
        "suspects": suspects,
        "curves": draw_curves(answered),
        "evidence": {**about, "mistakes": num_mistakes, "suspects": num_suspects},
    }
