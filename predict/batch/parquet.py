"""Parquet files, in and out. They need pyarrow, which serving does without."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from predict.batch.answers import AnswerColumns
from predict.batch.errors import BatchError, as_batch_error
from predict.batch.tables import Chunk

_REQUIREMENTS = "predict/requirements-parquet.txt"


def pyarrow_for(shown: str) -> Any:
    """Return pyarrow; raise BatchError that says how to get it if it is not there."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise BatchError(
            f"{shown}: Parquet needs pyarrow, which is not installed. Install it beside the rest with "
            f"`pip install --requirement {_REQUIREMENTS}`, or use CSV or JSON Lines."
        ) from None
    return pyarrow


class ParquetTable:
    """A Parquet file; rows are numbered from 1."""

    of_objects = False

    def __init__(self, file: Any, shown: str, chunk_rows: int) -> None:
        """Read what the file says of itself; raise BatchError if it is not Parquet."""
        self._arrow, self._shown, self._chunk_rows = pyarrow_for(shown), shown, chunk_rows
        try:
            self._file = self._arrow.parquet.ParquetFile(file)
        except (self._arrow.ArrowException, OSError) as error:
            raise BatchError(f"{shown}: not a Parquet file ({error}).") from None
        self.schema = self._file.schema_arrow
        self.columns = list(self.schema.names)
        self.num_rows: int = self._file.metadata.num_rows

    def chunks(self) -> Iterator[Chunk]:
        """See `Table`."""
        done = 0
        try:
            for batch in self._whole_batches():
                lines = range(done + 1, done + batch.num_rows + 1)
                yield Chunk(lines, self._rows_of(batch), batch=batch)
                done += batch.num_rows
        except (self._arrow.ArrowException, OSError) as error:
            raise BatchError(
                f"{self._shown}, after row {done}: cannot be read ({error})."
            ) from None

    def _whole_batches(self) -> Iterator[Any]:
        """Yield batches of the same number of rows, wherever row groups end."""
        waiting: list[Any] = []
        count = 0
        for batch in self._file.iter_batches(self._chunk_rows):
            waiting.append(batch)
            count += batch.num_rows
            while count >= self._chunk_rows:
                joined = self._joined(waiting)
                yield joined.slice(0, self._chunk_rows)
                rest = joined.slice(self._chunk_rows)
                waiting, count = [rest], rest.num_rows
        if count:
            yield self._joined(waiting)

    def _joined(self, batches: Sequence[Any]) -> Any:
        table = self._arrow.Table.from_batches(batches, self.schema).combine_chunks()
        return table.to_batches()[0] if table.num_rows else batches[0]

    def _rows_of(self, batch: Any) -> list[tuple[Any, ...]]:
        """Return Python's values; it knows no nanoseconds."""
        columns = [self._in_microseconds(column).to_pylist() for column in batch.columns]
        return list(zip(*columns, strict=True))

    def _in_microseconds(self, column: Any) -> Any:
        arrow, kind = self._arrow, column.type
        if arrow.types.is_timestamp(kind) and kind.unit == "ns":
            return column.cast(arrow.timestamp("us", kind.tz), safe=False)
        if arrow.types.is_time64(kind) and kind.unit == "ns":
            return column.cast(arrow.time64("us"), safe=False)
        if arrow.types.is_duration(kind) and kind.unit == "ns":
            return column.cast(arrow.duration("us"), safe=False)
        return column


