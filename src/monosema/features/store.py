"""Reading a feature store: one feature at a time, from wherever in the file its activations lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from monosema.errors import InputError
from monosema.features.layout import (
    ACTIVATIONS,
    FEATURE_ROWS,
    FEATURES,
    TOKEN_ROWS,
    TOKENS,
    read_index,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile


KEPT = 64
"""Row groups of tokens that are kept in memory: a million tokens."""


class Activations(NamedTuple):
    """Where a feature is active, in the order of the text, and how strongly."""

    tokens: np.ndarray
    """Token t is the one at position t mod length of context t div length."""
    documents: np.ndarray
    values: np.ndarray


class Place(NamedTuple):
    """Some tokens of a context that follow each other."""

    context: int
    start: int
    """Position of the first."""
    document: int
    """Of the token that was asked for."""
    ids: list[int]
    texts: list[str]


@dataclass(frozen=True)
class Feature:
    """A row of the table of features, whose columns `features.parquet` names."""

    index: int
    columns: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["columns"][name]
        except KeyError:
            raise AttributeError(name) from None


class FeatureStore:
    """A feature store on disk. Nothing is read before it is asked for, and then as little as there is to read.

    Raises:
        InputError: there is none, or a file of it is missing.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.index = read_index(self.folder)
        self._feature_group = lru_cache(maxsize=2)(self._read_feature_group)
        self._token_group = lru_cache(maxsize=KEPT)(self._read_token_group)
        for name in (TOKENS, ACTIVATIONS, FEATURES):
            if not (self.folder / name).is_file():
                raise InputError(
                    f"no file {self.folder / name}", expected="a whole feature store", hint="make it again"
                )

    def __len__(self) -> int:
        return self.index.width

    def feature(self, index: int) -> Feature:
        """What is known of a feature.

        Raises:
            InputError: there is no such feature.
        """
        if not 0 <= index < self.index.width:
            raise InputError(f"feature {index}", expected=f"0 to {self.index.width - 1}, as the store has")
        table = self._feature_group(index // FEATURE_ROWS)
        (row,) = table.slice(index % FEATURE_ROWS, 1).to_pylist()
        return Feature(index, row)

    def column(self, name: str) -> np.ndarray:
        """One column of figures of all features."""
        return self._features.read([name]).column(0).to_numpy()

    def table(self, names: Sequence[str]) -> "pa.Table":
        """Some columns of all features."""
        return self._features.read(list(names))

    def search(self, text: str) -> np.ndarray:
        """The features with a text in or around their examples, or among the tokens that they promote or suppress."""
        from pyarrow.compute import match_substring  # pyright: ignore[reportAttributeAccessIssue]  made at run time

        found = match_substring(self.table(["words"]).column(0), text, ignore_case=True)
        return np.flatnonzero(found.to_numpy())

    def activations(self, feature: Feature | int) -> Activations:
        """All activations of a feature."""
        row = self.feature(feature) if isinstance(feature, int) else feature
        first, count = row.first_row, row.activations
        found = self._rows(self._activations, self._starts, first, count, ["document", "context", "position", "value"])
        document, context, position, value = (column.to_numpy() for column in found.columns)
        return Activations(context.astype(np.int64) * self.index.context + position, document, value)

    def place(self, token: int, before: int, after: int) -> Place:
        """The tokens around one, as far as its context goes."""
        context, position = divmod(token, self.index.context)
        start, end = max(position - before, 0), min(position + after + 1, self.index.context)
        first = context * self.index.context + start
        found = self._token_rows(first, end - start)
        document = found.column("document")[position - start].as_py()
        return Place(context, start, document, found.column("id").to_pylist(), found.column("text").to_pylist())

    def context_ids(self, context: int) -> list[int]:
        """The token ids of a whole context."""
        return self._token_rows(context * self.index.context, self.index.context).column("id").to_pylist()

    @cached_property
    def _features(self) -> "ParquetFile":
        return self._open(FEATURES)

    @cached_property
    def _activations(self) -> "ParquetFile":
        return self._open(ACTIVATIONS)

    @cached_property
    def _tokens(self) -> "ParquetFile":
        return self._open(TOKENS)

    def _open(self, name: str) -> "ParquetFile":
        from pyarrow.parquet import ParquetFile

        return ParquetFile(self.folder / name, memory_map=True)

    @cached_property
    def _starts(self) -> np.ndarray:
        """Where each row group of activations begins, and the end; they differ in size."""
        meta = self._activations.metadata
        return np.concatenate([[0], np.cumsum([meta.row_group(i).num_rows for i in range(meta.num_row_groups)])])

    def _token_rows(self, first: int, count: int) -> "pa.Table":
        import pyarrow as pa

        groups = range(first // TOKEN_ROWS, (first + count - 1) // TOKEN_ROWS + 1)
        found = pa.concat_tables([self._token_group(group) for group in groups])
        return found.slice(first - groups[0] * TOKEN_ROWS, count)

    def _read_token_group(self, group: int) -> "pa.Table":
        return self._tokens.read_row_group(group, ["document", "id", "text"])

    def _read_feature_group(self, group: int) -> "pa.Table":
        return self._features.read_row_group(group)

    @staticmethod
    def _rows(file: "ParquetFile", starts: np.ndarray, first: int, count: int, columns: Sequence[str]) -> "pa.Table":
        begin = int(np.searchsorted(starts, first, side="right")) - 1
        end = int(np.searchsorted(starts, first + count, side="left"))
        found = file.read_row_groups(list(range(min(begin, len(starts) - 2), max(end, begin))), list(columns))
        return found.slice(first - int(starts[min(begin, len(starts) - 2)]), count)
