"""Reading documents from files and Hugging Face data sets, one at a time."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monosema.errors import InputError
from monosema.registry import Registry, nearest

Reader = Callable[[Path, str], Iterator[str]]
"""Yields the documents of the file at a path; the string names the field that holds the text."""

READERS: Registry[Reader] = Registry("file ending")


def text_of(row: Any, field: str, where: str) -> str:
    """The text of one document: `row` itself, or its field `field` where it has fields.

    Raises:
        InputError: there is no such field, or what it holds is no text.
    """
    if isinstance(row, Mapping):
        if field not in row:
            raise no_field(field, row, where)
        row, where = row[field], f"field {field!r} of {where}"
    if not isinstance(row, str):
        raise InputError(f"{where} is of type {type(row).__name__}", expected="text (str)")
    return row


def no_field(field: str, known: Iterable[str], where: str) -> InputError:
    """The error that says which fields there are instead of `field`."""
    names = [str(name) for name in known]
    hint = nearest(field, names) or "name the field that holds the text with field="
    return InputError(f"{where} has no field {field!r}", expected=f"one of {', '.join(names) or 'none'}", hint=hint)


@contextmanager
def _utf8(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start})",
            expected="a text in UTF-8",
            hint="convert it, for example with iconv",
        ) from None


@READERS.register(".txt")
def read_txt(path: Path, field: str) -> Iterator[str]:
    """Yields the whole file as one document."""
    with _utf8(path):
        text = path.read_text(encoding="utf-8")
    yield text


@READERS.register(".jsonl")
def read_jsonl(path: Path, field: str) -> Iterator[str]:
    """Yields the field `field` of each line's JSON object, or the line's string; blank lines are passed over."""
    with _utf8(path), open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"{where} is not JSON ({error})", expected="one JSON object a line") from None
            yield text_of(row, field, where)


@READERS.register(".parquet")
def read_parquet(path: Path, field: str) -> Iterator[str]:
    """Yields the values of the column `field`, reading a few rows at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"{path} cannot be read as parquet ({error})", hint="is it whole?") from None
    with file:
        if field not in file.schema_arrow.names:
            raise no_field(field, file.schema_arrow.names, str(path))
        row = 0
        for batch in file.iter_batches(batch_size=1024, columns=[field]):
            for value in batch.column(0).to_pylist():
                yield text_of(value, field, f"column {field!r} of {path}, row {row}")
                row += 1


def open_data_set(what: str) -> Iterable[Any]:
    """The rows of the Hugging Face data set `NAME[:CONFIG[:SPLIT]]`, streamed; NAME may be a local folder.

    Raises:
        InputError: it is not there, has no such configuration or split, or the hub cannot be reached.
    """
    import datasets

    name, config, split = [*what.split(":"), "", ""][:3]
    split = split or "train"
    try:
        if any((Path(name) / marker).is_file() for marker in ("dataset_info.json", "dataset_dict.json")):
            saved = datasets.load_from_disk(name)
            return saved[split] if isinstance(saved, datasets.DatasetDict) else saved
        return datasets.load_dataset(name, config or None, split=split, streaming=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(
            f"the data set {name!r} (configuration {config or 'default'!r}, split {split!r}) cannot be opened: {error}",
            expected="hf:NAME[:CONFIG[:SPLIT]] on the Hugging Face hub, or a folder in the place of NAME",
            hint="without a network, give a local .txt, .jsonl or .parquet file, a folder of them, or hf:FOLDER",
        ) from error
