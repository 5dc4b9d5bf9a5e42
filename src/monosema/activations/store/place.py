"""A folder of files, on this machine or at any address that fsspec knows."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec.core
from fsspec.implementations.local import LocalFileSystem

from monosema.errors import InputError
from monosema.files import remove_unfinished, write_atomically

CHUNK = 2**22


class Place:
    """A folder at an address: a path, `s3://bucket/folder`, `memory://name`, ….

    Raises:
        InputError: the kind of address is unknown, or its package is not installed.
    """

    def __init__(self, address: str | Path):
        self.address = str(address).rstrip("/")
        try:
            self._files, self._root = fsspec.core.url_to_fs(self.address)
        except (ValueError, ImportError) as error:
            raise InputError(f"address {self.address!r} ({error})", expected="a folder, or an fsspec address") from None
        self.is_local = isinstance(self._files, LocalFileSystem)

    def __str__(self) -> str:
        return self.address

    def size(self, name: str) -> int | None:
        """Bytes of a file; None if there is none."""
        at = self._at(name)
        return self._files.size(at) if self._files.isfile(at) else None

    def is_empty(self) -> bool:
        """Whether nothing is there."""
        return not self._files.exists(self._root) or not self._files.ls(self._root, detail=False)

    def read(self, name: str) -> bytes:
        """What a file holds."""
        return self._files.cat_file(self._at(name))

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Has `write` write a file, which is then there as a whole or not at all."""
        if self.is_local:
            write_atomically(Path(self._at(name)), write)
            return
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / name)
            self._files.makedirs(self._root, exist_ok=True)
            self._files.put_file(str(Path(folder) / name), self._at(name))

    @contextmanager
    def as_local(self, name: str) -> Iterator[Path]:
        """A file's path on this machine; of one from elsewhere, a copy for as long as it is used."""
        if self.is_local:
            yield Path(self._at(name))
            return
        with tempfile.TemporaryDirectory() as folder:
            self._files.get_file(self._at(name), str(Path(folder) / name))
            yield Path(folder) / name

    def remove_unfinished(self) -> None:
        """Deletes what a writer that was killed has left half done; none may be writing."""
        if self.is_local:
            remove_unfinished(Path(self._root))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"


def checksum(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(CHUNK):
            found.update(part)
    return found.hexdigest()
