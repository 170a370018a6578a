"""The file of tokenized pairs that a training reads.

Covers: its columns, writing it row by row.
Does not cover: what stands in them (data.py); `datasets.Dataset.from_file` reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class TokenFile:
    """An Arrow stream, which is mapped into memory when it is read: 300,000 pairs are not held in it.

    A context manager.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow

        ids = pyarrow.list_(pyarrow.int32())
        self._schema = pyarrow.schema(
            {"chosen_ids": ids, "rejected_ids": ids, "margin": pyarrow.float32(), "gap": pyarrow.float32()}
            | dict.fromkeys(("chosen_chars", "rejected_chars", "index"), pyarrow.int32())
        )
        self._path = path
        self._rows: list[tuple[Any, ...]] = []

    def __enter__(self) -> TokenFile:
        import pyarrow

        self._stream = pyarrow.ipc.new_stream(str(self._path), self._schema)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._flush()
        self._stream.close()

    def add(self, *row: Any) -> None:
        """A row: chosen_ids, rejected_ids, margin, gap or None, chosen_chars, rejected_chars, index."""
        self._rows.append(row)
        if len(self._rows) == 1000:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._rows:
            columns = [list(column) for column in zip(*self._rows, strict=True)]
            arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._stream.write_batch(pyarrow.RecordBatch.from_arrays(arrays, schema=self._schema))
            self._rows = []
