"""The file formats whose values have types: JSON, Excel and Parquet."""

import json
import re
import warnings
import zipfile
from collections.abc import Sequence
from datetime import date, datetime, time
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from predict.contract.prediction_lines import INSTANCE, is_prediction_log, labelled_rows
from predict.contract.reading import object_of
from predict.wording import counted, listed, suggestion
from train.errors import DatasetError
from train.progress import Progress

_FORMULAS_SHOWN = 3
# How files of old Office programs begin, and those with a password.
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


# ----------------------------------------------------------------------- JSON


def read_json(path: Path, text: str) -> pd.DataFrame:
    """Read an array of objects, or one object a line; numbers, booleans and texts keep their types.

    Of a log of predictions, the inputs are read that feedback gave a truth for.
    """
    rows = _of_array(path, text) if text.lstrip().startswith("[") else _of_lines(path, text)
    if is_prediction_log(rows):
        rows = _of_prediction_log(path, rows)
    return pd.DataFrame(rows, dtype=object)  # a missing number would make all of them floats


def _of_array(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        rows = json.loads(text, object_pairs_hook=object_of)
    except json.JSONDecodeError as error:
        if path.suffix.lower() != ".json" and error.msg == "Extra data":
            return _of_lines(path, text)
        raise DatasetError(f"{path}, line {error.lineno}: not JSON ({error}).") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: not JSON ({error}).") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DatasetError(
                f"{path}: item {number} of the array: expected an object, got {type(row).__name__}."
            )
    return list(rows)


