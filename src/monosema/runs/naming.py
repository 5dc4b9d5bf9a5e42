"""What tells dictionaries apart, in words that can stand in a folder's name."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from monosema.config import TAG

PLAIN_VALUES = ("recipe", "site", "target")
"""Settings whose value says by itself what it is."""
LONGEST = 120  # characters


def settings_of(dictionary: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a dictionary in plain data, its recipe's among them, as one level of keys; without its name."""
    recipe = dictionary.get("recipe")
    inner = recipe if isinstance(recipe, Mapping) else {}
    outer = {key: value for key, value in dictionary.items() if key not in ("recipe", "name")}
    return {"recipe": inner.get(TAG), **outer, **{key: value for key, value in inner.items() if key != TAG}}


def suffixes(settings: Sequence[Mapping[str, Any]], fewest: bool = False) -> list[str]:
    """Of each, the settings in which not all are alike: `k16`, `topk-k16`, `width4096-lr0.001`.

    A setting that is false, null, empty or missing leaves no trace, so the text may be empty, and the same for several.

    Args:
        settings: of each thing.
        fewest: leave out a setting that tells no more apart than those before it, as one that follows from them.
    """
    keys: list[str] = []
    kinds = 1
    for key in dict.fromkeys(key for each in settings for key in each):
        seen = (key,) if not fewest else (*keys, key)
        found = len({repr([each.get(k) for k in seen]) for each in settings})
        if found > (kinds if fewest else 1):
            keys, kinds = [*keys, key], found
    return ["-".join(filter(None, (_word(key, each.get(key)) for key in keys))) for each in settings]


def within(settings: Sequence[Mapping[str, Any]], fewest: bool = False) -> list[str]:
    """What tells each from the others of its recipe and site."""
    groups: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for own in settings:
        groups.setdefault((own["recipe"], own["site"]), []).append(own)
    words = {key: iter(suffixes(group, fewest)) for key, group in groups.items()}
    return [next(words[own["recipe"], own["site"]]) for own in settings]


def folder_name(*words: str) -> str:
    """Words joined into a name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", "-".join(filter(None, words)))[:LONGEST]


def _word(key: str, value: Any) -> str:
    if value is None or value is False or value == []:
        return ""
    if value is True:
        return key
    text = folder_name(_text(value))
    if key in PLAIN_VALUES:
        return text
    gap = "-" if text[:1].isalpha() else "_" if key[-1:].isdigit() else ""
    return f"{key}{gap}{text}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "_".join(map(_text, value))
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)
