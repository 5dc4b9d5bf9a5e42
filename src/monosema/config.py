"""The one way between frozen dataclasses and YAML.

The same dataclasses are the Python API, the YAML file and the command line. A value of the wrong type is refused,
never bent into shape: `3.7` or `true` is no whole number, and `"1e-3"` in quotes is no number at all. A field annotated
with a base class that was given to `register_tagged` takes any class of its registry: `{name: topk, k: 32}` is
`TopK(k=32)`.
"""

import dataclasses
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from monosema.errors import InputError
from monosema.files import write_text
from monosema.registry import Registry, nearest

T = TypeVar("T")

TAG = "name"
"""The key that says which registered class a mapping stands for."""

_tagged: dict[type, Registry[Any]] = {}
_grids: dict[type, Callable[[Any], Iterable[Any]]] = {}
_SCALARS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def register_tagged(base: type, registry: Registry[Any]) -> None:
    """Says that a field annotated with `base` takes any dataclass in `registry`, by its name."""
    _tagged[base] = registry


def register_grid(cls: type, expand: Callable[[Any], Iterable[Any]]) -> None:
    """Says that in a list of `cls` one item may stand for several: `expand` gives them all, in plain data."""
    _grids[cls] = expand


def from_dict(cls: type[T], data: Any, where: str = "the configuration") -> T:
    """The instance of `cls` that `data` describes; `from_dict(type(x), to_dict(x)) == x`.

    Args:
        cls: a dataclass, or a base class given to `register_tagged`.
        data: what a YAML or JSON file holds: mappings, lists, texts, numbers, booleans, None.
        where: what an error calls the place that `data` came from: a file's name.

    Raises:
        InputError: a key is unknown or missing, a value is of the wrong type, or a class refuses its values.
    """
    try:
        return _convert(cls, data, "")
    except _Mismatch as problem:
        raise InputError(f"{where}: {problem.given}", expected=problem.expected, hint=problem.hint) from None


