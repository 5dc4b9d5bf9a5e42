"""Which files of a repository make up a dictionary, and how they are recognised when they have arrived."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from monosema.errors import InputError
from monosema.hub.address import Address, check_inside

SUFFIXES = (".json", ".safetensors", ".npz", ".pt", ".pth", ".yaml", ".yml")
_NATIVE = ("dictionary.json", "dictionary.safetensors")
_LEFT_OUT = "examples.safetensors"
"""What lies in a dictionary's folder and is no part of it: texts on which its features are active (Gemma Scope 2)."""
_BESIDE = ("config.yaml", "config.json", "cfg.json")
"""What may lie beside a dictionary that is a single file, and describe it."""
_FURTHER = {"hyperparams.json": "checkpoints/final.safetensors"}
"""A file that says that another, further down, belongs to it (Llama Scope)."""


@dataclass(frozen=True)
class File:
    """A file of a repository: its path there, its size in bytes and its hash.

    `sha256` is that of large files (LFS); of small ones the hub tells git's hash alone, in `git`.
    """

    path: str
    size: int
    git: str
    sha256: str | None

    @property
    def digest(self) -> str:
        """What the content is called in the hub's cache."""
        return self.sha256 or self.git

    def hash_of(self, content: Path) -> str:
        """The hash of the same kind, of a file on this machine."""
        if self.sha256:
            return _hashed(content, hashlib.sha256())
        return _hashed(content, hashlib.sha1(f"blob {content.stat().st_size}\0".encode(), usedforsecurity=False))


def files_at(api: Any, address: Address, commit: str) -> list[File]:
    """The files of the dictionary at an address, and no others: neither those beside it nor those below it.

    Raises:
        InputError: nothing is there, or no dictionary; or a file's name leads out of the repository.
    """
    if address.path:
        found = api.get_paths_info(address.repo, [address.path], revision=commit)
        if not found:
            raise InputError(f"{address.repo} has no {address.path!r}", expected="a folder or file in the repository")
        if hasattr(found[0], "blob_id"):
            return _files([*found, *_beside(api, address, commit)])
    there = list(api.list_repo_tree(address.repo, address.path or None, revision=commit))
    named = {PurePosixPath(file.path).name: file for file in _files(there) if file.path.endswith(SUFFIXES)}
    names = {name: file for name, file in named.items() if name != _LEFT_OUT and not _is_again(name, named)}
    files = list(names.values())
    if set(_NATIVE) <= names.keys():
        return [names[name] for name in _NATIVE]
    for name, further in _FURTHER.items():
        if name in names:
            wanted = f"{address.path}/{further}" if address.path else further
            files += _files(api.get_paths_info(address.repo, [wanted], revision=commit))
    if not files:
        folders = [item.path for item in there if not hasattr(item, "blob_id")]
        raise InputError(
            f"{address} holds no dictionary itself",
            expected="the path of one" + (f", such as {', '.join(folders[:3])}" if folders else ""),
        )
    return files


def _is_again(name: str, names: Collection[str]) -> bool:
    """Whether a pickle is what a safetensors file of the same name holds, too."""
    path = PurePosixPath(name)
    return path.suffix in (".pt", ".pth") and f"{path.stem}.safetensors" in names


def folders_at(api: Any, address: Address, commit: str) -> list[str]:
    """The paths of the folders right below an address; none below a file, or where nothing is."""
    if address.path:
        found = api.get_paths_info(address.repo, [address.path], revision=commit)
        if not found or hasattr(found[0], "blob_id"):
            return []
    there = api.list_repo_tree(address.repo, address.path or None, revision=commit)
    folders = sorted(item.path for item in there if not hasattr(item, "blob_id"))
    for folder in folders:
        check_inside(folder, "folder")
    return folders


def _beside(api: Any, address: Address, commit: str) -> list[Any]:
    folder, stem = PurePosixPath(address.path).parent, PurePosixPath(address.path).stem
    further = [stem.replace("W_enc_", "W_dec_") + ".safetensors"] if stem.startswith("W_enc_") else []
    wanted = [str(folder / name) for name in (*_BESIDE, f"{stem}_cfg.json", *further)]
    return api.get_paths_info(address.repo, wanted, revision=commit)


def _files(found: Iterable[Any]) -> list[File]:
    files = [item for item in found if hasattr(item, "blob_id")]
    for item in files:
        check_inside(item.path, "file")
    return [File(item.path, item.size, item.blob_id, item.lfs.sha256 if item.lfs else None) for item in files]


def _hashed(content: Path, digest: Any) -> str:
    with open(content, "rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
