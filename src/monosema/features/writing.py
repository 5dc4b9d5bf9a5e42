"""Writing the Parquet files of a feature store."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from monosema.features.cofiring import Neighbours
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
            use_dictionary=["id", "text"],
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
        if self._rows >= 8 * TOKEN_ROWS:
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
            use_dictionary=["feature"],
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


def write_features(
    folder: Path,
    counts: np.ndarray,
    summaries: Sequence[Summary],
    counted: int,
    near: tuple[Neighbours, Neighbours],
    described: dict[str, list[Any]],
) -> None:
    """Writes the table of features.

    Args:
        folder: of the store.
        counts: activations of each.
        summaries: of each.
        counted: tokens that densities are shares of.
        near: those that fire together with each, and those that avoid it.
        described: further columns.
    """
    import pyarrow as pa
    from pyarrow.parquet import write_table

    density = counts / counted
    columns = {
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
        "together": neighbour_column(near[0]),
        "apart": neighbour_column(near[1]),
        **described,
    }
    write_table(pa.table(columns), folder / FEATURES, compression="zstd", row_group_size=FEATURE_ROWS)


def neighbour_column(near: Neighbours) -> list[list[dict[str, Any]]]:
    """Of each feature its neighbours, as a table has them."""
    return [
        [{"feature": f, "figure": x} for f, x in zip(*pair, strict=True) if f >= 0]
        for pair in zip(near.features.tolist(), near.figures.tolist(), strict=True)
    ]


def valid(text: str) -> str:
    """The text without halves of surrogate pairs, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
