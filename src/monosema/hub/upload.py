"""Uploads to the hub: a folder becomes one commit."""

from pathlib import Path

from monosema.errors import InputError
from monosema.hub.address import Address, check_repo
from monosema.hub.errors import Unreachable, asking

ALLOWED = (".safetensors", ".json", ".yaml", ".md")
"""What is published: weights that no reader has to trust, and texts."""


def files_in(folder: Path) -> dict[str, Path]:
    """The files below a folder, by their path in it.

    Raises:
        InputError: one is of a kind that is not published, or there is none.
    """
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    for name in found:
        if not name.endswith(ALLOWED):
            raise InputError(f"{name} in {folder}", expected=f"nothing but {', '.join(ALLOWED)}")
    if not found:
        raise InputError(f"nothing in {folder}", expected="files to publish")
    return found


def upload(folder: Path, repo: str, *, message: str, private: bool = False) -> str:
    """Makes the repository, if there is none, and puts all files of a folder there in one commit.

    Args:
        folder: what is published; safetensors, JSON, YAML and Markdown alone.
        repo: `org/repo`.
        message: what the commit says.
        private: make a new repository private.

    Returns:
        The commit.

    Raises:
        InputError: another kind of file, a repository that may not be written to, or the hub cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    check_repo(repo)
    files = files_in(folder)
    try:
        with asking(Address(repo)):
            api = HfApi()
            api.create_repo(repo, private=private, exist_ok=True)
            operations = [CommitOperationAdd(name, path) for name, path in files.items()]
            return api.create_commit(repo, operations, commit_message=message).oid
    except Unreachable as reason:
        raise InputError(
            f"the Hugging Face hub cannot be reached ({reason})",
            hint="--dry-run writes what would be pushed to a folder",
        ) from None
