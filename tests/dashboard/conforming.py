"""Whether an answer has the form that the contract gives it."""

import json
import math
import types
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict


def check(value: Any, kind: Any, where: str = "answer") -> None:
    """Asserts that a value is of a type, all the way down: exact types, finite numbers, all keys and no others."""
    if is_typeddict(kind):
        hints, optional = get_type_hints(kind), getattr(kind, "__optional_keys__", frozenset())
        assert hints.keys() - optional <= value.keys() <= hints.keys(), where
        for name, entry in value.items():
            check(entry, hints[name], f"{where}.{name}")
        return
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        fitting = [one for one in arguments if _is(value, one)]
        assert fitting, f"{where} is {value!r}, not {kind}"
        check(value, fitting[0], where)
    elif origin is list:
        assert type(value) is list, where
        for i, entry in enumerate(value):
            check(entry, arguments[0], f"{where}[{i}]")
    elif origin is tuple:
        assert type(value) in (tuple, list), where
        for i, (entry, one) in enumerate(zip(value, arguments, strict=True)):
            check(entry, one, f"{where}[{i}]")
    elif origin is dict:
        for key, entry in value.items():
            check(key, arguments[0], where)
            check(entry, arguments[1], f"{where}[{key}]")
    else:
        assert type(value) is kind or (kind is float and type(value) is int), f"{where} is {value!r}, not {kind}"
        assert kind is not float or math.isfinite(value), f"{where} is {value}"


def _is(value: Any, kind: Any) -> bool:
    try:
        check(value, kind)
    except (AssertionError, AttributeError, TypeError, ValueError):
        return False
    return True


def conforms(value: Any, kind: Any) -> None:
    """The same, and that it is JSON."""
    check(value, kind)
    json.dumps(value, allow_nan=False)
