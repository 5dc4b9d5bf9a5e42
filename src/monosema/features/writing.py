"""Writing the Parquet files of a feature store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monosema.features.layout import (
    ACTIVATION_ROWS,
    ACTIVATIONS,
    FEATURE_ROWS,
    FEATURES,
    TOKEN_ROWS,
    TOKENS,
    activation_schema,
    token_schema,
)
from monosema.features.sorting import Group
from monosema.features.summary import Summary

if TYPE_CHECKING:
    import pyarrow as pa


class TokenWriter:
    """Writes the tokens of a text, some contexts at a time."""

    def __init__(self, folder: Path):
        from pyarrow.parquet import ParquetWriter

        # What rises by small steps is stored as steps; what repeats, by its number in a list.
        steps = ["document", "context", "position"]
        self._writer = ParquetWriter(
            folder / TOKENS,
            token_schema(),
            compression="zstd",
            use_dictionary=["id", "text"],  # pyright: ignore[reportArgumentType]  its columns may be named
            column_encoding=dict.fromkeys(steps, "DELTA_BINARY_PACKED"),
        )
        self._held: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> "TokenWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def write(self, first: int, documents: np.ndarray, ids: np.ndarray, texts: Sequence[Sequence[str]]) -> None:
        """Writes contexts, of which the first is number `first`."""
        import pyarrow as pa

        count, length = ids.shape
        columns = [
            documents.ravel().astype(np.int32),
            np.repeat(np.arange(first, first + count, dtype=np.int32), length),
            np.tile(np.arange(length, dtype=np.int32), count),
            ids.ravel().astype(np.int32),
            pa.array([valid(text) for row in texts for text in row], pa.string()),
        ]
        self._held.append(pa.table([pa.array(column) for column in columns], schema=token_schema()))
        self._rows += ids.size
        if self._rows >= 32 * TOKEN_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.concat_tables(self._held).combine_chunks(), row_group_size=TOKEN_ROWS)
        self._held, self._rows = [], 0


class ActivationWriter:
    """Writes activations, some features at a time."""

    def __init__(self, folder: Path):
        from pyarrow.parquet import ParquetWriter

        self._writer = ParquetWriter(
            folder / ACTIVATIONS,
            activation_schema(),
            compression="zstd",
            use_dictionary=["feature"],  # pyright: ignore[reportArgumentType]  its columns may be named
            column_encoding={
                "document": "DELTA_BINARY_PACKED",
                "context": "DELTA_BINARY_PACKED",
                "position": "DELTA_BINARY_PACKED",
                "value": "BYTE_STREAM_SPLIT",
            },
        )

    def __enter__(self) -> "ActivationWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, group: Group, documents: np.ndarray, length: int) -> None:
        """Writes the activations of some features.

        Args:
            group: what they are.
            documents: of each token of the text.
            length: tokens in a context.
        """
        import pyarrow as pa

        counts = np.diff(group.offsets)
        features = np.repeat(np.arange(group.first, group.first + len(counts), dtype=np.int32), counts)
        contexts, positions = np.divmod(group.tokens, np.int32(length))
        columns = [features, documents[group.tokens], contexts, positions, group.values]
        table = pa.table([pa.array(column) for column in columns], schema=activation_schema())
        self._writer.write_table(table, row_group_size=ACTIVATION_ROWS)


def figure_columns(counts: np.ndarray, summaries: Sequence[Summary], counted: int) -> dict[str, Any]:
    """The columns of figures that all of a text gives.

    Args:
        counts: activations of each feature.
        summaries: of each.
        counted: tokens that densities are shares of.
    """
    density = counts / counted
    return {
        "feature": np.arange(len(counts), dtype=np.int32),
        "first_row": np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64),
        "activations": counts.astype(np.int64),
        "density": density,
        "log10_density": [float(np.log10(d)) if d else None for d in density],
        "mean": [s.mean for s in summaries],
        "low": [s.low for s in summaries],
        "high": [s.high for s in summaries],
        "histogram": [s.histogram.tolist() for s in summaries],
        "shares": [s.shares.tolist() for s in summaries],
        "examples": [[pick._asdict() for pick in s.examples] for s in summaries],
    }


def write_features(folder: Path, columns: dict[str, Any]) -> None:
    """Writes the table of features; a column whose values are all None is one of nulls."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    write_table(pa.table(columns), folder / FEATURES, compression="zstd", row_group_size=FEATURE_ROWS)


def valid(text: str) -> str:
    """The text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
