"""What a store holds: its index, one JSON file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from monosema.activations.store.place import Place
from monosema.config import from_dict
from monosema.errors import InputError
from monosema.files import json_text

FORMAT, NAME = "monosema-store/1", "index.json"
StoredDtype = Literal["float32", "bfloat16", "float16", "int8"]


@dataclass(frozen=True)
class Shard:
    """One file of a store."""

    name: str
    rows: int
    contexts: int
    bytes: int
    sha256: str
    begin: dict[str, Any]
    """Where in the text it begins: the state of its contexts."""

    def __post_init__(self):
        if self.name in ("", ".", "..") or any(sign in self.name for sign in "/\\\0"):
            raise InputError(f"a shard named {self.name!r}", expected="a file of the store's own folder")


@dataclass(frozen=True)
class Index:
    """A store's description and its shards so far."""

    made_from: dict[str, Any]
    """What was asked for: model, text, and all else that the rows depend on."""
    points: dict[str, int]
    """Hook point → d."""
    dtype: StoredDtype
    """How activations are stored; int8 with a scale for each row."""
    context: int
    """Tokens in a context."""
    contexts: int
    """How many contexts the store is to have; fewer if the text ends before."""
    shard_contexts: int
    """Contexts in a shard, but for the last."""
    context_batch: int
    """Contexts in one pass of the model."""
    norm_limits: dict[str, float]
    """The largest norm that was kept at each hook point."""
    shards: tuple[Shard, ...] = ()
    next: dict[str, Any] | None = None
    """Where in the text the next shard begins."""
    finished: bool = False
    format: str = FORMAT

    @property
    def rows(self) -> int:
        """Rows in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.bytes for shard in self.shards)


def read_index(place: Place) -> Index:
    """The index of a store.

    Raises:
        InputError: there is none, it is damaged, of another version, or contradicts itself.
    """
    if place.size(NAME) is None:
        raise InputError(f"no store at {place}", expected=f"a folder with an {NAME}, as monosema harvest writes it")
    where = f"{place}/{NAME}"
    try:
        data = json.loads(place.read(NAME))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where} is not valid JSON ({error})") from None
    given = data.get("format") if isinstance(data, Mapping) else type(data).__name__
    if given != FORMAT:
        raise InputError(f"{where} has format {given!r}", expected=repr(FORMAT))
    return from_dict(Index, data, where)


def write_index(place: Place, index: Index) -> None:
    """Writes the index, atomically."""
    text = json_text(asdict(index))
    place.write(NAME, lambda path: path.write_text(text, encoding="utf-8"))
