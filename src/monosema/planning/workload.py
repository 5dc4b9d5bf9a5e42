"""What a run has to do: what is read, how it is kept, and which dictionaries learn from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from monosema.planning.dictionary import DictionaryShape

LABELS = 12
"""Bytes of a store for each token beside activations: the token, its context and its position."""


@dataclass(frozen=True)
class ModelShape:
    """A model as it is read: cut at the deepest hook point, held as a whole; or two, their figures added up."""

    weights: int
    """Bytes of all its weights."""
    parameters_run: int
    """Parameters of what runs."""
    flops: float
    """FLOPs a token, up to the deepest hook point."""
    traffic: float
    """Bytes a token that the operations of a pass read and write."""
    pass_bytes: int
    """The most that a pass holds beside the weights."""
    size: int
    """Bytes of a number in it."""
    vocabulary: int = 0
    """Tokens that it knows."""
    models: int = 1
    """How many there are."""


@dataclass(frozen=True)
class Workload:
    """A run, as far as costs depend on it."""

    dictionaries: Mapping[str, DictionaryShape]
    """By name."""
    points: Mapping[str, int]
    """Hook point → d."""
    tokens: int
    """Trained on."""
    batch_size: int
    """Tokens of a step, of all ranks together."""
    buffer: int
    """Rows held to be shuffled, of all ranks together."""
    context: int
    """Tokens that the model reads at once."""
    shuffle: int
    """Tokens of text among which contexts are shuffled."""
    size: int
    """Bytes of a number in products of training."""
    row_size: int
    """Bytes of a number in the rows that are buffered."""
    model: ModelShape | None = None
    """None where activations come from a file."""
    stored: int | None = None
    """Bytes a token of the store that is read in place of running the model."""
    rows_in_memory: int = 0
    """Bytes of a file of activations, which is held as a whole."""
    checkpoints: int = 0
    """How many are kept at once."""

    @property
    def row(self) -> int:
        """Numbers in the activations of one token."""
        return sum(self.points.values())


def harvest_traffic(numbers: int, size: int) -> float:
    """Bytes a token that are read and written between a model and a batch.

    Of each number a copy out of the model, one into the buffer and one out of it (6 sizes), and its norm (4 bytes); in
    16 bits it is turned into float32 for the norm, and for the batch (2 sizes and 8 bytes).
    """
    return numbers * (6 * size + 4 + (0 if size == 4 else 2 * size + 8))


def store_traffic(numbers: int, size: int) -> float:
    """Bytes a token that are read and written between a store and a batch, beside the disk: rows are picked (2 sizes),
    turned into float32 (a size and 4 bytes, if they are not) and put in their place (8 bytes)."""
    return numbers * (2 * size + 8 + (0 if size == 4 else size + 4))


def buffer_bytes(rows: int, numbers: int, size: int) -> int:
    """Bytes of a shuffling buffer: `rows · (numbers · size + 8)`, with an index for each row."""
    return rows * (numbers * size + 8)


def stored_bytes(points: Mapping[str, int], dtype: str) -> int:
    """Bytes that a store takes for each token: `d · size` for each hook point, 4 for the scale of int8, 12 beside."""
    size = {"float32": 4, "bfloat16": 2, "float16": 2, "int8": 1}[dtype]
    return sum(d * size + (4 if dtype == "int8" else 0) for d in points.values()) + LABELS


def buffer_rows(work: Workload, ranks: int) -> int:
    """Rows in the buffer of each rank: its part, but two batches and two contexts at least."""
    return max(work.buffer // ranks, 2 * max(work.batch_size // ranks, work.context))
