"""Look at attention heads through dictionaries with a block for each: what each does, and which features repeat."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.heads import heads_json, heads_of_folder, heads_table, write_heads
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class HeadsCommand:
    """Say of each attention head how active it is, whether its features share a topic, and which other heads repeat
    them, by a saved dictionary with a block for each head (--blocks heads)."""

    folder: tyro.conf.Positional[Path]
    """A dictionary's folder, or a run's."""
    out: Path | None = None
    """File to write a page to; by default heads.html in the folder."""
    model: str | None = None
    """Read this model instead of the one that the dictionary was trained on."""
    text: str | None = None
    """Read this text instead of the held-out part of the training text."""
    tokens: int | None = None
    """Tokens to read; by default as in the run."""
    context: int | None = None
    """Tokens that the model reads at once; by default as in training."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Looks, prints and writes the page."""
    options = vars(parse(HeadsCommand, arguments, "heads"))
    out, json = options.pop("out") or options["folder"] / "heads.html", options.pop("json")
    found = heads_of_folder(**options)
    write_heads(out, found)
    if json:
        print_json({name: heads_json(one) for name, one in found.items()})
        return
    for name, one in found.items():
        print_table(heads_table(name, one))
    print(f"\n{out}")
