"""The values of a configuration file, each checked when it is asked for."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from monosema.errors import InputError
from monosema.files import read_json
from monosema.registry import nearest

MISSING: Any = object()
LARGEST = 2**40
"""No size is larger: what is beyond it is no size, and would overflow later."""


class Settings:
    """A mapping from a file that anybody may have written.

    Every method takes a `default` for a value that is not there, and refuses what is of another kind than it says with
    an InputError that names the file and the key. A null is a value that is not there.
    """

    def __init__(self, values: Any, path: Path, above: str = ""):
        if not isinstance(values, Mapping):
            raise InputError(f"{above or 'the content'} of {path} is {_shown(values)}", expected="a mapping")
        self.values, self.path, self.above = values, path, above

    @classmethod
    def read(cls, path: Path) -> "Settings":
        """The content of a JSON file."""
        return cls(read_json(path), path)

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def section(self, name: str) -> "Settings":
        """A mapping within this one; an empty one if it is not there."""
        return Settings(self.values[name] if name in self else {}, self.path, self._full(name))

    def whole(self, name: str, default: Any = MISSING, *, least: int = 1) -> int:
        """A whole number, of at least `least`."""
        value = self._get(name, default)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST:
            raise self.refused(name, f"a whole number of at least {least}")
        return value

    def number(self, name: str, default: Any = MISSING) -> float:
        """A finite number."""
        value = self._get(name, default)
        if value is default:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(_float(value)):
            raise self.refused(name, "a finite number")
        return float(value)

    def flag(self, name: str, default: Any = MISSING) -> bool:
        """True or false."""
        value = self._get(name, default)
        if value is not default and not isinstance(value, bool):
            raise self.refused(name, "true or false")
        return value

    def text(self, name: str, default: Any = MISSING, *, among: Collection[str] = ()) -> str:
        """A text, one of `among` if there are any."""
        value = self._get(name, default)
        if value is default:
            return value
        if not isinstance(value, str):
            raise self.refused(name, "a text")
        if among and value not in among:
            raise self.refused(name, " or ".join(sorted(among)), nearest(value, among))
        return value

    def refused(self, name: str, expected: str, hint: str | None = None) -> InputError:
        """The error for a value."""
        return InputError(
            f"{self._full(name)} = {_shown(self.values.get(name))} in {self.path}", expected=expected, hint=hint
        )

    def _get(self, name: str, default: Any) -> Any:
        if name in self:
            return self.values[name]
        if default is MISSING:
            raise InputError(f"{self.path} has no {self._full(name)!r}", hint=nearest(name, map(str, self.values)))
        return default

    def _full(self, name: str) -> str:
        return f"{self.above}.{name}" if self.above else name


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _shown(value: Any) -> str:
    """A value, cut where it is long."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:80] + "…"