class ParquetEncoder:
    """Rows with their answers as a piece of Arrow's stream format, which `ParquetFile` below puts together."""

    def __init__(self, shown: str, columns: Sequence[str], answers: AnswerColumns) -> None:
        """Take the names of the columns, and those of the answers."""
        self._typed = answers.typed
        arrow = self._arrow = pyarrow_for(shown)
        texts = arrow.list_(arrow.string())
        types = {
            "text": arrow.string(),
            "number": arrow.float64(),
            "boolean": arrow.bool_(),
            "texts": texts,
            "numbers": arrow.list_(arrow.float64()),
            "json": arrow.string(),
        }
        self._shown, self._columns = shown, list(columns)
        self._answers = [arrow.field(name, types[kind]) for name, kind in answers.columns]

    def header(self) -> bytes:
        """Return nothing: the first row comes first."""
        return b""

    def encode(self, chunk: Chunk, good: Sequence[int], answers: Sequence[Sequence[Any]]) -> bytes:
        """Return the good rows of a chunk, each with its answer."""
        arrow = self._arrow
        try:
            if chunk.batch is not None:
                rows = chunk.batch.take(arrow.array(good, arrow.int64()))
            else:
                rows = self._batch_of([chunk.rows[place] for place in good])
            typed = list(map(self._typed, answers))
            columns = [[values[place] for values in typed] for place in range(len(self._answers))]
            arrays = [
                arrow.array(column, field.type)
                for column, field in zip(columns, self._answers, strict=True)
            ]
        except arrow.ArrowException as error:
            raise BatchError(
                f"{self._shown}: from line {chunk.lines[0]} on, a column has values of another type than before "
                f"({error}). Write .jsonl instead."
            ) from None
        fields = [*rows.schema, *self._answers]
        batch = arrow.RecordBatch.from_arrays([*rows.columns, *arrays], schema=arrow.schema(fields))
        sink = BytesIO()
        with arrow.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return sink.getvalue()

    def _batch_of(self, rows: Sequence[Any]) -> Any:
        arrow = self._arrow
        if rows and not isinstance(rows[0], dict):  # separated values are texts
            fields = [arrow.field(name, arrow.string()) for name in self._columns]
            columns = [arrow.array(column, arrow.string()) for column in zip(*rows, strict=True)]
            return arrow.RecordBatch.from_arrays(columns, schema=arrow.schema(fields))
        arrays = [arrow.array([row.get(name) for row in rows]) for name in self._columns]
        return arrow.RecordBatch.from_arrays(arrays, self._columns)


class ParquetFile:
    """A Parquet file that is being written; some ten thousand rows become a group."""

    _GROUP_ROWS = 50_000

    def __init__(self, path: Path | BytesIO, shown: Path) -> None:
        self._arrow, self._path, self._shown = pyarrow_for(str(shown)), path, shown
        self._waiting: list[Any] = []
        self._count = 0
        self._empty: Any = None
        self._writer: Any = None

    def write(self, piece: bytes) -> None:
        """Add what `ParquetEncoder.encode` returned."""
        table = self._arrow.ipc.open_stream(piece).read_all()
        if not table.num_rows:  # its columns have no types to go by
            self._empty = table
            return
        self._begin(table)
        try:
            self._waiting.append(table.cast(self._writer.schema))
        except (self._arrow.ArrowException, ValueError) as error:
            raise BatchError(
                f"{self._shown}: a column has values of another type than before ({error}). Write .jsonl instead."
            ) from None
        self._count += table.num_rows
        if self._count >= self._GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write the rest and the end of the file."""
        if self._empty is not None:
            self._begin(self._empty)
        self._flush()
        with as_batch_error(self._shown, "written"):
            self._writer.close()

    def abandon(self) -> None:
        """Close the file, whole or not."""
        if self._writer is not None:
            with suppress(OSError, self._arrow.ArrowException):
                self._writer.close()

    def _begin(self, table: Any) -> None:
        if self._writer is None:
            with as_batch_error(self._shown, "written"):
                self._writer = self._arrow.parquet.ParquetWriter(self._path, table.schema)

    def _flush(self) -> None:
        if self._waiting:
            table = self._arrow.concat_tables(self._waiting)
            self._waiting, self._count = [], 0
            with as_batch_error(self._shown, "written"):
                self._writer.write_table(table, row_group_size=self._GROUP_ROWS)
