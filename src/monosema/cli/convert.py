"""Write a dictionary, or a set of them, in another library's file format."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.convert import convert


@dataclass(frozen=True)
class Convert:
    """Read a dictionary, or a set of them, in whichever format it is, and write it in another.

    What the format cannot express is refused with the reason, and nothing is left behind.
    """

    source: tyro.conf.Positional[str]
    """A dictionary's folder, file or address (hf://org/repo/path), a folder of several, or a run's folder."""
    out: tyro.conf.Positional[Path]
    """The folder to write: a new or an empty one."""
    to: str = "monosema"
    """Format to write: monosema, saelens, dictionary_learning or sparsify."""
    json: bool = False
    """Print where everything lies as JSON."""


def main(arguments: list[str]) -> None:
    """Converts, and prints where everything lies."""
    options = parse(Convert, arguments, "convert")
    written = convert(options.source, options.out, options.to)
    if options.json:
        print_json({name: str(path) for name, path in written.items()})
    else:
        print("\n".join(f"{name}: {path}" for name, path in written.items()))
