"""The page of features: one file, or a server, for dictionaries that lie on disk."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monosema.dashboard import serve, write_page
from monosema.dashboard.provider import StoreProvider
from monosema.errors import InputError
from monosema.features.layout import INDEX
from monosema.runs.evaluate import dictionaries_in
from monosema.runs.features import TOKENS, build_folder, first_named, open_features, store_places

PAGE = "features.html"
SHOWN = 100
"""Features that a page shows in full, where none are named."""


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """What a page is made from: a dictionary's feature store, and what it is made from where there is none."""

    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    out: Path | None = None
    """Where the feature store is, or is to be; by default features/ in the dictionary's folder."""
    model: str | None = None
    """Read this model instead of the one that the dictionary was trained on."""
    text: str | None = None
    """Text for a store that is made."""
    tokens: int = TOKENS
    """Tokens to read for a store that is made."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""

    def to_open(self) -> dict[str, Any]:
        """As `write_folder_page` and `serve_folder` take them."""
        return {"name": self.dictionary, "out": self.out, "model": self.model, "device": self.device}

    def to_make(self) -> dict[str, Any]:
        """As `ensure_store` takes them."""
        return {**self.to_open(), "text": self.text, "tokens": self.tokens}


def provider_of(
    folder: str | Path, name: str | None = None, compare: Sequence[str | Path] = (), **options: Any
) -> StoreProvider:
    """What a page of one of a folder's dictionaries shows; the others are there to compare with.

    Args:
        folder: a dictionary's folder or address, or a run's.
        name: which of a run's dictionaries; by default the first.
        compare: folders of further dictionaries to compare with, which have feature stores.
        options: those of `open_features`.

    Raises:
        InputError: there is no such dictionary, or no feature store of one.
    """
    opened = open_features(folder, name=name, **options)
    providers = {one.name: StoreProvider(one.store, one.dictionary, one.model) for one in opened}
    chosen = providers[opened[0].name]
    for place in compare:
        for one in open_features(place):
            name = f"{place}: {one.name}" if one.name in providers else one.name
            providers[name] = StoreProvider(one.store, one.dictionary, one.model)
    size = chosen.dictionary.spec.d_out
    chosen.others = {
        other: one for other, one in providers.items() if one is not chosen and one.dictionary.spec.d_out == size
    }
    return chosen


def write_folder_page(
    folder: str | Path,
    features: str | None = None,
    *,
    page: Path | None = None,
    name: str | None = None,
    shown: int = SHOWN,
    **options: Any,
) -> Path:
    """Writes the page of a dictionary, and says where it is: in the folder named by `out`, or else in the dictionary's.

    Args:
        folder: a dictionary's folder or address, or a run's.
        features: which to show in full, as `parse_features` takes them; by default live ones, spread over densities.
        page: the file, if it is to be elsewhere.
        name: which of a run's dictionaries; by default the first.
        shown: how many are shown in full, where none are named.
        options: those of `open_features`.
    """
    provider = provider_of(folder, name, alone=True, **options)
    chosen = spread(provider, shown) if features is None else parse_features(features, len(provider.store))
    out = options.get("out")
    return write_page(page or (out or provider.store.folder.parent) / PAGE, provider, chosen)


def serve_folder(
    folder: str | Path,
    *,
    name: str | None = None,
    compare: Sequence[str | Path] = (),
    host: str,
    port: int,
    ready: Callable[[str], object] | None = None,
    **options: Any,
) -> None:
    """Serves the page of a dictionary until it is interrupted; the arguments are those of `serve` and `provider_of`."""
    serve(provider_of(folder, name, compare, **options), host, port, ready=ready)


def ensure_store(
    folder: str | Path,
    say: Callable[[str], object],
    *,
    name: str | None = None,
    alone: bool = False,
    out: Path | None = None,
    **options: Any,
) -> None:
    """Builds the feature stores of a folder's dictionaries if one is missing, after saying so.

    Args:
        folder: a dictionary's folder or address, or a run's folder.
        say: told what is done.
        name: of the dictionary that will be shown; by default the first.
        alone: no other will be.
        out: where the stores are, or are to be.
        options: those of `build_folder`.

    Raises:
        InputError: there is no such dictionary, or what `build_folder` refuses.
    """
    store_places(folder, [], out)  # before anything is downloaded
    names = first_named(list(dictionaries_in(folder)), name)
    places = store_places(folder, names, out)
    missing = [name for name in names[: 1 if alone else None] if not (places[name] / INDEX).is_file()]
    if missing:
        say(f"no feature store of {', '.join(missing)} yet: reading text to make it (monosema features build)")
        build_folder(folder, only=missing, out=out, **options)


def spread(provider: StoreProvider, n: int) -> list[int]:
    """Live features from the densest to the rarest, evenly spread, in the order of their numbers."""
    density = provider.store.column("density")
    live = [int(i) for i in density.argsort(kind="stable") if density[i] > 0]
    if not live:
        raise InputError(f"{provider.name}, none of whose features ever fires", expected="one with live features")
    step = max(len(live) / n, 1)
    return sorted({live[min(int((k + 0.5) * step), len(live) - 1)] for k in range(min(n, len(live)))})


def parse_features(text: str, width: int) -> list[int]:
    """The features that a list like `0-99,512` names, each once, in the order in which they are named.

    Raises:
        InputError: it is no such list, or names a feature that is not there.
    """
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if not match:
            raise InputError(f"features {text!r}", expected="numbers and ranges, such as 0-99,512")
        first, last = int(match[1]), int(match[2] or match[1])
        if last >= width or last < first:
            raise InputError(f"features {part}", expected=f"from 0 to {width - 1}, the smaller first")
        found += range(first, last + 1)
    return list(dict.fromkeys(found))
