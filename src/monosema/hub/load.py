"""Reading a dictionary from wherever it lies."""

import dataclasses
import re
from pathlib import Path

from monosema import formats
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.hub.address import Address, parse
from monosema.hub.download import fetch


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
        if not place.exists():
            hint = (
                f"on the Hugging Face hub? Then hf://{path}"
                if re.fullmatch(r"[\w.-]+(/[\w.@-]+)+", str(path))
                else None
            )
            raise InputError(f"no dictionary at {path}", expected="a folder that holds one, or an address", hint=hint)
        return formats.load(place)
    return _described(formats.load(fetch(place)), place)


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
