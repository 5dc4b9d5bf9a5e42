"""What a file format of dictionaries is, and finding the one that a folder is in."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.registry import Registry


@dataclass(frozen=True)
class Format:
    """A way that dictionaries lie on disk."""

    recognises: Callable[[Path], bool]
    """Whether what lies at a path looks like this format, judged by the names of files alone."""
    load: Callable[[Path], Dictionary]
    save: Callable[[Dictionary, Path], None]


formats: Registry[Format] = Registry("format")


def load(path: str | Path) -> Dictionary:
    """Reads the dictionary at `path`, in whichever registered format it is.

    Raises:
        InputError: nothing is there, no format fits, or the files are broken.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"no dictionary at {path}", expected="a folder that holds one")
    for known in formats.values():
        if known.recognises(path):
            return known.load(path)
    raise InputError(f"{path} holds no dictionary", expected=f"one in the format {' or '.join(formats)}")
