"""Feature stores of dictionaries that lie on disk: where they are, how they are made."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monosema.activations import Contexts, MixedContexts
from monosema.dashboard.examples import WINDOW
from monosema.device import keep_freed_memory, pick_device
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.features import BuildOptions, FeatureStore, build_features, feature_text
from monosema.features.export import EXPORTS
from monosema.features.layout import INDEX
from monosema.features.summary import ExampleOptions
from monosema.hub import Address, parse
from monosema.models import Readable
from monosema.runs.config import RunConfig
from monosema.runs.data import HELDOUT_WINDOW
from monosema.runs.evaluate import common_origin, dictionaries_in, model_of
from monosema.runs.folder import DICTIONARIES, check_free

FEATURES = "features"
"""Folder of a dictionary's store, in its own."""
TOKENS = 1_000_000
STRONGEST, EACH = ExampleOptions.strongest, ExampleOptions.each


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
    strongest: int = STRONGEST,
    each: int = EACH,
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
        strongest: contexts kept of each feature in which it is strongest.
        each: examples kept of each interval of its activations.

    Raises:
        InputError: no dictionary there, its model or text cannot be used, or a store is there already.
    """
    if tokens < 1:
        raise InputError(f"{tokens} tokens to read", expected="at least 1")
    store_places(folder, [], out)  # before anything is downloaded
    dictionaries = _moved(dictionaries_in(folder), device)
    places = store_places(folder, list(dictionaries), out)
    if only is not None:
        dictionaries = {name: dictionaries[name] for name in only}
        places = {name: places[name] for name in only}
    for place in places.values():
        _check_free(place, overwrite=overwrite)
    origin = common_origin(dictionaries)
    text = text or origin["text"]
    if not text:
        raise InputError(f"{folder} does not say which text it came from", expected="--text")
    length = context or origin["context"] or RunConfig.context
    loaded = model_of(dictionaries, model=model, second=second, device=device)
    keep_freed_memory()
    options = BuildOptions(examples=ExampleOptions(strongest=strongest, each=each))
    how: dict[str, Any] = {"tokens": tokens, "text": text, "options": options, "replace": overwrite}
    found = []
    for name, dictionary in dictionaries.items():
        contexts = MixedContexts(Contexts(loaded.tokenizer, text, length), HELDOUT_WINDOW)
        store = build_features(dictionary, loaded, contexts, places[name], name=name, **how)
        found.append(Opened(name, dictionary, loaded, store))
    return found


def _check_free(place: Path, *, overwrite: bool) -> None:
    """Refuses a place for a store where something is that is not to be, or must not be, replaced."""
    if place.exists() and not overwrite:
        raise InputError(f"{place} is there already", hint="--overwrite replaces it")
    if place.exists() and not (place / INDEX).is_file():
        raise InputError(f"{place}, which is no feature store", expected="a store, or nothing, to replace")


def open_features(
    folder: str | Path,
    *,
    name: str | None = None,
    alone: bool = False,
    out: Path | None = None,
    model: str | None = None,
    second: str | None = None,
    device: str = "auto",
) -> list[Opened]:
    """The dictionaries of a folder, each with its model and its store.

    Args:
        folder: a dictionary's folder or address, or a run's folder.
        name: of the dictionary that comes first; by default the one that is first in the folder.
        alone: without the others.
        out: where the stores are, if not in the dictionaries' folders.
        model, second: other models to read than those that the dictionaries were trained on.
        device: where to compute.

    Raises:
        InputError: there is no such dictionary, or no store of one.
    """
    store_places(folder, [], out)  # before anything is downloaded
    found = dictionaries_in(folder)
    names, places = first_named(list(found), name)[: 1 if alone else None], store_places(folder, list(found), out)
    stores = {name: FeatureStore(places[name]) for name in names}
    dictionaries = _moved({name: found[name] for name in names}, device)
    loaded = model_of(dictionaries, model=model, second=second, device=device)
    return [Opened(name, dictionary, loaded, stores[name]) for name, dictionary in dictionaries.items()]


def open_store(folder: str | Path, name: str | None = None, out: Path | None = None) -> FeatureStore:
    """The store of a dictionary, without its model; of a run's, the one that is named, or the first.

    Raises:
        InputError: there is no such dictionary, or no store of it.
    """
    store_places(folder, [], out)
    places = store_places(folder, list(dictionaries_in(folder)), out)
    return FeatureStore(places[first_named(list(places), name)[0]])


def export_folder(folder: str | Path, to: str, into: Path, *, name: str | None = None, out: Path | None = None) -> Path:
    """Writes a dictionary's store in the form of another tool, and says where it is.

    Raises:
        InputError: there is no such dictionary, form or store, or something is at `into` already.
    """
    store = open_store(folder, name, out)
    EXPORTS[to](store, check_free(into))
    return into


def feature_values(store: FeatureStore, feature: int) -> dict[str, Any]:
    """What is known of a feature, as JSON values, the text around its examples among it."""
    row = store.feature(feature)
    values = {key: value for key, value in row.columns.items() if key not in ("words", "first_row")}
    values["descriptions"] = [asdict(description) for description in store.descriptions(feature)]
    places = store.places([pick["token"] for pick in row.examples], *WINDOW)
    values["examples"] = [
        {**pick, "document": place.document, "context": place.context, "text": "".join(place.texts)}
        for pick, place in zip(row.examples, places, strict=True)
    ]
    return values


def features_text(store: FeatureStore, features: Sequence[int]) -> str:
    """What is known of some features, in lines for a terminal."""
    return "\n\n".join(feature_text(store, feature) for feature in features)


def store_places(folder: str | Path, names: list[str], out: Path | None) -> dict[str, Path]:
    """Where the stores of a folder's dictionaries are."""
    if out is not None:
        return {name: out if len(names) == 1 else out / name for name in names}
    place = parse(folder)
    if isinstance(place, Address):
        raise InputError(f"the address {folder}, in which nothing can be written", expected="--out, a folder")
    below = place / DICTIONARIES
    return {name: (below / name if below.is_dir() else place) / FEATURES for name in names}


def first_named(names: list[str], name: str | None) -> list[str]:
    """All names, this one first.

    Raises:
        InputError: it is not among them.
    """
    if name is not None and name not in names:
        raise InputError(f"dictionary {name!r}", expected=f"one of {', '.join(names)}")
    return names if name is None else [name, *(other for other in names if other != name)]


def _moved(dictionaries: Mapping[str, Dictionary], device: str) -> dict[str, Dictionary]:
    where = pick_device(device)
    return {name: dictionary.to(where).eval() for name, dictionary in dictionaries.items()}
