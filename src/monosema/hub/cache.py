"""Where downloads lie: in the hub's own cache, in its documented layout, so that no library downloads them again.

`models--org--repo/blobs/` has the contents by their hash, `snapshots/COMMIT/` links them under their names, and
`refs/REVISION` says which commit a branch was last seen at.
"""

import os
import re
import shutil
from pathlib import Path

from monosema.errors import InputError
from monosema.files import write_text
from monosema.hub.address import Address, check_inside

_HASH = re.compile(r"[0-9a-f]{40,64}")


def root() -> Path:
    """The folder of the hub's cache: `HF_HOME` and `HF_HUB_CACHE` choose it."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def folder_of(repo: str) -> Path:
    """Where all of a repository lies."""
    return root() / f"models--{repo.replace('/', '--')}"


def snapshot(repo: str, commit: str) -> Path:
    """Where the files of a commit lie."""
    return folder_of(repo) / "snapshots" / checked_hash(commit)


def blob(repo: str, digest: str) -> Path:
    """Where the content with a hash lies."""
    return folder_of(repo) / "blobs" / checked_hash(digest)


def lock(repo: str, digest: str) -> Path:
    """The file that a process locks which writes a content; the hub's own library locks the same one."""
    return root() / ".locks" / folder_of(repo).name / f"{checked_hash(digest)}.lock"


def known_commit(address: Address) -> str | None:
    """The commit that a revision was at when it was last asked for; None if it never was."""
    if re.fullmatch(r"[0-9a-f]{40}", address.revision):
        return address.revision
    ref = folder_of(address.repo) / "refs" / address.revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else ""
    return commit if _HASH.fullmatch(commit) else None


def remember_commit(address: Address, commit: str) -> None:
    """Notes which commit a branch or tag is at."""
    if address.revision != commit:
        write_text(folder_of(address.repo) / "refs" / address.revision, checked_hash(commit))


def cached(address: Address) -> Path | None:
    """Where an address lies on this machine, if it was downloaded before."""
    commit = known_commit(address)
    place = snapshot(address.repo, commit) / address.path if commit else None
    return place if place and place.exists() else None


def expected_place(address: Address) -> Path:
    """Where an address would lie."""
    return folder_of(address.repo) / "snapshots" / (known_commit(address) or "COMMIT") / address.path


def link(content: Path, name: Path) -> None:
    """Gives a content its name: as a relative link, or as a copy where there are no links."""
    name.parent.mkdir(parents=True, exist_ok=True)
    temporary = name.with_name(f".{name.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.symlink(os.path.relpath(content, name.parent), temporary)
    except OSError:
        shutil.copyfile(content, temporary)
    os.replace(temporary, name)


def place_in(folder: Path, path: str) -> Path:
    """Where a file of a repository lies below a folder.

    Raises:
        InputError: its name leads out of the folder.
    """
    check_inside(path, "file")
    return folder / path


def checked_hash(text: str) -> str:
    """The same text, if it is a hash: it becomes the name of a file.

    Raises:
        InputError: it is something else.
    """
    if not _HASH.fullmatch(text):
        raise InputError(f"the hub gave {text[:80]!r} for a hash", expected="hexadecimal digits")
    return text
