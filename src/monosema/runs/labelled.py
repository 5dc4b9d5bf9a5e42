"""Documents with labels, from a file."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from monosema.errors import InputError


def read_labelled(path: str | Path, text: str = "text", label: str = "label") -> tuple[list[str], list[str]]:
    """Texts and labels of the rows of a `.jsonl` or `.csv` file, whose first line names the columns.

    Args:
        path: of the file.
        text: the column of texts.
        label: the column of labels; what it holds is taken as words (`true`, `3`).

    Raises:
        InputError: no such file or column, rows that are not whole, or fewer than two different labels.
    """
    path = Path(path)
    if path.suffix not in _READERS or not path.is_file():
        raise InputError(f"{path}", expected=f"a file that ends in {' or '.join(sorted(_READERS))}")
    texts, labels = [], []
    try:
        for number, row in _READERS[path.suffix](path):
            for column in (text, label):
                if row.get(column) in (None, ""):
                    known = ", ".join(str(name) for name in row if name) or "none"
                    raise InputError(f"line {number} of {path} has no {column!r}", expected=f"one of {known}")
            texts.append(_word(row[text]))
            labels.append(_word(row[label]))
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise InputError(f"{path} is not CSV ({error})") from None
    if len(set(labels)) < 2:
        raise InputError(f"{path} with the labels {sorted(set(labels))}", expected="at least two different ones")
    return texts, labels


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _csv(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        for row in reader:
            yield reader.line_num, row


def _jsonl(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"line {number} of {path} is not JSON ({error})") from None
            if not isinstance(row, Mapping):
                raise InputError(f"line {number} of {path} is no object", expected='{"text": …, "label": …}')
            yield number, row


_READERS = {".csv": _csv, ".jsonl": _jsonl}
