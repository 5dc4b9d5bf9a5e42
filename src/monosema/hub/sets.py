"""Downloads of whole sets: a release of the registry, the folders of a repository, or what a list in one names."""

from dataclasses import replace
from pathlib import Path

from monosema import formats
from monosema.errors import InputError
from monosema.hub import cache
from monosema.hub.address import Address, parse
from monosema.hub.download import fetch, revision_of
from monosema.hub.errors import Unreachable, asking
from monosema.hub.listing import folders_at


def fetched(place: str) -> Path:
    """Where a place that a set lists is on this machine, once it was downloaded."""
    found = parse(place)
    return fetch(found) if isinstance(found, Address) else found


def fetch_set(address: Address) -> Path:
    """Downloads the dictionaries at an address, and says where they lie: the one there, all in files there, or all in
    the folders right below.

    Raises:
        InputError: as `fetch`; or there is none.
    """
    folders = _folders(address)
    try:
        there = fetch(address)
    except InputError:
        if not folders:
            raise
        there = None
    if there is not None and (not folders or _holds(there)):
        return there
    found = [place for folder in folders if (place := _of_folder(folder)) is not None]
    if not found:
        raise InputError(
            f"{address} holds no dictionary, and none right below",
            expected="the path of some",
            hint=f"it has the folders {', '.join(folder.path for folder in folders)[:200]}",
        )
    return found[0].parent


def _folders(address: Address) -> list[Address]:
    """The folders right below, at the commit that the revision is at now; none where the hub cannot be asked."""
    from huggingface_hub import HfApi

    try:
        with asking(address):
            api = HfApi()
            commit = revision_of(api, address)
            below = folders_at(api, address, commit)
    except Unreachable:
        place = cache.cached(address)
        commit, root = cache.known_commit(address), cache.folder_of(address.repo)
        inside = sorted(path for path in place.iterdir() if path.is_dir()) if place and place.is_dir() else []
        below = [path.relative_to(root / "snapshots" / str(commit)).as_posix() for path in inside]
    else:
        cache.remember_commit(address, commit)
    return [replace(address, path=path, revision=str(commit), published=None) for path in below]


def _of_folder(folder: Address) -> Path | None:
    """Where a folder lies, if there is a dictionary in it."""
    try:
        there = fetch(folder)
    except InputError:
        return None
    return there if formats.recognised(there) else None


def _holds(place: Path) -> bool:
    return bool(formats.recognised(place) or formats.listed(place) or _files(place))


def _files(place: Path) -> list[Path]:
    """The dictionaries that are files of a folder."""
    return [path for path in formats.members(place).values() if path.is_file()]
