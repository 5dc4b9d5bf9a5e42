"""Reading a feature store: one feature at a time, from wherever in the file its activations lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from monosema.errors import InputError
from monosema.features.descriptions import Description, read_descriptions
from monosema.features.layout import ACTIVATIONS, FEATURES, HEADS, TOKENS, read_index

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile
    from scipy.sparse import csr_array

_FEATURE_GROUPS = 4  # row groups of features that do, for those next to each other
_GROUPS = 512  # row groups of tokens that stay unpacked for the next features: some 50 MB


class Activations(NamedTuple):
    """Where a feature is active, in the order of the text, and how strongly."""

    tokens: np.ndarray
    """Token t is the one at position t mod length of context t div length."""
    documents: np.ndarray
    values: np.ndarray

    def on(self, first: int, count: int) -> np.ndarray:
        """The feature's value on each of `count` tokens from `first` on; 0 where it is not active."""
        found = np.zeros(count)
        begin, end = np.searchsorted(self.tokens, [first, first + count])
        found[self.tokens[begin:end] - first] = self.values[begin:end]
        return found


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
        self._token_group = lru_cache(maxsize=_GROUPS)(self._unpacked)
        self._feature_group = lru_cache(maxsize=_FEATURE_GROUPS)(self._unpacked_features)
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
        return self.features(int(index), int(index) + 1)[0]

    def features(self, first: int, last: int) -> list[Feature]:
        """What is known of the features from `first` up to `last`."""
        import pyarrow as pa

        if last <= first:
            return []
        ends = (int(np.searchsorted(self._feature_starts, row, side="right")) - 1 for row in (first, last - 1))
        begin, end = ends
        groups = pa.concat_tables([self._feature_group(group) for group in range(begin, end + 1)])
        rows = groups.slice(first - int(self._feature_starts[begin]), last - first).to_pylist()
        return [Feature(first + i, row) for i, row in enumerate(rows)]

    def column(self, name: str) -> np.ndarray:
        """One column of figures of all features."""
        return self._features.read([name]).column(0).to_numpy()

    def head_norms(self) -> np.ndarray | None:
        """The norm of each feature's direction in each head's part, `[width, heads]`.

        None where no heads are written, and of stores that were made before there was such a column.
        """
        if HEADS not in self._features.schema_arrow.names:
            return None
        norms = self.column(HEADS)
        return None if norms[0] is None else np.stack(norms.tolist())

    def table(self, names: Sequence[str]) -> "pa.Table":
        """Some columns of all features."""
        return self._features.read(list(names))

    def search(self, text: str) -> np.ndarray:
        """The features with a text in or around their examples, or among the tokens that they promote or suppress."""
        from pyarrow.compute import match_substring  # pyright: ignore[reportAttributeAccessIssue]  made at run time

        found = match_substring(self.table(["words"]).column(0), text, ignore_case=True)
        return np.flatnonzero(found.to_numpy())

    def descriptions(self, feature: int) -> list[Description]:
        """What has been said of a feature in words, by the name of what said it; see `monosema interpret`."""
        return self._descriptions.get(feature, [])

    def activations(self, feature: Feature | int) -> Activations:
        """All activations of a feature."""
        row = feature if isinstance(feature, Feature) else self.feature(feature)
        found = self._activation_rows(row.first_row, row.activations, ["document", "context", "position", "value"])
        document, context, position, value = (column.to_numpy() for column in found.columns)
        return Activations(context.astype(np.int64) * self.index.context + position, document, value)

    def fires(self, contexts: Sequence[int]) -> "csr_array":
        """Where features fire in some contexts: `[contexts · length, width]`, a one for each. All rows are read."""
        from scipy.sparse import csr_array

        length, shape = self.index.context, (len(contexts) * self.index.context, self.index.width)
        places = np.full(self.index.contexts, -1, np.int64)
        places[np.asarray(contexts)] = np.arange(len(contexts)) * length
        found: list[tuple[np.ndarray, np.ndarray]] = []
        for rows in self._activations.iter_batches(2**20, columns=["feature", "context", "position"]):
            feature, context, position = (column.to_numpy() for column in rows.columns)
            kept = np.flatnonzero(places[context] >= 0)
            found.append((places[context[kept]] + position[kept], feature[kept]))
        tokens, features = (np.concatenate(columns) for columns in zip(*found, strict=True)) if found else ([], [])
        return csr_array((np.ones(len(tokens), np.float32), (tokens, features)), shape=shape)

    def activations_between(self, first: int, last: int) -> "pa.Table":
        """All activations of the features from `first` up to `last`, as the file has them."""
        ends = np.append(self._first_rows, self.index.activations)
        columns = ["feature", "context", "position", "value"]
        return self._activation_rows(int(ends[first]), int(ends[last] - ends[first]), columns)

    def place(self, token: int, before: int, after: int) -> Place:
        """The tokens around one, as far as its context goes."""
        return self.places([token], before, after)[0]

    def places(self, tokens: Sequence[int], before: int, after: int) -> list[Place]:
        """The tokens around each of some, as far as its context goes; what they share is read once."""
        length = self.index.context
        begins = [token // length * length for token in tokens]
        spans = [
            (max(token - before, begin), min(token + after + 1, begin + length))
            for token, begin in zip(tokens, begins, strict=True)
        ]
        found: dict[int, Place] = {}
        for i, rows in self._token_rows(spans, ["document", "id", "text"]):
            first = spans[i][0]
            document = rows.column("document")[tokens[i] - first].as_py()
            ids, texts = rows.column("id"), rows.column("text").cast("string")  # as NumPy's, lists are made faster
            lists = ids.to_numpy().tolist(), texts.to_numpy().tolist()
            found[i] = Place(begins[i] // length, first - begins[i], document, *lists)
        return [found[i] for i in range(len(tokens))]

    def contexts_ids(self, contexts: Sequence[int]) -> np.ndarray:
        """The token ids of whole contexts, `[contexts, length]`."""
        spans = [(context * self.index.context, (context + 1) * self.index.context) for context in contexts]
        found = np.zeros((len(spans), self.index.context), np.int64)
        for i, rows in self._token_rows(spans, ["id"]):
            found[i] = rows.column("id").to_numpy()
        return found

    def ids(self) -> Iterator[np.ndarray]:
        """The token ids of the text in order, some at a time."""
        for rows in self._tokens.iter_batches(columns=["id"]):
            yield rows.column(0).to_numpy()

    @cached_property
    def _descriptions(self) -> dict[int, list[Description]]:
        return read_descriptions(self.folder)

    @cached_property
    def _features(self) -> "ParquetFile":
        return self._open(FEATURES)

    @cached_property
    def _activations(self) -> "ParquetFile":
        return self._open(ACTIVATIONS)

    @cached_property
    def _tokens(self) -> "ParquetFile":
        return self._open(TOKENS, read_dictionary=["text"])  # of the same few strings again and again

    def _open(self, name: str, **options: Any) -> "ParquetFile":
        from pyarrow.parquet import ParquetFile

        return ParquetFile(self.folder / name, memory_map=True, **options)

    @cached_property
    def _feature_starts(self) -> np.ndarray:
        return _starts(self._features)

    @cached_property
    def _activation_starts(self) -> np.ndarray:
        return _starts(self._activations)

    @cached_property
    def _token_starts(self) -> np.ndarray:
        return _starts(self._tokens)

    @cached_property
    def _first_rows(self) -> np.ndarray:
        return self.column("first_row")

    def _activation_rows(self, first: int, count: int, columns: Sequence[str]) -> "pa.Table":
        return _rows(self._activations, self._activation_starts, first, first + count, columns)

    def _token_rows(self, spans: Sequence[tuple[int, int]], columns: Sequence[str]) -> "Iterator[tuple[int, pa.Table]]":
        """The tokens of each span, with the span's number, in the order of the text."""
        import pyarrow as pa

        for i in sorted(range(len(spans)), key=lambda i: spans[i]):
            first, end = spans[i]
            group, last = (int(np.searchsorted(self._token_starts, row, side="right")) - 1 for row in (first, end - 1))
            tables = [self._token_group(number) for number in range(group, last + 1)]
            rows = pa.concat_tables(tables) if len(tables) > 1 else tables[0]
            yield i, rows.slice(first - int(self._token_starts[group]), end - first).select(list(columns))

    def _unpacked_features(self, group: int) -> "pa.Table":
        return self._features.read_row_group(group, use_threads=False)

    def _unpacked(self, group: int) -> "pa.Table":
        return self._tokens.read_row_group(group, ["document", "id", "text"], use_threads=False)


def _starts(file: "ParquetFile") -> np.ndarray:
    """Where each row group begins, and the end; they differ in size."""
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
    return np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])


def _rows(
    file: "ParquetFile", starts: np.ndarray, first: int, end: int, columns: Sequence[str] | None = None
) -> "pa.Table":
    """The rows from `first` up to `end`, from the row groups that they lie in."""
    begin = int(np.searchsorted(starts, first, side="right")) - 1
    groups = range(begin, int(np.searchsorted(starts, end, side="left"))) if end > first else range(0)
    names = None if columns is None else list(columns)
    # One group is read before threads are there.
    table = file.read_row_groups(list(groups), names, use_threads=len(groups) > 1)
    return table.slice(first - int(starts[begin]), end - first) if groups else table
