"""Dictionaries of one file format written in another."""

from pathlib import Path

from monosema.errors import InputError
from monosema.files import remove
from monosema.formats import members, recognised, save_as
from monosema.hub import Address, load, parse
from monosema.runs.folder import DICTIONARIES, check_free


def convert(source: str | Path, out: str | Path, to: str) -> dict[str, Path]:
    """Writes a dictionary, or each of a set or a run, in another format.

    Args:
        source: a path or address of a dictionary of any format that is read, a folder of several, or a run's folder.
        out: a new or empty folder; each dictionary of several gets a folder of its name in it.
        to: the name of a format that is written.

    Returns:
        The folders, by the dictionaries' names.

    Raises:
        InputError: a dictionary cannot be read, or the format cannot express it; nothing is left behind.
    """
    place, out = parse(source), check_free(Path(out))
    if isinstance(place, Address):
        save_as(load(str(source)), out, to)
        return {place.path.rpartition("/")[2] or place.repo: out}
    source = place
    if not source.exists():
        raise InputError(f"no dictionary at {source}", expected="a folder or file that holds one, or an address")
    below = source / DICTIONARIES
    inside = members(below if below.is_dir() else source) if recognised(source) is None else {}
    if not inside:
        save_as(load(source), out, to)
        return {source.stem: out}
    try:
        for name, member in inside.items():
            save_as(load(member), out / name, to)
    except BaseException:  # nothing half done is left
        for name in inside:
            if (out / name).exists():
                remove(out / name)
        raise
    return {name: out / name for name in inside}
