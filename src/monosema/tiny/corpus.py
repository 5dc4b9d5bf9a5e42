"""The corpus: the Python standard library's source, read from the interpreter that is running.

Real text that every machine already has. Each file is one document. A document's split depends on the hash of its
path alone, so a file stays on its side of the split when its text, or the set of files, changes between interpreters.
"""

import hashlib
import os
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from monosema.errors import InputError

Split = Literal["train", "heldout"]
HELDOUT_ONE_IN = 16
_SKIPPED_FOLDERS = {"site-packages", "dist-packages", "__pycache__"}


class Document(NamedTuple):
    """One source file: its path below the standard library's root (with `/`), and its text."""

    path: str
    text: str


def split_of(path: str) -> Split:
    """The split that the file at `path` (relative, with `/`) belongs to: one file in sixteen is held out."""
    digest = hashlib.sha256(path.encode()).digest()
    return "heldout" if int.from_bytes(digest[:8], "big") % HELDOUT_ONE_IN == 0 else "train"


def documents(split: Split, root: str | Path | None = None) -> Iterator[Document]:
    """Yields the documents of one split, in an order that mixes the library's packages and never varies.

    Args:
        split: `"train"` or `"heldout"`.
        root: folder to read `*.py` files from; the running interpreter's standard library by default.

    Raises:
        InputError: the split is unknown, or the folder holds no Python source.
    """
    if split not in ("train", "heldout"):
        raise InputError(f"unknown split {split!r}", expected="'train' or 'heldout'")
    folder = Path(root) if root is not None else Path(sysconfig.get_path("stdlib"))
    paths = [p for p in _source_paths(folder) if split_of(p) == split]
    if not paths:
        raise InputError(
            f"no Python source of split {split!r} below {folder}",
            expected="an interpreter that ships its standard library as .py files",
            hint="pass root= a folder of Python source",
        )
    for path in sorted(paths, key=lambda p: hashlib.sha256(b"order:" + p.encode()).digest()):
        text = _read(folder / path)
        if text:
            yield Document(path, text)


def corpus(split: Split, root: str | Path | None = None) -> Iterator[str]:
    """Yields the texts of `documents(split, root)`."""
    for document in documents(split, root):
        yield document.text


def _source_paths(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f not in _SKIPPED_FOLDERS]
        for name in files:
            path = Path(parent, name)
            if path.suffix == ".py" and not path.is_symlink():
                yield path.relative_to(folder).as_posix()


def _read(path: Path) -> str | None:
    """The file's text in the encoding that it declares; None for the few (the parser's own tests) that lie about it."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except (SyntaxError, UnicodeDecodeError):
        return None
