"""Reading a dictionary, or a set of them, from wherever it lies."""

import dataclasses
import re
from pathlib import Path

from monosema import formats
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.formats import TemporalAutoencoder
from monosema.hub.address import Address, parse, release_of
from monosema.hub.download import fetch
from monosema.hub.sets import fetch_set, fetched

_LIKE_A_REPOSITORY = re.compile(r"[\w.-]+(/[\w.@-]+)+")


def load(path: str | Path) -> Dictionary:
    """Reads the dictionary at a path or an address, in whichever format it is, in evaluation mode.

    Addresses are `hf://org/repo/path@revision`, `saelens:release/id` and `gemma-scope:…`; what they mean is downloaded
    first, once. What the registry knows of a published dictionary and its files do not say (model, hook points,
    whether TransformerLens had treated the model's weights) is added to its spec and metadata.

    Args:
        path: a local folder or file, or an address.

    Raises:
        InputError: nothing is there, no format fits, the files are broken or not what the hub says they are, or the
            hub would be needed and cannot be reached.
        OSError: the connection broke while something was downloaded; what has arrived is kept.
    """
    place = parse(path)
    if isinstance(place, Path):
        return formats.load(_there(place, path), fetched)
    return _described(formats.load(fetch(place), fetched), place)


def load_all(path: str | Path) -> dict[str, Dictionary]:
    """Reads every dictionary of a set, by name: all layers, all hook points, all trainers of a run.

    Args:
        path: a folder whose folders or files are dictionaries, or whose `config.yaml` lists where transcoders lie; an
            address of such a folder; or one of a whole release, `saelens:release`. Of one dictionary, that one.

    Raises:
        InputError, OSError: as `load`.
    """
    if (release := release_of(path)) is not None:
        return {one.id: load(one.address) for one in release}
    place = parse(path)
    if isinstance(place, Path):
        return formats.load_all(_there(place, path), fetched)
    if place.published:
        return {place.published.id: load(path)}
    there = fetch_set(place)
    found, below = formats.load_all(there, fetched), _addresses(there, place)
    return {name: _described(dictionary, below.get(name, place)) for name, dictionary in found.items()}


def load_temporal(path: str | Path) -> TemporalAutoencoder:
    """Reads a temporal autoencoder, which takes whole contexts, in evaluation mode.

    Args:
        path: a folder that SAELens has written, or one of canrager/temporalSAEs; or an address of either.

    Raises:
        InputError, OSError: as `load`.
    """
    place = parse(path)
    return formats.load_temporal(_there(place, path) if isinstance(place, Path) else fetch(place))


def _addresses(there: Path, address: Address) -> dict[str, Address]:
    """Where each dictionary of a set that was downloaded lies on the hub."""
    if formats.recognised(there):
        return {}
    if listing := formats.listed(there):
        known = {name: parse(place) for name, place in listing.places.items() if "://" in place}
        return {name: place for name, place in known.items() if isinstance(place, Address)}
    before = f"{address.path}/" if address.path else ""
    members = formats.members(there)
    return {name: dataclasses.replace(address, path=f"{before}{path.name}") for name, path in members.items()}


def _there(place: Path, given: str | Path) -> Path:
    if place.exists():
        return place
    hint = f"on the Hugging Face hub? Then hf://{given}" if _LIKE_A_REPOSITORY.fullmatch(str(given)) else None
    raise InputError(f"no dictionary at {given}", expected="a folder that holds one, or an address", hint=hint)


def _described(dictionary: Dictionary, address: Address) -> Dictionary:
    metadata = {"address": str(address)}
    if entry := address.published:
        metadata = {"address": entry.address, "model": entry.model}
        if entry.treated is not None:
            metadata |= {"model_preprocessing": list(entry.treated)}
        spec = dictionary.spec
        if spec.writes_what_it_reads == (entry.reads == entry.writes):
            reads, writes = spec.reads or (entry.reads,), spec.writes or (entry.writes,)
            dictionary.spec = dataclasses.replace(spec, reads=reads, writes=writes)
    known = {key: value for key, value in dictionary.metadata.items() if value is not None}
    dictionary.metadata = {**dictionary.metadata, **metadata, **known}
    return dictionary
