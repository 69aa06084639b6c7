"""The profile of an artefact: how the values and the answers of its test rows are distributed.

Live traffic is compared with it. It holds shares, the edges of bins and frequent categories, and no row.
`predict.contract.counting` counts by it.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from predict.wording import counted

Count = Annotated[int, Field(ge=0)]
# Where a value is from: a field of the instance, all texts of an instance together, or the prediction.
Source = Literal["input", "texts", "answer"]
# What is counted of all texts together, and of a prediction. LABEL is, of a set of labels, the most probable one of it,
# and SCORE the highest probability.
UNKNOWN_SHARE = "unknown_share"
LABEL, LABELS_GIVEN, SCORE, VALUE = "label", "labels_given", "score", "value"
COUNTED_OF_TEXTS = (UNKNOWN_SHARE,)
COUNTED_OF_ANSWERS = (LABEL, LABELS_GIVEN, SCORE, VALUE)
# Bins of one dimension, at most; what training writes stays far below.
MOST_BINS = 1_000


class _Part(BaseModel):
    # As in the metadata, unknown keys are kept.
    model_config = ConfigDict(extra="allow", frozen=True)


class Dimension(_Part):
    """One thing that is counted: a column, the length of a text, the share of unknown words, the label, the score.

    A bin begins with its edge and ends before the next. A text is counted by its length in characters, a date only by
    whether it is there.
    """

    of: Source
    name: Annotated[str, Field(min_length=1)]
    # Either the edges between the bins of numbers, ascending, one less than there are bins; or the values that have a
    # bin each, followed by a bin for all other values.
    edges: Annotated[list[FiniteFloat], Field(max_length=MOST_BINS)] | None = None
    values: Annotated[list[str], Field(max_length=MOST_BINS)] | None = None
    # Whether the last bin is for missing values.
    missing: bool = False
    # How many test rows were in each bin.
    counts: list[Count]

    @property
    def num_bins(self) -> int:
        """How many bins there are, that of other values and that of missing ones included."""
        inner = self.edges if self.values is None else self.values
        return len(inner or ()) + 1 + self.missing

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.edges is None) == (self.values is None):
            raise ValueError(f"{self.name}: expected either edges or values")
        if any(left >= right for left, right in pairwise(self.edges or ())):
            raise ValueError(f"{self.name}: edges must ascend")
        if len(set(self.values or ())) != len(self.values or ()):
            raise ValueError(f"{self.name}: values must be distinct")
        if len(self.counts) != self.num_bins:
            expected = counted(self.num_bins, "count")
            raise ValueError(f"{self.name}: expected {expected}, got {len(self.counts)}")
        return self


class Profile(_Part):
    """The distribution of the test rows, dimension by dimension."""

    # How many test rows it rests on.
    rows: Count
    dimensions: list[Dimension]

    def check(self, input_types: Mapping[str, str]) -> None:
        """Check that it counts what a model has.

        Args:
            input_types: The type of every input, by name.

        Raises:
            ValueError: A dimension is there twice, is of something else, or has edges where values are expected.
        """
        known: dict[Source, Mapping[str, str] | tuple[str, ...]] = {
            "input": input_types,
            "texts": COUNTED_OF_TEXTS,
            "answer": COUNTED_OF_ANSWERS,
        }
        seen = set()
        for dimension in self.dimensions:
            place = f"profile: {dimension.name}"
            if dimension.name not in known[dimension.of]:
                raise ValueError(f"{place}: no such {dimension.of}")
            if (dimension.of, dimension.name) in seen:
                raise ValueError(f"{place}: is there twice")
            seen.add((dimension.of, dimension.name))
            has_values = (
                input_types[dimension.name] == "category"
                if dimension.of == "input"
                else dimension.name == LABEL
            )
            if has_values != (dimension.values is not None):
                raise ValueError(f"{place}: expected {'values' if has_values else 'edges'}")
