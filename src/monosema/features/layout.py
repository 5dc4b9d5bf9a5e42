"""What a feature store is made of: an index and three Parquet files, which any tool can read.

| file | a row for each | columns |
| --- | --- | --- |
| `tokens.parquet` | token of the text, in order | `document`, `context`, `position`, `id`, `text` |
| `activations.parquet` | activation, by feature and token | `feature`, `document`, `context`, `position`, `value` |
| `features.parquet` | feature | its figures, its examples, its neighbours |

Token t is the one at position t mod length of context t div length. Special tokens are among the tokens, but no feature
is active on them.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monosema.config import from_dict
from monosema.errors import InputError
from monosema.files import read_json, write_json

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "monosema-features/1"
INDEX, TOKENS, ACTIVATIONS, FEATURES = "index.json", "tokens.parquet", "activations.parquet", "features.parquet"
HEADS = "head_norms"
"""The column of the table of features that stores lack which were made before there was one; readers do without."""
TOKEN_ROWS, ACTIVATION_ROWS, FEATURE_ROWS = 2**12, 2**17, 2**6
"""Rows of a row group of each file, at most: what is read at least, and unpacked."""


@dataclass(frozen=True)
class Index:
    """What a store was made from, and how much is in it."""

    dictionary: dict[str, Any]
    """What is known of the dictionary: its name, spec, activation function and metadata."""
    model: str
    text: str | None
    context: int
    """Tokens in a context."""
    contexts: int
    counted: int
    """Tokens that are not special: what densities are shares of."""
    activations: int
    width: int
    bins: int
    """Bins of the histograms, of equal width from `low` to `high` of each feature."""
    intervals: int
    """Intervals of equal width, from `low` to `high`, that examples were drawn from."""
    cofiring_tokens: int
    """Tokens on which features were counted to fire together."""
    format: str = FORMAT

    @property
    def tokens(self) -> int:
        """Tokens of the text, special ones too."""
        return self.context * self.contexts


def read_index(folder: Path) -> Index:
    """The index of a store.

    Raises:
        InputError: there is none, or it is damaged or of another version.
    """
    if not (folder / INDEX).is_file():
        raise InputError(
            f"no feature store in {folder}", expected=f"a folder with an {INDEX}", hint="monosema features makes one"
        )
    data = read_json(folder / INDEX)
    given = data.get("format") if isinstance(data, dict) else type(data).__name__
    if given != FORMAT:
        raise InputError(f"{folder / INDEX} has format {given!r}", expected=repr(FORMAT))
    return from_dict(Index, data, str(folder / INDEX))


def write_index(folder: Path, index: Index) -> None:
    """Writes the index."""
    write_json(folder / INDEX, asdict(index))


def token_schema() -> "pa.Schema":
    """Columns of `tokens.parquet`."""
    import pyarrow as pa

    numbers = [pa.field(name, pa.int32()) for name in ("document", "context", "position", "id")]
    return pa.schema([*numbers, pa.field("text", pa.string())])


def activation_schema() -> "pa.Schema":
    """Columns of `activations.parquet`."""
    import pyarrow as pa

    numbers = [pa.field(name, pa.int32()) for name in ("feature", "document", "context", "position")]
    return pa.schema([*numbers, pa.field("value", pa.float32())])