def _of_lines(path: Path, text: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(re.split("\r\n|\n|\r", text), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=object_of)
        except (ValueError, RecursionError) as error:
            hint = " Expected an array of objects, or one object a line." if not rows else ""
            raise DatasetError(f"{path}, line {number}: not JSON ({error}).{hint}") from None
        if not isinstance(row, dict):
            raise DatasetError(
                f"{path}, line {number}: expected an object, got {type(row).__name__}."
            )
        rows.append(row)
    return rows


def _of_prediction_log(path: Path, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    if not any(INSTANCE in line for line in lines):
        raise DatasetError(
            f"{path}: a log of predictions without their inputs. Set LOG_PREDICTIONS_INPUTS=true in conf/predict.conf, "
            "and train on what is logged from then on."
        )
    try:
        rows = labelled_rows(lines)
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: begins as a log of predictions, but a line is none ({error!r}). "
            "Expected the lines as the server wrote them."
        ) from None
    if not rows:
        raise DatasetError(
            f"{path}: a log of predictions without feedback: no line tells what was true. "
            "Send it to POST /feedback, and train on what is logged from then on."
        )
    return rows


# ---------------------------------------------------------------------- Excel


def read_excel(
    path: Path, raw: bytes, sheet: str | None, max_bytes: int, progress: Progress
) -> pd.DataFrame:
    """Read a sheet of a workbook, by default the first; the first row that is not empty has the names."""
    if raw.startswith(_OLD_OFFICE):
        raise DatasetError(
            f"{path}: not .xlsx but an old Excel workbook (.xls), or one with a password. Open it in a spreadsheet "
            "program and save it as .xlsx without a password, or the sheet as CSV."
        )
    try:
        with zipfile.ZipFile(BytesIO(raw)) as archive:
            sizes = [entry.file_size for entry in archive.infolist()]
        if sum(sizes) > max_bytes:
            raise DatasetError(
                f"{path}: unpacks to {sum(sizes):,} bytes, more than {max_bytes:,} (max_dataset_bytes)."
            )
        values, formulas = (_sheet_of(path, raw, sheet, data_only) for data_only in (True, False))
    except DatasetError:
        raise
    except Exception as error:  # openpyxl raises whatever a broken part of a workbook leads to
        raise DatasetError(
            f"{path}: not an Excel workbook (.xlsx) that can be read ({error}). Save it anew, or export it as CSV."
        ) from None
    name, others, rows = values
    if others:
        progress.say(f"dataset: sheet {name!r} is read, not {listed(others)} (`sheet:`)")
    _refuse_unknown_results(path, rows, formulas[2])
    return _frame_of(path, rows, progress)


def _sheet_of(
    path: Path, raw: bytes, sheet: str | None, data_only: bool
) -> tuple[str, list[str], list[tuple[Any, ...]]]:
    """Return the name of the sheet that is read, those of the others, and the rows."""
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that do not matter here, such as styles
        book = load_workbook(BytesIO(raw), read_only=True, data_only=data_only)
        try:
            sheets = {worksheet.title: worksheet for worksheet in book.worksheets}
            name = next(iter(sheets)) if sheet is None else sheet
            if name not in sheets:
                raise DatasetError(f"{path}: no sheet {name!r}.{suggestion(name, list(sheets))}")
            sheets[name].reset_dimensions()  # what a file says of its size may be wrong
            rows = list(sheets[name].iter_rows(values_only=True))
        finally:
            book.close()
    return name, [other for other in sheets if other != name], rows


def _refuse_unknown_results(
    path: Path, values: Sequence[tuple[Any, ...]], formulas: Sequence[tuple[Any, ...]]
) -> None:
    """Refuse formulas whose results were not saved; they would seem to be missing values."""
    unknown = [
        f"{_letters(column)}{row}"
        for row, cells in enumerate(zip(values, formulas, strict=True), start=1)
        for column, (value, formula) in enumerate(zip_longest(*cells))
        if value is None and formula is not None
    ]
    if unknown:
        raise DatasetError(
            f"{path}: {counted(len(unknown), 'formula')} without a saved result: {listed(unknown, _FORMULAS_SHOWN)}. "
            "Open the file in a spreadsheet program and save it."
        )


def _letters(column: int) -> str:
    """Return what a spreadsheet calls a column, counted from 0.

    >>> _letters(0), _letters(27)
    ('A', 'AB')
    """
    before, letter = divmod(column, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + letter)


def _frame_of(path: Path, rows: list[tuple[Any, ...]], progress: Progress) -> pd.DataFrame:
    filled = [row for row in rows if any(cell is not None for cell in row)]
    if not filled:
        raise DatasetError(f"{path}: the sheet is empty.")
    if blank := len(rows) - len(filled):
        progress.say(f"dataset: {counted(blank, 'blank row')} left out of the sheet")
    columns = [
        [None if cell is None else cell for cell in column]
        for column in zip_longest(*filled)
        if any(cell is not None for cell in column)
    ]
    names = ["" if column[0] is None else _named(column[0]) for column in columns]
    series = [pd.Series(_as_dates(column[1:]), dtype=object) for column in columns]
    return pd.concat(series, axis=1).set_axis(names, axis=1)


def _named(cell: Any) -> str:
    return cell.isoformat() if isinstance(cell, (date, time)) else str(cell)


def _as_dates(values: list[Any]) -> list[Any]:
    """Return days instead of times of the day where all of them are midnight: Excel knows no days."""
    times = [value for value in values if isinstance(value, datetime)]
    if any(value.time() != time() for value in times):
        return values
    return [value.date() if isinstance(value, datetime) else value for value in values]


# -------------------------------------------------------------------- Parquet


def read_parquet(path: Path, raw: bytes, max_bytes: int) -> pd.DataFrame:
    """Read a Parquet file; whole numbers stay whole and exact, beside nulls too."""
    try:
        file = pyarrow.parquet.ParquetFile(BytesIO(raw))
        groups = (file.metadata.row_group(number) for number in range(file.num_row_groups))
        size = sum(group.total_byte_size for group in groups)
        if size > max_bytes:
            raise DatasetError(
                f"{path}: unpacks to {size:,} bytes, more than {max_bytes:,} (max_dataset_bytes)."
            )
        table = file.read()
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{path}: not a Parquet file ({error}).") from None
    # Whole numbers beside nulls would become doubles, which cannot hold a long id.
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    for name, column in frame.items():
        if isinstance(column.array, (pd.arrays.IntegerArray, pd.arrays.BooleanArray)):
            frame[name] = column.astype(object).where(column.notna(), None)
    # What pandas wrote as an index is a column if it has a name, else just the row number.
    has_name = any(name is not None for name in frame.index.names)
    return frame.reset_index(drop=not has_name)
