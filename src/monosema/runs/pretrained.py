"""Published dictionaries: looking them up in the registry, and downloading one or a whole set."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from monosema.errors import InputError
from monosema.hub import Address, Published, fetch, parse, releases, search
from monosema.registry import nearest


def search_lines(words: Sequence[str], limit: int) -> list[str]:
    """What the registry knows that has all the words in it, a line for each dictionary; without words, each release.

    The address ends the line, whole, to be copied.

    Args:
        words: as `monosema.hub.search` takes them.
        limit: dictionaries at most.

    Raises:
        InputError: nothing is found, or no line is wanted.
    """
    if limit < 1:
        raise InputError(f"--limit {limit}", expected="at least 1")
    if not words:
        return _of_releases(releases())
    found = found_or_refused(words)
    rows = [("model", "hook point", "width", "L0", "format", "address")]
    rows += [(o.model, o.point, _number(o.width), _number(o.l0), o.format, o.address) for o in found[:limit]]
    more = [f"{len(found) - limit:,} more: add words, or --limit."] if len(found) > limit else []
    return [*_aligned(rows), *more]


def found_or_refused(words: Sequence[str]) -> list[Published]:
    """The published dictionaries with all the words in their facts; an InputError where there are none."""
    found = search(words)
    if not found:
        known = {text for all_of in releases().values() for text in (all_of[0].model, all_of[0].release)}
        raise InputError(
            f"no published dictionary in the registry for {' '.join(words)!r}",
            expected="words of a model, release, hook point (resid_post.3), width or format",
            hint=nearest(words[0], known),
        )
    return found


def download(what: Sequence[str], only: Sequence[str]) -> dict[str, Path]:
    """Downloads dictionaries into the hub's cache, and says where each lies.

    Args:
        what: addresses, and names of releases, which stand for all of their dictionaries.
        only: of releases, those alone in whose facts all these words occur.

    Raises:
        InputError: an unknown name, a local path, nothing left by `only`, and as `monosema.hub.fetch`.
        OSError: the connection broke; what has arrived is kept.
    """
    if not what:
        raise InputError("nothing to download", expected="a release, or an address")
    places: dict[str, Address] = {}
    for name in what:
        if name in releases():
            left = set(search(only)) if only else set(releases()[name])
            chosen = [one for one in releases()[name] if one in left]
            if not chosen:
                given = f"no dictionary of release {name} for {' '.join(only)!r}"
                raise InputError(given, expected="words of some of them")
            places |= {one.address: _address(one.address) for one in chosen}
        else:
            places[name] = _address(name)
    return {name: fetch(address) for name, address in places.items()}


def _address(name: str) -> Address:
    place = parse(name)
    if isinstance(place, Path):
        raise InputError(
            f"{name!r} to download", expected="a release or an address on the hub", hint=nearest(name, releases())
        )
    return place


def _of_releases(all_of: Mapping[str, Sequence[Published]]) -> list[str]:
    rows = [("model", "hook points", "dictionaries", "format", "release")]
    for name, of in all_of.items():
        points = ", ".join(dict.fromkeys(one.point.split(".")[0] for one in of))
        rows.append((of[0].model, points, f"{len(of):,}", of[0].format, name))
    total = sum(len(of) for of in all_of.values())
    return [*_aligned(rows), f"{total:,} dictionaries of {len(all_of)} releases; words list dictionaries."]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of text as lines, each column but the last as wide as its widest entry."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
