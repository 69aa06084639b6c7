"""The schema of a table: the types of its columns, inferred or declared, checked, and described for serving."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow

from predict.contract.artefact import Input
from predict.contract.canonical import Form, canonical, form_of, text_of
from predict.contract.notation import MISSING_TOKENS, as_number
from predict.contract.words import LATEST
from predict.wording import counted, listed
from train.config.sections import ColumnConfig, Columns, Notation
from train.data.notation import (
    offsets_of,
    plain_numbers,
    read_dates,
    show_keys,
    sniff_compact_dates,
    sniff_dates,
    sniff_numbers,
)

# Tokens of a missing value that are hardly ever words, wherever they are.
_HARDLY_WORDS = ("na", "n/a", "nan", "null", "#n/a")
# How many different values a column of categories may have: in a small table, and at most.
_FEW_CATEGORIES, _MOST_CATEGORIES = 20, 1000
# Rows for each category, on average, in a larger table.
_ROWS_PER_CATEGORY = 10
_WORDS_OF_A_TEXT = 3.0
# Digits that do not count anything, such as the postcode 02134.
_CODE = r"[+-]?0[0-9]+"
# Values that are no numbers, or no dates, are named if they are so few of them, and the others differ.
_FEW_BAD, _LEAST_GOOD = 0.1, 10
# Whole numbers with fewer characters have a double.
_EXACT_DIGITS = 15
_SHOWN, _LONGEST = 3, 80
_NAMES_SHOWN = 12
# Examples of a column are taken from its first rows.
_ROWS_OF_EXAMPLES = 200

Kind = str


@dataclass(frozen=True)
class Typed:
    """The inputs of a table: their types, and their values converted to these.

    Attributes:
        column_types: Column -> number, category, text or date, in the order of the table.
        values: A number is float64 with NaN for missing; anything else a str, empty for missing.
        ignored: Column -> why it is not an input.
        reasons: Input -> why it has its type.
        seen: Column -> the share of rows in which it is missing, and a few values as they are in the file.
        columns: What was declared, with the notations that were evident from the values.
        notes: What was evident, a sentence each.
        warnings: What is probably not as it was meant, a sentence each.
    """

    column_types: dict[str, Kind]
    values: pd.DataFrame
    ignored: dict[str, str]
    reasons: dict[str, str]
    seen: dict[str, tuple[float, tuple[str, ...]]]
    columns: Columns
    notes: list[str]
    warnings: list[str]


class _Column:
    """One column on its way to a type: what is declared, what was found, and what is to be told."""

    def __init__(self, name: str, raw: "pd.Series[Any]", columns: Columns) -> None:
        self.name = name
        self.raw = raw
        self.declared = columns.inputs.get(name, ColumnConfig())
        self.notation = columns.notation_of(name)
        self.kind: Kind = self.declared.kind or ("text" if name in (columns.text or ()) else "")
        self.reason = "as declared" if self.kind else ""
        self.sniffed: dict[str, Any] = {}
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def sniff(self, texts: "pd.Series[str]", kind: Kind) -> bool:
        """Adopt the notation of numbers or dates that the values have; return whether there is one."""
        sniffed = (sniff_numbers if kind == "number" else sniff_dates)(texts)
        if sniffed is None or self.notation.of_numbers or self.notation.date_format:
            return False
        if sniffed.doubt:
            self.warnings.append(f"{sniffed.doubt}, in columns.inputs.{self.name}")
            return False
        self.sniffed |= sniffed.keys
        self.notation = self.notation.model_copy(update=dict(sniffed.keys))
        return True

    def sniff_compact_dates(self, texts: "pd.Series[str]") -> bool:
        """Adopt the format of days that are written as whole numbers; return whether they are."""
        if self.notation.of_numbers or self.notation.of_dates:
            return False
        sniffed = sniff_compact_dates(texts)
        if sniffed is None:
            return False
        self.sniffed |= sniffed.keys
        self.notation = self.notation.model_copy(update=dict(sniffed.keys))
        return True

    def say_sniffed(self) -> None:
        """Say which notation was evident, in the keys that declare it."""
        if self.sniffed:
            keys = show_keys(self.sniffed)
            self.notes.append(f"{self.name}: read with {keys} (columns.inputs.{self.name})")

    @property
    def declares(self) -> ColumnConfig:
        """What is declared, and what was evident beside it."""
        return self.declared.model_copy(update=self.sniffed)


def type_columns(frame: pd.DataFrame, columns: Columns) -> tuple[Typed, list[str]]:
    """Give every column but the label a type, declared or inferred, and its values that type.

    Returns:
        The typed columns; and every violation of what was declared, a sentence each.
    """
    typed: list[_Column] = []
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name in _inputs_of(frame, columns):
        column = _Column(name, frame[name], columns)
        nested = [] if column.kind == "ignore" else find_nested(column.raw)
        if nested:
            problems.append(f"{name}: {nested[0]}. Flatten the column, or declare {name}: ignore")
            continue
        if not column.kind:
            column.kind, column.reason = _infer(column)
        if column.kind == "ignore":
            wrong = _check_missing(as_text(column.raw).str.strip(), column.declared)
        else:
            values[name], wrong = _convert(column)
            wrong += _check(values[name], column.declared)
        column.say_sniffed()
        typed.append(column)
        problems += [f"{name}: {problem}" for problem in wrong]
    return _gathered(typed, pd.DataFrame(values, index=frame.index), columns), problems


def _gathered(typed: Sequence[_Column], values: pd.DataFrame, columns: Columns) -> Typed:
    evident = {column.name: column.declares for column in typed if column.sniffed}
    return Typed(
        column_types={column.name: column.kind for column in typed if column.kind != "ignore"},
        values=values,
        ignored={column.name: column.reason for column in typed if column.kind == "ignore"},
        reasons={column.name: column.reason for column in typed if column.kind != "ignore"},
        seen={column.name: _seen(column, values) for column in typed},
        columns=columns.model_copy(update={"inputs": {**columns.inputs, **evident}}),
        notes=[note for column in typed for note in column.notes],
        warnings=[f"{column.name}: {why}" for column in typed for why in column.warnings],
    )


def _seen(column: _Column, values: pd.DataFrame) -> tuple[float, tuple[str, ...]]:
    typed, raw = values.get(column.name), column.raw
    missing = raw.isna() | (raw == "") if typed is None else is_missing(typed)
    texts = as_text(column.raw.iloc[:_ROWS_OF_EXAMPLES])
    examples = [text for text in texts.unique().tolist() if text.strip()][:_SHOWN]
    return float(missing.mean()) if len(missing) else 0.0, tuple(examples)


def describe_inputs(
    column_types: Mapping[str, Kind],
    frame: pd.DataFrame,
    training_rows: npt.NDArray[np.int64],
    columns: Columns,
) -> list[Input]:
    """Describe the inputs for clients of the model: what was declared, or else what training saw."""
    return [
        _describe(name, kind, frame[name], training_rows, columns)
        for name, kind in column_types.items()
    ]


def is_missing(values: "pd.Series[Any]") -> "pd.Series[bool]":
    """Return which values of a typed column are missing; a text of blanks is.

    >>> is_missing(pd.Series(["red", " "], dtype=object)).tolist()
    [False, True]
    """
    if values.dtype == float:
        return values.isna()
    return values.isin([text for text in values.unique().tolist() if not text or text.isspace()])


def is_missing_token(texts: "pd.Series[str]", also: Sequence[str] = ()) -> "pd.Series[bool]":
    """Return which texts mean a missing number or date; `also` are declared to.

    >>> is_missing_token(pd.Series(["3.5", "N/A", "?"])).tolist()
    [False, True, True]
    """
    missing = texts.str.lower().isin(MISSING_TOKENS)
    return missing | texts.isin(also) if also else missing


def unread_missing(texts: "pd.Series[Any]") -> list[str]:
    """Say which categories or labels look like a missing value, but are words like any other.

    >>> unread_missing(pd.Series(["m", "NA", "f", "NA"]))[0][:37]
    "'NA' is a word like any other, in 2 r"
    """
    different = [text for text in texts.unique().tolist() if text.lower() in _HARDLY_WORDS]
    if not different:
        return []
    rows = counted(int(texts.isin(different).sum()), "row")
    shown, verb = " and ".join(map(repr, different)), "is" if len(different) == 1 else "are each"
    return [
        f"{shown} {verb} a word like any other, in {rows}. If a missing value is meant, set "
        f"columns.missing: {json.dumps(different)}"
    ]


def as_text(column: "pd.Series[Any]") -> "pd.Series[str]":
    """Return a column as strings, as a request would send the values.

    >>> as_text(pd.Series([3.0, True, None, "x"], dtype=object)).tolist()
    ['3', 'true', '', 'x']
    """
    if isinstance(column.dtype, pd.StringDtype):  # of pyarrow, in a fraction of the time
        return column.fillna("")
    known = column.notna().tolist()
    values = [
        value.item() if isinstance(value, np.generic) else value
        for value in column.astype(object).tolist()
    ]
    shown = [text_of(value) if there else "" for value, there in zip(values, known, strict=True)]
    return pd.Series(shown, column.index, dtype=object)


def as_categories(texts: "pd.Series[str]", also: Sequence[str] = ()) -> "pd.Series[Any]":
    """Return categories or labels in their one form; `also` are written elsewhere, and must have it too.

    >>> as_categories(pd.Series(["True", "FALSE ", ""])).tolist()
    ['true', 'false', '']
    >>> as_categories(pd.Series(["1.0", "2"])).tolist(), as_categories(pd.Series(["1.0", "x"])).tolist()
    (['1', '2'], ['1.0', 'x'])
    """
    known = texts.unique().tolist()
    form = form_of([*(text.strip() for text in known), *also])
    kept = {text: canonical(text, form) for text in known}
    return texts.map(kept).astype(object)


def as_numbers(texts: "pd.Series[str]") -> tuple["pd.Series[float]", "pd.Series[bool]"]:
    """Read numbers as Python and JSON do, to the last bit.

    Returns:
        The numbers, NaN where one is missing; and where something is not a number.

    >>> numbers, wrong = as_numbers(pd.Series(["1e3", "n/a", "many"]))
    >>> numbers.tolist(), wrong.tolist()
    ([1000.0, nan, nan], [False, False, True])
    """
    try:
        numbers = _cast(texts)
        if not numbers.isna().any():
            return numbers, pd.Series(False, texts.index)
    except ValueError:
        pass
    texts = texts.str.strip()
    missing = is_missing_token(texts)
    known = texts.mask(missing, "nan")
    try:
        numbers = _cast(known)
    except ValueError:
        numbers = _for_each_value(known, as_number).astype(float)
    return numbers, numbers.isna() & ~missing


def find_nested(column: "pd.Series[Any]") -> list[str]:
    """Say which values of a column are lists, objects or bytes, which a table may not hold.

    >>> find_nested(pd.Series(["red", [1, 2]], dtype=object))
    ["1 row is a list, an object or bytes, the first is row 2: '[1, 2]'"]
    """
    if column.dtype != object:
        return []
    wrong = column.map(lambda value: isinstance(value, (list, tuple, dict, np.ndarray, bytes)))
    return _rows(column.map(repr), wrong, "a list, an object or bytes") if wrong.any() else []


def _cast(texts: "pd.Series[str]") -> "pd.Series[float]":
    """Read numbers fast; raise ValueError if there is anything else, blanks included."""
    numbers = pyarrow.array(texts, pyarrow.large_string()).cast(pyarrow.float64())
    return pd.Series(numbers.to_numpy(zero_copy_only=False), texts.index)


def _for_each_value(texts: "pd.Series[str]", function: Callable[[str], Any]) -> "pd.Series[Any]":
    """Apply a function once to each different text, which a column mostly repeats."""
    codes, different = pd.factorize(texts.astype(object))
    values = np.array([function(text) for text in different])
    return pd.Series(values[codes] if len(codes) else values, texts.index)


def _inputs_of(frame: pd.DataFrame, columns: Columns) -> list[str]:
    if columns.text is None:
        return [name for name in frame.columns if name != columns.label]
    return list(dict.fromkeys([*columns.text, *columns.inputs]))  # none of them is the label


def _infer(column: _Column) -> tuple[Kind, str]:
    """Return a type, and why."""
    raw = column.raw
    if pd.api.types.is_bool_dtype(raw.dtype):
        return "category", "true or false"
    if pd.api.types.is_datetime64_any_dtype(raw.dtype):
        return "date", "dates in the file"
    if pd.api.types.is_numeric_dtype(raw.dtype) and not column.notation.missing:
        if pd.api.types.is_integer_dtype(raw.dtype) and column.sniff_compact_dates(as_text(raw)):
            return "date", "every value is a date"
        return _infer_number(raw.astype(float))
    return _infer_from_texts(column, as_text(raw).str.strip())


def _infer_number(numbers: "pd.Series[float]") -> tuple[Kind, str]:
    known = numbers.dropna()
    if known.empty:
        return "ignore", "empty in every row"
    if known.nunique() == 1 and len(known) == len(numbers):
        return "ignore", "the same in every row"
    consecutive = (
        len(known) == len(numbers)
        and len(known) > _FEW_CATEGORIES
        and known.max() - known.min() + 1 == len(known)
        and bool((known % 1 == 0).all())
        and known.is_unique
    )
    return (
        ("ignore", "it numbers the rows") if consecutive else ("number", "every value is a number")
    )


def _infer_from_texts(column: _Column, texts: "pd.Series[str]") -> tuple[Kind, str]:
    texts = texts.mask(texts.isin(column.notation.missing), "")
    known = texts[~is_missing_token(texts)]
    codes = known.str.fullmatch(_CODE)
    if codes.any() and not column.notation.of_numbers:
        return _infer_from_codes(texts, known[codes])
    numbers, no_number = _read_numbers(column, texts)
    if no_number.any() and column.sniff(known, "number"):
        numbers, no_number = _read_numbers(column, texts)
    no_number |= np.isinf(numbers)
    if not no_number.any():
        if column.sniff_compact_dates(known):
            return "date", "every value is a date"
        return _infer_number(numbers)
    no_date = ~_for_each_value(_read_dates(column, known), _is_date).astype(bool)
    if no_date.any() and not column.sniffed and column.sniff(known, "date"):
        no_date = ~_for_each_value(_read_dates(column, known), _is_date).astype(bool)
    if not no_date.any():
        return "date", "every value is a date"
    kind, reason = _infer_from_words(texts, no_number)
    if kind != "text":
        column.warnings += _few_bad(kind, known, no_number[known.index], "a number")
        column.warnings += _few_bad(kind, known, no_date, "a date")
    column.sniffed.clear()  # what only nearly all values have is not declared
    return kind, reason


def _infer_from_words(texts: "pd.Series[str]", no_number: "pd.Series[bool]") -> tuple[Kind, str]:
    known = texts[texts != ""]
    different = known.nunique()
    if different == 1 and len(known) == len(texts):
        return "ignore", "the same in every row"
    if different <= _most_categories(len(known)):
        return "category", f"{counted(different, 'different value')} in {len(known):,} rows"
    if known.str.count(r"\S+").mean() >= _WORDS_OF_A_TEXT:
        return "text", "many different values of several words"
    return "ignore", _why_nothing(known, no_number)


def _few_bad(kind: Kind, known: "pd.Series[str]", wrong: "pd.Series[bool]", what: str) -> list[str]:
    """Warn of a few values that keep a column from being numbers or dates."""
    bad, good = known[wrong], known[~wrong]
    few = len(bad) <= _FEW_BAD * len(known) or (bad.nunique() <= _SHOWN and len(bad) < len(good))
    if not few or good.nunique() < _LEAST_GOOD:
        return []
    cells = list(dict.fromkeys(bad.tolist()))[:_SHOWN]
    shown = ", ".join(f"{_shown(cell)} (row {_row_of(bad, cell)})" for cell in cells)
    verb = "is not" if len(bad) == 1 else "are not"
    taken = "left out" if kind == "ignore" else f"taken for a {kind}"
    keys = json.dumps(cells, ensure_ascii=False)
    return [
        f"{taken}, because {len(bad):,} of {len(known):,} values {verb} {what}: {shown}. "
        f"If this means a missing value, set columns.missing: {keys}; {_if_no_row(bad, known)}"
        "or declare the type in columns.inputs"
    ]


def _if_no_row(bad: "pd.Series[str]", known: "pd.Series[str]") -> str:
    """Say what a single value at either end of a column may be."""
    ends = {known.index[-1]: "a total", known.index[0]: "a second header"}
    what = ends.get(bad.index[0]) if len(bad) == 1 else None
    return f"if the row is {what}, remove it; " if what else ""


def _row_of(values: "pd.Series[str]", cell: str) -> int:
    return int(values.index[(values == cell).to_numpy()][0]) + 1


def _read_numbers(
    column: _Column, texts: "pd.Series[str]"
) -> tuple["pd.Series[float]", "pd.Series[bool]"]:
    missing = is_missing_token(texts, column.notation.missing)
    if not column.notation.of_numbers and not column.notation.missing:
        return as_numbers(texts)
    return as_numbers(plain_numbers(texts.mask(missing, ""), column.notation).mask(missing, ""))


def _read_dates(column: _Column, texts: "pd.Series[str]") -> "pd.Series[Any]":
    missing = is_missing_token(texts, column.notation.missing)
    return read_dates(texts.mask(missing, ""), column.notation)


def _infer_from_codes(texts: "pd.Series[str]", codes: "pd.Series[str]") -> tuple[Kind, str]:
    known = texts[texts != ""]
    why = f"digits with leading zeros, such as {_shown(codes.iloc[0])}"
    if known.nunique() <= _most_categories(len(known)):
        return "category", why
    return "ignore", f"{why}; {known.nunique():,} different values are too many for categories"


def _most_categories(rows: int) -> int:
    return max(_FEW_CATEGORIES, min(_MOST_CATEGORIES, rows // _ROWS_PER_CATEGORY))


def _why_nothing(known: "pd.Series[str]", no_number: "pd.Series[bool]") -> str:
    wrong = known[no_number[known.index]]
    if len(wrong) < len(known) / 2:
        verb = "is not" if len(wrong) == 1 else "are not"
        return (
            f"numbers, but {len(wrong):,} of {len(known):,} {verb}, such as {_shown(wrong.iloc[0])}"
        )
    return (
        f"{known.nunique():,} different values in {len(known):,} rows: "
        "too many for categories, too short for texts"
    )


def are_dates(texts: "pd.Series[str]") -> bool:
    """Return whether texts, none of them missing, are all dates: as ISO 8601 or otherwise, in doubt or not.

    >>> are_dates(pd.Series(["2024-01-31T10:00Z"])), are_dates(pd.Series(["31.01.2024"])), are_dates(pd.Series(["x"]))
    (True, True, False)
    """
    sniffed = sniff_dates(texts)
    if sniffed is not None and sniffed.doubt:
        return True
    notation = Notation.model_validate({} if sniffed is None else sniffed.keys)
    return all(map(_is_date, read_dates(texts, notation).unique().tolist()))


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _convert(column: _Column) -> tuple["pd.Series[Any]", list[str]]:
    """Convert the values of a column to its type; also return what could not be converted."""
    kind, raw, missing = column.kind, column.raw, column.notation.missing
    if kind == "number" and pd.api.types.is_numeric_dtype(raw.dtype) and not missing:
        column.warnings += _inexact(raw)
        return _finite(raw.astype(float))
    texts = as_text(raw)
    if kind == "text":
        return texts.astype(object), []
    texts = texts.str.strip()
    if kind == "category":
        known = texts.mask(texts.isin(missing), "")
        column.warnings += [] if column.declared.categories else unread_missing(known)
        return as_categories(known, column.declared.categories or ()), []
    if kind == "number":
        return _convert_numbers(column, texts)
    return _convert_dates(column, texts)


def _convert_numbers(
    column: _Column, texts: "pd.Series[str]"
) -> tuple["pd.Series[Any]", list[str]]:
    numbers, wrong = _read_numbers(column, texts)
    if wrong.any() and not column.sniffed:
        known = texts[~is_missing_token(texts, column.notation.missing)]
        if column.sniff(known, "number"):
            numbers, wrong = _read_numbers(column, texts)
    column.warnings += _inexact(texts)
    values, infinite = _finite(numbers)
    return values, [*_rows(texts, wrong, "not a number", hint=True), *infinite]


def _convert_dates(column: _Column, texts: "pd.Series[str]") -> tuple["pd.Series[Any]", list[str]]:
    dates = _read_dates(column, texts)
    wrong = (dates != "") & ~_for_each_value(dates, _is_date).astype(bool)
    if wrong.any() and not column.sniffed:
        known = texts[~is_missing_token(texts, column.notation.missing)]
        if column.sniff(known, "date"):
            dates = _read_dates(column, texts)
            wrong = (dates != "") & ~_for_each_value(dates, _is_date).astype(bool)
    if not wrong.any():
        _choose_zone(column, dates)
    return dates, _rows(texts, wrong, "not an ISO 8601 date (2024-01-31)", hint=True)


def _choose_zone(column: _Column, dates: "pd.Series[Any]") -> None:
    """Read the parts of dates with UTC offsets in one zone: the declared one, the single offset, or UTC."""
    offsets = offsets_of(dates)
    if column.notation.timezone is not None or not offsets:
        return
    zone = next(iter(offsets)) if len(offsets) == 1 else "UTC"
    column.sniffed["timezone"] = zone
    if len(offsets) > 1:
        shown = listed(sorted(offsets), _SHOWN)
        column.notes.append(
            f"{column.name}: UTC offsets differ ({shown}), so the parts are those in UTC"
        )


def _inexact(values: "pd.Series[Any]") -> list[str]:
    """Warn of whole numbers that no double is equal to."""
    texts = values.dropna().astype(str)
    long = texts[texts.str.len() > _EXACT_DIGITS]
    long = long[long.str.fullmatch(r"[+-]?[0-9]+")]
    wrong = long[[int(text) != int(float(text)) for text in long.tolist()]]
    if wrong.empty:
        return []
    return [
        f"{counted(len(wrong), 'value')} cannot be kept exactly in a number, such as {wrong.iloc[0]}. "
        "Ids are categories: declare category or ignore in columns.inputs"
    ]


def _finite(numbers: "pd.Series[float]") -> tuple["pd.Series[float]", list[str]]:
    return numbers, _rows(numbers, numbers.abs() == math.inf, "not finite")


def _check(values: "pd.Series[Any]", declared: ColumnConfig) -> list[str]:
    """Compare the values of a column with what was declared."""
    problems = []
    if values.dtype == float:
        if declared.minimum is not None:
            below = values < declared.minimum
            problems += _rows(values, below, f"below the minimum {declared.minimum:g}")
        if declared.maximum is not None:
            above = values > declared.maximum
            problems += _rows(values, above, f"above the maximum {declared.maximum:g}")
    elif declared.categories is not None:
        other = (values != "") & ~values.isin(_declared_categories(values, declared))
        problems += _rows(values, other, f"none of {', '.join(declared.categories)}")
    return problems + _check_missing(values, declared)


def _check_missing(values: "pd.Series[Any]", declared: ColumnConfig) -> list[str]:
    share = float(is_missing(values).mean()) if len(values) else 0.0
    if declared.max_missing is None or share <= declared.max_missing:
        return []
    return [f"missing in {share:.1%} of the rows, at most {declared.max_missing:.1%} is declared"]


def _rows(
    values: "pd.Series[Any]", wrong: "pd.Series[bool]", what: str, hint: bool = False
) -> list[str]:
    if not wrong.any():
        return []
    examples = ", ".join(map(_shown, values[wrong].unique().tolist()[:_SHOWN]))
    first = int(values.index[wrong.to_numpy()][0]) + 1
    count = int(wrong.sum())
    rows = "1 row is" if count == 1 else f"{count:,} rows are"
    mend = ". If it means missing, set columns.missing" if hint else ""
    return [f"{rows} {what}, the first is row {first}: {examples}{mend}"]


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def _describe(
    name: str,
    kind: Kind,
    values: "pd.Series[Any]",
    training_rows: npt.NDArray[np.int64],
    columns: Columns,
) -> Input:
    declared, notation = columns.inputs.get(name, ColumnConfig()), columns.notation_of(name)
    missing = is_missing(values)
    lacking = missing.iloc[training_rows]
    seen = values.iloc[training_rows][~lacking]
    schema: dict[str, Any] = {
        "name": name,
        "type": kind,
        "nullable": bool(missing.any() or declared.max_missing),
        "missing_share": round(float(lacking.mean()), 6) if len(lacking) else 0.0,
    }
    if kind == "number":
        schema |= notation.marks._asdict()
        smallest, largest = (seen.min(), seen.max()) if len(seen) else (None, None)
        schema["minimum"], schema["maximum"] = smallest, largest
        if declared.minimum is not None:
            schema["minimum"], schema["seen_minimum"] = declared.minimum, smallest
        if declared.maximum is not None:
            schema["maximum"], schema["seen_maximum"] = declared.maximum, largest
    if kind == "category":
        categories = _declared_categories(values, declared)
        schema["categories"] = categories or sorted(seen.unique())
        schema["seen_categories"] = sorted(seen.unique()) if categories else None
        schema["form"] = _form_of(values, declared)
    if kind != "text":
        schema["missing"] = notation.missing or None
    if kind == "text":
        schema["tokenizer"] = LATEST
    if kind == "date":
        schema["date_format"], schema["timezone"] = notation.date_format, notation.timezone
    return Input(**schema)


def _declared_categories(values: "pd.Series[Any]", declared: ColumnConfig) -> list[str]:
    """Return the declared categories in the form of the column's values."""
    form = _form_of(values, declared)
    return list(dict.fromkeys(canonical(name, form) for name in declared.categories or ()))


def _form_of(values: "pd.Series[Any]", declared: ColumnConfig) -> Form | None:
    """Return the form that the values of a typed column have; None if rows that were dropped had another."""
    known = values.unique().tolist()
    form = form_of([*known, *(declared.categories or ())])
    return form if all(canonical(value, form) == value for value in known) else None


def summarise(column_types: Mapping[str, Kind], ignored: Mapping[str, str]) -> list[str]:
    """Say which column has which type, and why a column is ignored.

    >>> summarise({"age": "number", "sex": "category"}, {"id": "it numbers the rows"})
    ['1 number: age', '1 category: sex', 'ignored: id (it numbers the rows)']
    """
    lines = []
    for kind in ("number", "category", "text", "date"):
        names = [name for name, column_type in column_types.items() if column_type == kind]
        if names:
            lines.append(f"{counted(len(names), kind)}: {listed(names, _NAMES_SHOWN)}")
    lines += [f"ignored: {name} ({reason})" for name, reason in ignored.items()]
    return lines
