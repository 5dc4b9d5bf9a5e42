"""Opening a text: whatever holds documents becomes an iterable of strings that can be read again and again."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

from monosema.activations.readers import READERS, open_data_set, text_of
from monosema.errors import InputError
from monosema.tiny import Split, corpus


class Documents:
    """Documents in a fixed order; each `iter` starts a new pass over them."""

    def __init__(self, read: Callable[[], Iterator[str]]):
        self._read = read

    def __iter__(self) -> Iterator[str]:
        return self._read()


def open_text(what: str | Path | Iterable[Any], *, field: str = "text") -> Documents:
    """Opens a text as documents that can be read more than once, in the same order.

    `what` is one of
    - a list, or any iterable, of strings or of mappings with the text in `field` (an iterator can be read only once);
    - `"tiny:train"` or `"tiny:heldout"`, the embedded corpus;
    - a path to a `.txt` file (one document), a `.jsonl` or `.parquet` file, or a folder of such files;
    - `"hf:NAME[:CONFIG[:SPLIT]]"`, a Hugging Face data set, streamed; NAME may be a local folder. An empty CONFIG is
      the default one, and SPLIT is `train` unless given.

    Raises:
        InputError: there is nothing there, or nothing that can be read as text; what only reading shows (an unknown
            field, broken lines) is raised while reading.
    """
    if isinstance(what, Documents):
        return what
    if isinstance(what, str) and what.startswith("tiny:"):
        return _tiny(what.removeprefix("tiny:"))
    if isinstance(what, str) and what.startswith("hf:"):
        return _rows(open_data_set(what.removeprefix("hf:")), field, what)
    if isinstance(what, (str, Path)):
        return _files(Path(what), field)
    if isinstance(what, (bytes, Mapping)) or not isinstance(what, Iterable):
        raise InputError(
            f"a text of type {type(what).__name__}",
            expected="a path, 'tiny:train', 'hf:NAME', or an iterable of strings",
            hint="of a mapping of splits, pick one" if isinstance(what, Mapping) else None,
        )
    return _rows(what if iter(what) is not what else _Once(what), field, "the text")


class _Once:
    """An iterator that says so when it is asked for a second pass."""

    def __init__(self, rows: Iterable[Any]):
        self._rows: Iterable[Any] | None = rows

    def __iter__(self) -> Iterator[Any]:
        if self._rows is None:
            raise InputError(
                "the text is an iterator, which can be read only once, and another pass over it was asked for",
                expected="documents that can be read again",
                hint="give a list, a file or a data set, or one pass less",
            )
        rows, self._rows = self._rows, None
        return iter(rows)


def _rows(rows: Iterable[Any], field: str, name: str) -> Documents:
    return Documents(lambda: (text_of(row, field, f"document {number} of {name}") for number, row in enumerate(rows)))


def _tiny(split: str) -> Documents:
    for known in get_args(Split):
        if split == known:
            return Documents(partial(corpus, known))
    raise InputError(f"no text 'tiny:{split}'", expected=" or ".join(f"'tiny:{known}'" for known in get_args(Split)))


def _files(path: Path, field: str) -> Documents:
    if path.is_dir():
        paths = sorted(p for p in path.rglob("*") if p.suffix in READERS and p.is_file())
        if not paths:
            raise InputError(f"no text in the folder {path}", expected=f"{_ENDINGS} files in it", hint=_HINT)
    elif not path.exists():
        raise InputError(f"no text at {path}", expected=f"a {_ENDINGS} file or a folder of them", hint=_HINT)
    elif path.suffix not in READERS:
        raise InputError(f"{path} ends in {path.suffix!r}", expected=f"a file that ends in {_ENDINGS}", hint=_HINT)
    else:
        paths = [path]
    return Documents(lambda: (text for p in paths for text in READERS[p.suffix](p, field)))


_ENDINGS = " or ".join(sorted(READERS))
_HINT = "a Hugging Face data set is written hf:NAME, the embedded corpus tiny:train"
