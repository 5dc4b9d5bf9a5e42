"""The registry of published dictionaries: facts that came with the package, from `scripts/registry.py`."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from monosema.errors import InputError
from monosema.registry import nearest

FILE = Path(__file__).parent / "registry.json.gz"


@dataclass(frozen=True)
class Published:
    """A published dictionary, and where it lies. What nobody has written down is None."""

    release: str
    id: str
    repo: str
    path: str
    model: str
    reads: str
    writes: str
    width: int | None
    l0: float | None
    format: str
    treated: tuple[str, ...] | None
    """What TransformerLens had done to the weights of the model that it was trained on."""
    factor: float | None
    """What activations were multiplied by in training, where the repository lacks that."""

    @property
    def address(self) -> str:
        """What `monosema.load` takes."""
        return f"saelens:{self.release}/{self.id}"

    @property
    def point(self) -> str:
        """The hook point, or the two of a transcoder."""
        return self.reads if self.reads == self.writes else f"{self.reads} → {self.writes}"


@cache
def releases() -> Mapping[str, Sequence[Published]]:
    """All published dictionaries, by release."""
    found = json.loads(gzip.decompress(FILE.read_bytes()))
    return {
        name: [_published(name, release, *row) for row in release["dictionaries"]]
        for name, release in found["releases"].items()
    }


def search(words: Sequence[str]) -> list[Published]:
    """The published dictionaries in whose facts every word occurs: model, hook point, release, format, …

    A hook point or a width is meant as a whole: `resid_post.1` finds no `resid_post.11`. Upper and lower case are one.
    """
    wanted = [word.lower() for word in words]
    return [one for all_of in releases().values() for one in all_of if all(_says(one, word) for word in wanted)]


def find(release: str, id: str) -> Published:
    """The dictionary of a release that SAELens calls `id`.

    Raises:
        InputError: there is no such release or dictionary; the nearest names are offered.
    """
    known = releases()
    if release not in known:
        raise InputError(
            f"unknown release {release!r}",
            expected=f"one of the {len(known)} that `monosema pretrained search` lists",
            hint=nearest(release, known),
        )
    ids = {one.id: one for one in known[release]}
    if id not in ids:
        raise InputError(
            f"release {release} has no {id!r}",
            expected=f"one of its {len(ids)}, such as {next(iter(ids))}",
            hint=nearest(id, ids),
        )
    return ids[id]


def _says(one: Published, word: str) -> bool:
    whole = {one.reads, one.writes, one.format, str(one.width)}
    return (
        word in whole
        or any(word in text.lower() for text in (one.model, one.release, one.repo))
        or ("." not in word and any(word == point.split(".")[0] for point in (one.reads, one.writes)))
    )


def _published(
    name: str,
    release: Mapping[str, Any],
    id: str,
    path: str | None,
    point: str,
    width: int | None = None,
    l0: float | None = None,
    factor: float | None = None,
) -> Published:
    reads, _, writes = point.partition(">")
    treated = release.get("treated")
    return Published(
        release=name,
        id=id,
        repo=release["repo"],
        path=path or id,
        model=release["model"],
        reads=reads,
        writes=writes or reads,
        width=width,
        l0=l0,
        format=release["format"],
        treated=None if treated is None else tuple(treated),
        factor=factor,
    )
