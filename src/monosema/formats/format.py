"""What a file format of dictionaries is, and finding the one that a path is in."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.registry import Registry


@dataclass(frozen=True)
class Format:
    """A way that dictionaries lie on disk."""

    recognises: Callable[[Path], bool]
    """Whether what lies at a path looks like this format: by the names of files, and of a lone `.pt` file by those of
    its tensors."""
    load: Callable[[Path], Dictionary]
    save: Callable[[Dictionary, Path], None] | None = None
    """None for a format that is read alone."""


formats: Registry[Format] = Registry("format")


def load(path: str | Path) -> Dictionary:
    """Reads the dictionary at `path`, in whichever registered format it is, in evaluation mode.

    Args:
        path: a folder, or a file where a format has dictionaries in single files.

    Raises:
        InputError: nothing is there, no format fits, several dictionaries are there, or the files are broken.
    """
    path = _there(path)
    if known := recognised(path):
        return known.load(path)
    if inside := members(path):
        first = next(iter(inside.values()))
        raise InputError(
            f"{path} holds {len(inside)} dictionaries: {', '.join(inside)}"[:300],
            expected=f"the path of one, such as {first}",
            hint="monosema.load_all reads them all",
        )
    raise InputError(f"{path} holds no dictionary", expected=f"one in the format {' or '.join(formats)}")


def save_as(dictionary: Dictionary, path: str | Path, to: str) -> None:
    """Writes a dictionary in a format that another library reads, into a folder.

    Args:
        dictionary: what is written.
        path: the folder; it is made.
        to: the name of a format.

    Raises:
        InputError: the format is unknown, is only read, or cannot express the dictionary; the message says why, and
            nothing is written.
    """
    save = formats[to].save
    if save is None:
        written = sorted(name for name, known in formats.items() if known.save)
        raise InputError(f"format {to!r} is read, not written", expected=" or ".join(written))
    save(dictionary, Path(path))


def load_all(path: str | Path) -> dict[str, Dictionary]:
    """Reads every dictionary of a set, by name: transcoders of all layers, all hook points, all trainers of a run.

    Args:
        path: a folder whose folders or files are dictionaries; of a path to one dictionary, that one.

    Raises:
        InputError: as `load`.
    """
    path = _there(path)
    inside = {path.stem: path} if recognised(path) else members(path)
    return {name: load(member) for name, member in inside.items()} or {path.stem: load(path)}


def recognised(path: Path) -> Format | None:
    """The format that a path is in, if any; InputError if it is a broken `.pt` file."""
    return next((known for known in formats.values() if known.recognises(path)), None)


def members(path: Path) -> dict[str, Path]:
    """The dictionaries right below a folder, by the names of their folders or files, layer 10 behind layer 9."""
    children = sorted(path.iterdir(), key=_natural) if path.is_dir() else []
    return {child.name if child.is_dir() else child.stem: child for child in children if recognised(child)}


def _there(path: str | Path) -> Path:
    path = Path(path)
    if not path.exists():
        raise InputError(f"no dictionary at {path}", expected="a folder or file that holds one")
    return path


def _natural(path: Path) -> list[tuple[int, str]]:
    return list(_pieces(path.name))


def _pieces(name: str) -> Iterator[tuple[int, str]]:
    for piece in re.split(r"(\d+)", name):
        yield (int(piece), "") if piece.isdecimal() else (0, piece)
