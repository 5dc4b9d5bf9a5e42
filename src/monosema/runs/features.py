"""Feature stores of dictionaries that lie on disk: where they are, how they are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monosema.activations import Contexts, MixedContexts
from monosema.device import keep_freed_memory, pick_device
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.features import BuildOptions, FeatureStore, build_features
from monosema.features.layout import INDEX
from monosema.files import remove
from monosema.hub import Address, parse
from monosema.models import Readable
from monosema.runs.config import RunConfig
from monosema.runs.data import HELDOUT_WINDOW
from monosema.runs.evaluate import common_origin, dictionaries_in, model_of
from monosema.runs.folder import DICTIONARIES

FEATURES = "features"
"""Folder of a dictionary's store, in its own."""
TOKENS = 1_000_000


@dataclass(frozen=True)
class Opened:
    """A dictionary with its model and its feature store."""

    name: str
    dictionary: Dictionary
    model: Readable
    store: FeatureStore


def build_folder(
    folder: str | Path,
    *,
    out: Path | None = None,
    model: str | None = None,
    second: str | None = None,
    text: str | None = None,
    tokens: int = TOKENS,
    context: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    only: Sequence[str] | None = None,
    options: BuildOptions = BuildOptions(),  # noqa: B008  it is frozen
) -> list[Opened]:
    """Builds the feature store of a dictionary, or of each dictionary of a run, in its folder.

    Args:
        folder: a dictionary's folder or address, or a run's folder.
        out: where else the store is to be; needed for an address. Of several dictionaries, a folder for all of them.
        model, second: other models to read.
        text: another text to read than the one it was trained on.
        tokens: to read; fewer where the text ends.
        context: tokens that the model reads at once; by default as in training.
        device: where to compute.
        overwrite: replace a store that is there.
        only: those of a run's dictionaries; by default all.
        options: how it is made.

    Raises:
        InputError: no dictionary there, its model or text cannot be used, or a store is there already.
    """
    if tokens < 1:
        raise InputError(f"{tokens} tokens to read", expected="at least 1")
    dictionaries = _moved(dictionaries_in(folder), device)
    places = store_places(folder, list(dictionaries), out)
    if only is not None:
        dictionaries = {name: dictionaries[name] for name in only}
        places = {name: places[name] for name in only}
    for place in places.values():
        if place.exists() and not overwrite:
            raise InputError(f"{place} is there already", hint="--overwrite replaces it")
        if place.exists() and not (place / INDEX).is_file():
            raise InputError(f"{place}, which is no feature store", expected="a store, or nothing, to replace")
    origin = common_origin(dictionaries)
    if not (text or origin["text"]):
        raise InputError(f"{folder} does not say which text it came from", expected="--text")
    loaded = model_of(dictionaries, model=model, second=second, device=device)
    keep_freed_memory()
    found = []
    for name, dictionary in dictionaries.items():
        contexts = MixedContexts(
            Contexts(loaded.tokenizer, text or origin["text"], context or origin["context"] or RunConfig.context),
            HELDOUT_WINDOW,
        )
        if places[name].exists():
            remove(places[name])
        read = text or origin["text"]
        store = build_features(
            dictionary, loaded, contexts, places[name], tokens=tokens, text=read, options=options, name=name
        )
        found.append(Opened(name, dictionary, loaded, store))
    return found


def open_features(
    folder: str | Path, *, out: Path | None = None, model: str | None = None, second: str | None = None, device="auto"
) -> list[Opened]:
    """The dictionaries of a folder, each with its model and its store.

    Raises:
        InputError: there is no dictionary, or no store of one.
    """
    dictionaries = _moved(dictionaries_in(folder), device)
    stores = {name: FeatureStore(place) for name, place in store_places(folder, list(dictionaries), out).items()}
    loaded = model_of(dictionaries, model=model, second=second, device=device)
    return [Opened(name, dictionary, loaded, stores[name]) for name, dictionary in dictionaries.items()]


def store_places(folder: str | Path, names: list[str], out: Path | None) -> dict[str, Path]:
    """Where the stores of a folder's dictionaries are."""
    if out is not None:
        return {name: out if len(names) == 1 else out / name for name in names}
    place = parse(folder)
    if isinstance(place, Address):
        raise InputError(f"the address {folder}, in which nothing can be written", expected="--out, a folder")
    below = place / DICTIONARIES
    return {name: (below / name if below.is_dir() else place) / FEATURES for name in names}


def _moved(dictionaries: Mapping[str, Dictionary], device: str) -> dict[str, Dictionary]:
    where = pick_device(device)
    return {name: dictionary.to(where).eval() for name, dictionary in dictionaries.items()}
