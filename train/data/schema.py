"""The schema of a table: the types of its columns, inferred or declared, checked, and described for serving."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow

from predict.contract.artefact import Input
from predict.contract.canonical import Form, canonical, form_of, text_of
from predict.wording import counted, listed
from train.config.sections import ColumnConfig, Columns

# What files have in place of a missing number or date. In a column of texts these may be words.
_MISSING = frozenset(("", "?", "-", "na", "n/a", "nan", "null", "none", "#n/a"))
# How many different values a column of categories may have: in a small table, and at most.
_FEW_CATEGORIES, _MOST_CATEGORIES = 20, 1000
# Rows for each category, on average, in a larger table.
_ROWS_PER_CATEGORY = 10
_WORDS_OF_A_TEXT = 3.0
# Digits that do not count anything, such as the postcode 02134.
_CODE = r"[+-]?0[0-9]+"
_SHOWN, _LONGEST = 3, 80
_NAMES_SHOWN = 12

Kind = str


@dataclass(frozen=True)
class Typed:
    """The inputs of a table: their types, and their values converted to these.

    Attributes:
        column_types: Column -> number, category, text or date, in the order of the table.
        values: A number is float64 with NaN for missing; anything else a str, empty for missing.
        ignored: Column -> why it is not an input.
    """

    column_types: dict[str, Kind]
    values: pd.DataFrame
    ignored: dict[str, str]


def type_columns(frame: pd.DataFrame, columns: Columns) -> tuple[Typed, list[str]]:
    """Give every column but the label a type, declared or inferred, and its values that type.

    Returns:
        The typed columns; and every violation of what was declared, a sentence each.
    """
    column_types: dict[str, Kind] = {}
    values: dict[str, Any] = {}
    ignored: dict[str, str] = {}
    problems: list[str] = []
    texts = columns.text or []
    for name in _inputs_of(frame, columns):
        declared = columns.inputs.get(name, ColumnConfig())
        kind: Kind = declared.kind or ("text" if name in texts else "")
        reason = "as declared"
        nested = [] if kind == "ignore" else find_nested(frame[name])
        if nested:
            problems.append(f"{name}: {nested[0]}. Flatten the column, or declare {name}: ignore")
            continue
        if not kind:
            kind, reason = _infer(frame[name])
        if kind != "ignore":
            column_types[name] = kind
            values[name], wrong = _convert(frame[name], kind, declared)
            wrong += _check(values[name], declared)
        else:
            ignored[name] = reason
            wrong = _check_missing(as_text(frame[name]).str.strip(), declared)
        problems += [f"{name}: {problem}" for problem in wrong]
    return Typed(column_types, pd.DataFrame(values, index=frame.index), ignored), problems


def describe_inputs(
    column_types: Mapping[str, Kind],
    frame: pd.DataFrame,
    training_rows: npt.NDArray[np.int64],
    columns: Columns,
) -> list[Input]:
    """Describe the inputs for clients of the model: what was declared, or else what training saw."""
    return [
        _describe(name, kind, frame[name], training_rows, columns.inputs.get(name, ColumnConfig()))
        for name, kind in column_types.items()
    ]


def is_missing(values: "pd.Series[Any]") -> "pd.Series[bool]":
    """Return which values of a typed column are missing; a text of blanks is.

    >>> is_missing(pd.Series(["red", " "], dtype=object)).tolist()
    [False, True]
    """
    return values.isna() if values.dtype == float else values.str.strip() == ""


def is_missing_token(texts: "pd.Series[str]") -> "pd.Series[bool]":
    """Return which texts mean a missing number or date.

    >>> is_missing_token(pd.Series(["3.5", "N/A", "?"])).tolist()
    [False, True, True]
    """
    return texts.str.lower().isin(_MISSING)


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
        return _cast(texts), pd.Series(False, texts.index)
    except ValueError:
        texts = texts.str.strip()
    missing = is_missing_token(texts)
    known = texts.mask(missing, "nan")
    try:
        numbers = _cast(known)
    except ValueError:
        numbers = pd.Series([_as_number(text) for text in known.tolist()], texts.index, dtype=float)
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


def _as_number(text: str) -> float:
    try:
        return math.nan if "_" in text else float(text)  # Python reads 1_2 as 12
    except ValueError:
        return math.nan


def _inputs_of(frame: pd.DataFrame, columns: Columns) -> list[str]:
    if columns.text is None:
        return [name for name in frame.columns if name != columns.label]
    return list(dict.fromkeys([*columns.text, *columns.inputs]))  # none of them is the label


def _infer(column: "pd.Series[Any]") -> tuple[Kind, str]:
    """Return a type; for `ignore` also why."""
    if pd.api.types.is_bool_dtype(column.dtype):
        return "category", ""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "date", ""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return _infer_from_texts(as_text(column).str.strip())
    return _infer_number(column.astype(float))


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
    return ("ignore", "it numbers the rows") if consecutive else ("number", "")


def _infer_from_texts(texts: "pd.Series[str]") -> tuple[Kind, str]:
    numbers, other = as_numbers(texts)
    codes = texts.str.fullmatch(_CODE)
    if codes.any():
        return _infer_from_codes(texts, texts[codes])
    if not other.any() and not np.isinf(numbers).any():
        return _infer_number(numbers)
    known = texts[~is_missing_token(texts)]
    if known.map(_is_date).all():
        return "date", ""
    known = texts[texts != ""]
    different = known.nunique()
    if different == 1 and len(known) == len(texts):
        return "ignore", "the same in every row"
    if different <= _most_categories(len(known)):
        return "category", ""
    if known.str.count(r"\S+").mean() >= _WORDS_OF_A_TEXT:
        return "text", ""
    return "ignore", _why_nothing(known, other | np.isinf(numbers))


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


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _convert(
    column: "pd.Series[Any]", kind: Kind, declared: ColumnConfig
) -> tuple["pd.Series[Any]", list[str]]:
    """Convert the values of a column to its type; also return what could not be converted."""
    if kind == "number" and pd.api.types.is_numeric_dtype(column.dtype):
        return _finite(column.astype(float))
    texts = as_text(column)
    if kind == "text":
        return texts.astype(object), []
    texts = texts.str.strip()
    if kind == "category":
        return as_categories(texts, declared.categories or ()), []
    if kind == "number":
        numbers, wrong = as_numbers(texts)
        values, infinite = _finite(numbers)
        return values, [*_rows(texts, wrong, "not a number"), *infinite]
    missing = is_missing_token(texts)
    dates = texts.mask(missing, "").astype(object)
    wrong = ~missing & ~dates.map(_is_date)
    return dates, _rows(texts, wrong, "not an ISO 8601 date (2024-01-31)")


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


def _rows(values: "pd.Series[Any]", wrong: "pd.Series[bool]", what: str) -> list[str]:
    if not wrong.any():
        return []
    examples = ", ".join(map(_shown, values[wrong].unique().tolist()[:_SHOWN]))
    first = int(values.index[wrong.to_numpy()][0]) + 1
    count = int(wrong.sum())
    rows = "1 row is" if count == 1 else f"{count:,} rows are"
    return [f"{rows} {what}, the first is row {first}: {examples}"]


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def _describe(
    name: str,
    kind: Kind,
    values: "pd.Series[Any]",
    training_rows: npt.NDArray[np.int64],
    declared: ColumnConfig,
) -> Input:
    missing = is_missing(values)
    seen = values.iloc[training_rows][~missing.iloc[training_rows]]
    schema: dict[str, Any] = {
        "name": name,
        "type": kind,
        "nullable": bool(missing.any() or declared.max_missing),
        "missing_share": round(float(missing.iloc[training_rows].mean()), 6),
    }
    if kind == "number":
        smallest, largest = (seen.min(), seen.max()) if len(seen) else (None, None)
        schema["minimum"] = smallest if declared.minimum is None else declared.minimum
        schema["maximum"] = largest if declared.maximum is None else declared.maximum
    if kind == "category":
        categories = _declared_categories(values, declared)
        schema["categories"] = categories or sorted(seen.unique())
        schema["form"] = _form_of(values, declared)
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