def to_dict(value: Any) -> Any:
    """The plain mappings, lists, texts, numbers, booleans and None that describe a dataclass instance (or a value)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = _tag_of(type(value))
        tag = {} if name is None else {TAG: name}
        return tag | {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
    if isinstance(value, Mapping):
        return {key: to_dict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_dict(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be written to a configuration")


def load_yaml(cls: type[T], path: str | Path) -> T:
    """The instance of `cls` that a YAML file describes.

    Raises:
        InputError: the file is missing or is not YAML (with line and column), or `from_dict` refuses what it holds.
    """
    from monosema.yaml_text import parse

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"no file {path}", expected="a YAML file there") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file ({error})", expected="YAML in UTF-8") from None
    return from_dict(cls, parse(text, where=str(path)), where=str(path))


def dump_yaml(value: Any, path: str | Path) -> None:
    """Writes a dataclass instance as YAML, atomically, its fields in their order; `load_yaml` gives it back."""
    from monosema.yaml_text import render

    write_text(Path(path), render(to_dict(value)))


def differences(now: Any, before: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """What differs between two configurations in plain data: each dotted key, what it is now and what it was."""
    if isinstance(now, list) and isinstance(before, list):
        now, before = dict(enumerate(now)), dict(enumerate(before))
    if not (isinstance(now, Mapping) and isinstance(before, Mapping)):
        if now != before:
            yield key, now, before
        return
    for name in [*before, *(name for name in now if name not in before)]:
        yield from differences(now.get(name), before.get(name), _join(key, name))


class _Mismatch(Exception):
    """The data does not fit its annotation; `path` is the dotted path of the key, for which `given` speaks."""

    def __init__(self, path: str, given: str, expected: str | None, hint: str | None = None):
        self.path, self.given, self.expected, self.hint = path, given, expected, hint


class _WrongType(_Mismatch):
    """Not even the kind of value that the annotation takes."""


def _refuse(path: str, value: Any, annotation: Any) -> NoReturn:
    shown = "nothing" if value is None else repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    raise _WrongType(path, f"{path} is {shown}" if path else f"{shown} at the top", _describe(annotation))


def _convert(annotation: Any, value: Any, path: str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if annotation in (None, types.NoneType):
        return None if value is None else _refuse(path, value, annotation)
    if annotation in _SCALARS:
        return _convert_scalar(annotation, value, path)
    if origin is Literal:
        # True == 1 in Python, but not in a configuration.
        fits = any(value == choice and type(value) is type(choice) for choice in arguments)
        return value if fits else _refuse(path, value, annotation)
    if origin in (Union, types.UnionType):
        return _convert_union(annotation, value, path)
    if origin in (dict, Mapping):
        return _convert_mapping(annotation, value, path)
    if origin in (list, tuple):
        return _convert_list(annotation, value, path)
    if annotation in _tagged or dataclasses.is_dataclass(annotation):
        return _convert_dataclass(annotation, value, path)
    raise TypeError(f"a configuration cannot hold {annotation!r}")


def _convert_scalar(kind: Any, value: Any, path: str) -> Any:
    build: Callable[[Any], Any] = kind
    number = type(value) in (int, float)
    if kind is int:  # 5e6 tokens is a whole number of them
        fits = number and (isinstance(value, int) or value.is_integer())
    elif kind is float:
        fits = number
    else:
        fits = isinstance(value, (str, Path) if kind is Path else kind)
    return build(value) if fits else _refuse(path, value, kind)


def _convert_union(annotation: Any, value: Any, path: str) -> Any:
    """The first member that takes the value; else the error of the one that understood it and refused what it says."""
    problems: list[_Mismatch] = []
    for member in get_args(annotation):
        try:
            return _convert(member, value, path)
        except _Mismatch as problem:  # noqa: PERF203
            problems.append(problem)
    understood = [problem for problem in problems if problem.path != path or not isinstance(problem, _WrongType)]
    if not understood:
        _refuse(path, value, annotation)
    raise max(understood, key=lambda problem: len(problem.path))


def _convert_mapping(annotation: Any, value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        _refuse(path, value, annotation)
    keys, items = get_args(annotation)
    return {_convert(keys, k, _join(path, k)): _convert(items, item, _join(path, k)) for k, item in value.items()}


def _convert_list(annotation: Any, value: Any, path: str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    uniform = origin is list or arguments[1:] == (...,)
    if not isinstance(value, (list, tuple)) or not (uniform or len(value) == len(arguments)):
        _refuse(path, value, annotation)
    members: Iterable[Any] = [arguments[0]] * len(value) if uniform else arguments
    items = [
        _convert(member, item, f"{path}[{i}]")
        for i, (member, entry) in enumerate(zip(members, value, strict=True))
        for item in (_expanded(member, entry, f"{path}[{i}]") if uniform else [entry])
    ]
    return items if origin is list else tuple(items)


def _expanded(member: Any, entry: Any, path: str) -> Iterable[Any]:
    """What an entry of a list stands for: itself, or all points of a grid."""
    if not (isinstance(member, type) and member in _grids):
        return [entry]
    try:
        return _grids[member](entry)
    except InputError as error:
        raise _Mismatch(path, f"{path}: {error.given}", error.expected, error.hint) from None


def _convert_dataclass(annotation: Any, value: Any, path: str) -> Any:
    if not isinstance(value, Mapping):
        _refuse(path, value, annotation)
    cls, value = _resolve(annotation, value, path)
    _check_keys(cls, value, path)
    hints = _hints(cls)
    arguments = {key: _convert(hints[key], item, _join(path, key)) for key, item in value.items()}
    try:
        return cls(**arguments)
    except InputError as error:
        raise _Mismatch(path, f"{path}: {error.given}" if path else error.given, error.expected, error.hint) from None


def _check_keys(cls: Any, value: Mapping[Any, Any], path: str) -> None:
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    for key in value:
        if key not in fields:
            at, known = _join(path, key), f"one of {', '.join(fields)}" if fields else "no key"
            raise _Mismatch(at, f"unknown key {at}", known, nearest(str(key), fields))
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in value:
            at = _join(path, name)
            raise _Mismatch(at, f"{at} is missing", _describe(_hints(cls)[name]))


def _resolve(cls: type, value: Mapping[Any, Any], path: str) -> tuple[type, Mapping[Any, Any]]:
    """The class that the mapping's tag names, and the mapping without the tag; `cls` itself where there are no tags."""
    own = _tag_of(cls)
    if cls not in _tagged and own is None:
        return cls, value
    registry: Mapping[Any, type] = _tagged.get(cls, {own: cls})
    name, rest = value.get(TAG, own), {key: item for key, item in value.items() if key != TAG}
    if name not in list(registry):
        at, names = _join(path, TAG), sorted(registry)
        given, hint = (f"{at} is {name!r}", nearest(str(name), names)) if TAG in value else (f"{at} is missing", None)
        raise _Mismatch(at, given, f"one of {', '.join(names)}", hint)
    return registry[name], rest


def _tag_of(cls: type) -> str | None:
    """The name that a class is registered under, the first if there are several; None if it is not."""
    names = (name for registry in _tagged.values() for name, registered in registry.items() if registered is cls)
    return next(names, None)


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _describe(annotation: Any) -> str:
    """What an annotation takes, in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if annotation in (None, types.NoneType):
        return "null"
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(member) for member in arguments)
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in arguments)
    if origin is tuple and arguments[1:] != (...,):
        return f"a list of {len(arguments)}: " + ", ".join(_describe(member) for member in arguments)
    if origin in (list, tuple):
        return f"a list, each item {_describe(arguments[0])}"
    if annotation in _tagged:
        return f"a mapping with the {TAG} of a {_tagged[annotation].kind}"
    if dataclasses.is_dataclass(annotation):
        return f"a mapping of {', '.join(f.name for f in dataclasses.fields(annotation) if f.init)}"
    return "a mapping"
