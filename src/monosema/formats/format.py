"""What a file format of dictionaries is, and finding the one that a path is in."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.registry import Registry

Fetch = Callable[[str], Path]
"""Where what lies at a path or an address is on this machine."""


@dataclass(frozen=True)
class Listing:
    """A set that says of its members where they lie: beside it, elsewhere, or on the Hugging Face hub."""

    places: Mapping[str, str]
    """A path or an address, by a member's name."""
    read: Callable[[Mapping[str, Path]], dict[str, Dictionary]]
    """The dictionaries, from where each member is on this machine."""
    one: bool = False
    """Whether all members together are one dictionary."""


@dataclass(frozen=True)
class Format:
    """A way that dictionaries lie on disk."""

    recognises: Callable[[Path], bool]
    """Whether what lies at a path looks like this format: by the names of files, and of a lone `.pt` file by those of
    its tensors."""
    load: Callable[[Path], Dictionary]
    save: Callable[[Dictionary, Path], None] | None = None
    """None for a format that is read alone."""
    listing: Callable[[Path], Listing | None] = lambda path: None
    """What a folder lists, where a format has such sets."""


formats: Registry[Format] = Registry("format")


def here(place: str) -> Path:
    """A path as it is.

    Raises:
        InputError: it is an address, which the hub would be needed for.
    """
    if "://" in place:
        raise InputError(
            f"a set of which a part lies at {place}", expected="files on this machine", hint="monosema.load fetches it"
        )
    return Path(place)


def load(path: str | Path, fetch: Fetch = here) -> Dictionary:
    """Reads the dictionary at `path`, in whichever registered format it is, in evaluation mode.

    Args:
        path: a folder, or a file where a format has dictionaries in single files.
        fetch: called for each place that a set lists.

    Raises:
        InputError: nothing is there, no format fits, several dictionaries are there, or the files are broken.
    """
    path = _there(path)
    if known := recognised(path):
        return known.load(path)
    listing = listed(path)
    if listing is not None and listing.one:
        return _read(listing, fetch).popitem()[1]
    if inside := listing.places if listing else members(path):
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


def load_all(path: str | Path, fetch: Fetch = here) -> dict[str, Dictionary]:
    """Reads every dictionary of a set, by name: transcoders of all layers, all hook points, all trainers of a run.

    Args:
        path: a folder whose folders or files are dictionaries, or that lists where they lie; of a path to one
            dictionary, that one.
        fetch: as for `load`.

    Raises:
        InputError: as `load`.
    """
    path = _there(path)
    if recognised(path):
        return {path.stem: load(path)}
    if listing := listed(path):
        return _read(listing, fetch)
    return {name: load(member, fetch) for name, member in members(path).items()} or {path.stem: load(path, fetch)}


def listed(path: Path) -> Listing | None:
    """What a folder lists as the members of a set; None if it lists none."""
    return next((found for known in formats.values() if (found := known.listing(path))), None)


def _read(listing: Listing, fetch: Fetch) -> dict[str, Dictionary]:
    return listing.read({name: fetch(place) for name, place in listing.places.items()})


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
