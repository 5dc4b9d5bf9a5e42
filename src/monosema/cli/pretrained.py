"""Look up published dictionaries in the registry, and download one or a whole release."""

from dataclasses import asdict, dataclass
from typing import Any

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.pretrained import download, found_or_refused, search_lines


@dataclass(frozen=True)
class Search:
    """List the published dictionaries in whose facts every word occurs; without words, all releases."""

    words: tyro.conf.Positional[tuple[str, ...]] = ()
    """Words of a model, a release, a hook point (resid_post.3, or resid_post for any layer), a width or a format."""
    limit: int = 30
    """Rows to show."""
    json: bool = False
    """Print all that is found as JSON."""


@dataclass(frozen=True)
class Download:
    """Download dictionaries into the Hugging Face cache; what was cut off goes on where it stopped."""

    what: tyro.conf.Positional[tuple[str, ...]]
    """Releases, or addresses: hf://org/repo/path@revision, saelens:release/id, gemma-scope:…"""
    only: tuple[str, ...] = ()
    """Of a release, those alone in whose facts these words occur."""
    json: bool = False
    """Print where each dictionary lies as JSON."""


_ACTIONS: Any = Search | Download


def main(arguments: list[str]) -> None:
    """Searches or downloads, and prints."""
    options = parse(_ACTIONS, arguments, "pretrained")
    if isinstance(options, Download):
        places = download(options.what, options.only)
        if options.json:
            print_json({name: str(place) for name, place in places.items()})
        else:
            print("\n".join(f"{name}\t{place}" for name, place in places.items()))
    elif options.json:
        found = [{"address": one.address, **asdict(one)} for one in found_or_refused(options.words)]
        print_json(found)
    else:
        print("\n".join(search_lines(options.words, options.limit)))
