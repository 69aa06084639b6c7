"""The labels of a regression as numbers: in the declared notation, or in the one that is evident from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from train.config.sections import NumberNotation
from train.data.notation import plain_numbers, sniff_numbers
from train.data.schema import as_numbers, is_missing_token


@dataclass(frozen=True)
class Quantities:
    """Texts that were read as numbers.

    Attributes:
        numbers: NaN where one is missing, and where a text is none.
        wrong: Where a text that is not missing is no number.
        notation: How the texts are written.
        evident: The keys of the notation, where it was evident rather than declared.
        doubt: Why no notation is evident, though the texts look like numbers; else empty.
    """

    numbers: "pd.Series[float]"
    wrong: "pd.Series[bool]"
    notation: NumberNotation
    evident: Mapping[str, str] = field(default_factory=dict)
    doubt: str = ""

    @property
    def are_numbers(self) -> bool:
        """Whether every text that is not missing is a number."""
        return not self.wrong.any()


def read_quantities(texts: "pd.Series[str]", declared: NumberNotation | None = None) -> Quantities:
    """Read texts as numbers; one that means missing is missing.

    >>> read_quantities(pd.Series(["1.163,74 €", "?"])).numbers.tolist()
    [1163.74, nan]
    """
    declared = declared or NumberNotation()
    numbers, wrong = _read(texts, declared)
    if declared.of_numbers or not wrong.any():
        return Quantities(numbers, wrong, declared)
    sniffed = sniff_numbers(texts[~is_missing_token(texts)])
    if sniffed is None or not sniffed.keys:
        return Quantities(numbers, wrong, declared, doubt=sniffed.doubt if sniffed else "")
    notation = NumberNotation.model_validate(sniffed.keys)
    return Quantities(*_read(texts, notation), notation, sniffed.keys)


def _read(
    texts: "pd.Series[str]", notation: NumberNotation
) -> tuple["pd.Series[float]", "pd.Series[bool]"]:
    if not notation.of_numbers:
        return as_numbers(texts)
    missing = is_missing_token(texts)
    return as_numbers(plain_numbers(texts, notation).mask(missing, ""))
