"""JSON that may stand in a page: short, and unable to end the element that it is in."""

import json
import math
from typing import Any

DIGITS = 4  # significant ones; a page shows three
_AS_IT_IS = {str, int, bool, type(None)}
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def compact_json(value: Any) -> str:
    """`value` as JSON in ASCII, with numbers of four significant digits; what is not finite is null."""
    return json.dumps(_rounded(value), separators=(",", ":"), allow_nan=False)


def embedded_json(value: Any) -> str:
    """The same, for the inside of a script element: without `<`, `>` or `&`, so that no text can end the element."""
    return compact_json(value).translate(_ESCAPES)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return {key: _rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):  # most entries need no call
        return [entry if type(entry) in _AS_IT_IS else _rounded(entry) for entry in value]
    return value


def _number(value: float) -> float | int | None:
    if not value:
        return 0
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short
