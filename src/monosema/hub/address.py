"""Addresses of dictionaries: a local path, or a place on the Hugging Face hub.

| address | what it means |
| --- | --- |
| `hf://org/repo/path@revision` | a folder or file in a repository of the hub; path and revision may be left out |
| `saelens:release/id` | a dictionary of the registry, by the names that SAELens gives it |
| `gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_82` | the same for `saelens:gemma-scope-2b-pt-res/…` |
| anything else | a local folder or file |
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monosema.errors import InputError
from monosema.hub.registry import Published, find, releases
from monosema.registry import nearest

MAIN = "main"
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")
_REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_HF, _SAELENS, _GEMMA_SCOPE = "hf", "saelens", "gemma-scope"


@dataclass(frozen=True)
class Address:
    """A place on the hub: a repository, a path in it ("" for all of it), and a branch, tag or commit."""

    repo: str
    path: str = ""
    revision: str = MAIN
    published: Published | None = None
    """The registry's entry, where the address came from there."""

    def __post_init__(self) -> None:
        check_repo(self.repo)
        check_inside(self.path, "path")
        check_inside(self.revision, "revision")

    def __str__(self) -> str:
        path = f"/{self.path}" if self.path else ""
        return f"hf://{self.repo}{path}{'' if self.revision == MAIN else f'@{self.revision}'}"


def parse(text: str | Path) -> Address | Path:
    """The place that an address means, on the hub or, as a `Path`, on this machine.

    Raises:
        InputError: a scheme that is not known, something missing behind it, or a name that the registry lacks.
    """
    if isinstance(text, Path) or Path(text).exists() or not (found := _SCHEME.match(text)):
        return Path(text).expanduser()
    scheme, rest = found[1], text[found.end() :]
    if scheme == _HF:
        return _on_hub(text, rest.removeprefix("//"))
    if scheme == _SAELENS:
        return _published(text, rest)
    if scheme == _GEMMA_SCOPE:
        return _published(text, f"gemma-scope-{rest}")
    raise InputError(
        f"address {text!r}",
        expected="a local path, hf://org/repo/path@revision, saelens:release/id or gemma-scope:…",
        hint=nearest(scheme, (_HF, _SAELENS, _GEMMA_SCOPE)),
    )


def release_of(text: str | Path) -> Sequence[Published] | None:
    """The dictionaries of the release of the registry that an address without an id names; None for any other text."""
    if isinstance(text, Path) or Path(text).exists() or not (found := _SCHEME.match(text)):
        return None
    if found[1] not in (_SAELENS, _GEMMA_SCOPE):
        return None
    rest = text[found.end() :]
    return releases().get(rest if found[1] == _SAELENS else f"gemma-scope-{rest}")


def check_repo(repo: str) -> None:
    """InputError unless a text is the name of a repository, `org/repo`."""
    if not _REPO.fullmatch(repo) or ".." in repo:
        raise InputError(f"repository {repo!r}", expected="org/repo, of letters, digits, '.', '_' and '-'")


def check_inside(path: str, what: str) -> None:
    """InputError unless a relative path stays below where it starts."""
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") for part in parts) or any(sign in path for sign in ("\\", "\0")):
        raise InputError(f"{what} {path!r} in a repository", expected="one that stays inside the repository")


def _on_hub(text: str, rest: str) -> Address:
    place, at, revision = rest.rpartition("@") if "@" in rest else (rest, "", MAIN)
    org, _, behind = place.partition("/")
    name, _, path = behind.partition("/")
    if not org or not name or (at and not revision):
        raise InputError(
            f"address {text!r}", expected="hf://org/repo, hf://org/repo/path or hf://org/repo/path@revision"
        )
    return Address(f"{org}/{name}", path.strip("/"), revision)


def _published(text: str, rest: str) -> Address:
    release, _, id = rest.partition("/")
    if not id and release in releases():
        raise InputError(
            f"address {text!r} names a release of {len(releases()[release])} dictionaries",
            expected=f"one of them: {releases()[release][0].address}",
            hint=f"`monosema pretrained search {release}` lists them",
        )
    entry = find(release, id)
    return Address(entry.repo, entry.path, published=entry)
