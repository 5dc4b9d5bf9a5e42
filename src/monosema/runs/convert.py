"""Dictionaries of one file format written in another."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.files import remove
from monosema.formats import listed, members, recognised, save_as
from monosema.hub import Address, load, load_all, parse, release_of
from monosema.runs.folder import DICTIONARIES, check_free


def convert(source: str | Path, out: str | Path, to: str) -> dict[str, Path]:
    """Writes a dictionary, or each of a set or a run, in another format.

    Args:
        source: a path or address of a dictionary of any format that is read, of a folder of several, or of a release
            of the registry; or a run's folder.
        out: a new or empty folder; each dictionary of several gets a folder of its name in it.
        to: the name of a format that is written.

    Returns:
        The folders, by the dictionaries' names.

    Raises:
        InputError: a dictionary cannot be read, or the format cannot express it; nothing is left behind.
    """
    out = check_free(Path(out))
    found, several = _found(source)
    places = {name: out / name if several else out for name in found}
    try:
        for name, read in found.items():
            save_as(read(), places[name], to)
    except BaseException:  # nothing half done is left
        for name in found if several else ():
            if places[name].exists():
                remove(places[name])
        raise
    return places


def _found(source: str | Path) -> tuple[dict[str, Callable[[], Dictionary]], bool]:
    """What there is, by name, with how each is read; and whether it is a set."""
    if release := release_of(source):
        return {one.id: partial(load, one.address) for one in release}, True
    place = parse(source)
    if isinstance(place, Address):
        name = place.path.rpartition("/")[2] or place.repo
        return _read(load_all(source), name)
    if not place.exists():
        raise InputError(f"no dictionary at {place}", expected="a folder or file that holds one, or an address")
    if recognised(place):
        return {place.stem: partial(load, place)}, False
    if listed(place):
        return _read(load_all(place), place.stem)
    below = place / DICTIONARIES
    inside = members(below if below.is_dir() else place)
    if not inside:
        return {place.stem: partial(load, place)}, False
    return {name: partial(load, member) for name, member in inside.items()}, True


def _read(dictionaries: dict[str, Dictionary], name: str) -> tuple[dict[str, Callable[[], Dictionary]], bool]:
    """Those that are here already; of one alone, under a name of its own."""
    if len(dictionaries) == 1:
        (only,) = dictionaries
        return {name: partial(dictionaries.__getitem__, only)}, False
    return {key: partial(dictionaries.__getitem__, key) for key in dictionaries}, True
