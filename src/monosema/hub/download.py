"""Downloads from the hub: resumed where they broke off, compared with the hub's checksums, kept in its cache."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from monosema.errors import InputError
from monosema.files import write_json
from monosema.hub import cache
from monosema.hub.address import Address
from monosema.hub.errors import Unreachable, asking, is_network, offline
from monosema.hub.listing import File, files_at
from monosema.progress import Progress, progress

_SCALER = "activation_scaler.json"


def fetch(address: Address) -> Path:
    """Downloads the dictionary at an address, unless it is here already, and says where it lies.

    What was cut off goes on where it stopped, in this process or in a later one. A file gets its name when all of it
    has arrived and its checksum is the hub's: sha256 of large files, git's own hash of small ones. Without a network,
    what was downloaded before is used, and a line on stderr says so.

    Raises:
        InputError: there is no such place, it holds no dictionary, a file is not what the hub says it is, or it would
            have to be downloaded and the hub cannot be reached.
        OSError: the connection broke, or the disk is full; what has arrived is kept.
    """
    from huggingface_hub import HfApi

    if address.revision == cache.known_commit(address) and (there := cache.cached(address)):
        return there  # a commit does not change
    try:
        with asking(address):
            api = HfApi()
            commit = revision_of(api, address)
            files = files_at(api, address, commit)
    except Unreachable as reason:
        if there := cache.cached(address):
            print(f"monosema: the hub cannot be reached ({reason}); {address} as it was downloaded", file=sys.stderr)
            return there
        raise offline(address, reason) from None
    folder = cache.snapshot(address.repo, commit)
    places = {cache.place_in(folder, file.path): file for file in files}
    missing = {place: file for place, file in places.items() if not place.is_file()}
    with progress(f"downloading {address}", sum(file.size for file in missing.values()), "bytes") as bar:
        contents = {place: _content(address, commit, file, bar) for place, file in missing.items()}
    for place, content in contents.items():  # only now: a folder that is there has all of its files
        cache.link(content, place)
    cache.remember_commit(address, commit)
    there = folder / address.path
    if address.published and address.published.factor and not (there / _SCALER).is_file():
        write_json(there / _SCALER, {"scaling_factor": address.published.factor})
    return there


def revision_of(api: Any, address: Address) -> str:
    """The commit that an address' branch, tag or commit is at, from the hub."""
    return cache.checked_hash(api.model_info(address.repo, revision=address.revision).sha or "")


def _content(address: Address, commit: str, file: File, bar: Progress) -> Path:
    """The whole content of a file, checked, under its hash."""
    from huggingface_hub.utils import WeakFileLock

    content, lock = cache.blob(address.repo, file.digest), cache.lock(address.repo, file.digest)
    content.parent.mkdir(parents=True, exist_ok=True)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if content.is_file():
            bar.advance(file.size)
            return content
        part = content.with_name(f"{content.name}.monosema.part")
        _download(address, commit, file, part, bar)
        if (found := file.hash_of(part)) != file.digest:
            part.unlink()
            raise InputError(
                f"{file.path} of {address.repo} arrived with checksum {found}",
                expected=f"{file.digest}, as the hub says",
                hint="nothing of it was kept; try again",
            )
        with open(part, "rb+") as whole:
            os.fsync(whole.fileno())
        os.replace(part, content)
    return content


def _download(address: Address, commit: str, file: File, part: Path, bar: Progress) -> None:
    """Fills a file until it has its size, however often the connection is cut, as long as something arrives."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    url, headers = hf_hub_url(address.repo, file.path, revision=commit), build_hf_headers()
    part.touch()
    if part.stat().st_size > file.size:
        part.write_bytes(b"")
    bar.advance(part.stat().st_size)
    while (before := part.stat().st_size) < file.size:
        error = _attempt(lambda opened, done: http_get(url, opened, resume_size=done, headers=headers), part, bar)
        if part.stat().st_size <= before:
            raise ConnectionError(
                f"{file.path} of {address.repo} broke off after {before:,} of {file.size:,} bytes "
                f"({error or 'the hub sends no more'}); what has arrived is kept, and the same command goes on with it"
            ) from error


def _attempt(get: Callable[[Any, int], None], part: Path, bar: Progress) -> Exception | None:
    """Goes on with a file as far as the connection lasts; what it ended in, if it did not end well."""
    try:
        with open(part, "ab") as opened, _quietly():
            get(_Counted(opened, bar), part.stat().st_size)
    except Exception as error:
        if not is_network(error):
            raise
        return error
    return None


class _Counted:
    """A file that is written to, with a bar that follows."""

    def __init__(self, file: BinaryIO, bar: Progress):
        self._file, self._bar = file, bar

    def write(self, piece: bytes) -> int:
        self._bar.advance(len(piece))
        return self._file.write(piece)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the bars and warnings of huggingface_hub: there is a bar, and what goes wrong is said once."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    shown, verbosity = not are_progress_bars_disabled(), logging.get_verbosity()
    if shown:
        disable_progress_bars()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            enable_progress_bars()
