"""Grids: where a hyper-parameter is a list, a run has one dictionary for each of its values.

`{site: resid_post.2, width: [2048, 4096], recipe: {name: topk, k: [16, 32, 64]}}` stands for every combination, six
dictionaries. All of this happens in plain data, before it becomes a configuration.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields
from itertools import product
from typing import Any, get_args, get_origin, get_type_hints

from monosema.config import TAG
from monosema.errors import InputError
from monosema.recipes import recipes
from monosema.runs.naming import settings_of, suffixes

Plain = dict[str, Any]


def dictionaries(entry: Any) -> list[Any]:
    """The dictionaries that one entry of a run's list stands for: every combination of what it lists, once.

    The last key varies fastest. Where the recipe's name is a list, each recipe takes the hyper-parameters that it has.
    An entry's name gets what varies as its end. What is no mapping, or lists nothing, stands for itself.

    Raises:
        InputError: a list is empty, or holds a value twice.
    """
    if not isinstance(entry, Mapping):
        return [entry]
    choices = {key: _choices(key, value) for key, value in entry.items() if key not in ("recipe", "name")}
    if "recipe" in entry:  # last, so that it varies fastest
        choices["recipe"] = _recipes(entry["recipe"])
    found = list(combinations(choices))
    if "name" in entry:
        ends = suffixes([settings_of(point) for point in found])
        found = [{**point, "name": _joined(entry["name"], end)} for point, end in zip(found, ends, strict=True)]
    return found


def combinations(choices: Mapping[str, Iterable[Any]]) -> Iterable[Plain]:
    """Every mapping that has one of each key's choices; the last key varies fastest."""
    return (dict(zip(choices, values, strict=True)) for values in product(*choices.values()))


def list_fields(recipe: type) -> set[str]:
    """The hyper-parameters of a recipe whose value is itself a list."""
    hints = get_type_hints(recipe)
    return {f.name for f in fields(recipe) if _takes_list(hints[f.name])}


def _recipes(value: Any) -> list[Any]:
    """The recipes that a list of them, or one with lists in it, stands for."""
    if isinstance(value, (list, tuple)):
        return [recipe for one in _choices("recipe", value) for recipe in _recipes(one)]
    if not isinstance(value, Mapping):
        return [value]
    names = _choices(f"recipe.{TAG}", value[TAG]) if TAG in value else []
    if len(names) < 2:
        return _recipes_of(value, names)
    return [point for name in names for point in _recipes_of({**_taken(value, name, names), TAG: name}, [name])]


def _recipes_of(value: Mapping[str, Any], names: Collection[Any]) -> list[Plain]:
    lists = {key for name in names if _known(name) for key in list_fields(recipes[name])}
    choices = {key: _choices(f"recipe.{key}", item, whole=key in lists) for key, item in value.items()}
    return list(combinations(choices))


def _taken(value: Mapping[str, Any], name: Any, names: Iterable[Any]) -> Plain:
    """What one of several recipes takes; what none of them has stays, to be refused as unknown."""
    own, known = _parameters(name), {key for each in names for key in _parameters(each)}
    return {key: item for key, item in value.items() if key in own or key not in known}


def _choices(path: str, value: Any, whole: bool = False) -> list[Any]:
    """The values that stand at `path`. Where a list is one value (`whole`), a list of lists or nulls is several."""
    if not isinstance(value, (list, tuple)):
        return [value]
    if whole and not any(item is None or isinstance(item, (list, tuple)) for item in value):
        return [value]
    if not value:
        raise InputError(f"{path} is an empty list", expected="a value, or a list of values to train with each")
    for place, item in enumerate(value):
        if any(item == other and type(item) is type(other) for other in value[:place]):
            raise InputError(f"{path} holds {item!r} twice", expected="different values")
    return list(value)


def _joined(name: Any, end: str) -> Any:
    return f"{name}-{end}" if isinstance(name, str) and end else name


def _known(name: Any) -> bool:
    return isinstance(name, str) and name in recipes


def _parameters(name: Any) -> set[str]:
    return {f.name for f in fields(recipes[name])} if _known(name) else set()


def _takes_list(annotation: Any) -> bool:
    return get_origin(annotation) in (list, tuple) or any(_takes_list(member) for member in get_args(annotation))
