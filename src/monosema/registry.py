"""Named things that the configuration can ask for: recipes, activation functions, maps, model families."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from monosema.errors import InputError

T = TypeVar("T")
Thing = TypeVar("Thing")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A hint that offers the known names most like `name`, or None where none is alike."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else None


class Registry(Mapping[str, T]):
    """A mapping from a name to the thing that was registered under it.

    >>> colours = Registry("colour")
    >>> @colours.register("red")
    ... class Red: ...
    >>> colours["red"] is Red
    True
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._things: dict[str, Any] = {}

    def register(self, *names: str) -> Callable[[Thing], Thing]:
        """Decorator: registers what it decorates, whose own type it keeps, under each of `names`."""

        def add(thing: Thing) -> Thing:
            for name in names:
                if name in self._things:
                    raise ValueError(f"{self.kind} {name!r} is registered twice")
                self._things[name] = thing
            return thing

        return add

    def __getitem__(self, name: str) -> T:
        """The thing registered under `name`; an InputError with the nearest names if there is none."""
        if name not in self._things:
            raise InputError(
                f"unknown {self.kind} {name!r}",
                expected=f"one of {', '.join(sorted(self._things))}",
                hint=nearest(name, self._things),
            )
        return self._things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)
