"""Say which features dictionaries share: across seeds, widths and recipes, beside what chance would share."""

from dataclasses import dataclass
from typing import Literal

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.compare import THRESHOLDS, compare_folders
from monosema.runs.compare_text import compare_json, compare_tables
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class CompareCommand:
    """Match the features of every two of some dictionaries by the cosines of their directions, and say how many have a
    partner, with intervals, beside random directions."""

    folders: tyro.conf.Positional[tuple[str, ...]]
    """Folders or addresses of dictionaries, or runs' folders, all dictionaries of which are compared."""
    dictionary: str | None = None
    """Of every run this dictionary alone."""
    by: Literal["decoder", "encoder", "both"] = "decoder"
    """Directions that are compared; both: the mean of the two cosines."""
    at: tuple[float, ...] = THRESHOLDS
    """Cosines from which a feature counts as shared."""
    dead: bool = False
    """Also compare features that do not fire on the held-out text."""
    resamples: int = 1000
    """Of the bootstrap over features."""
    seed: int = 0
    """Of resamples and random directions."""
    model: str | None = None
    """Read this model instead of the one that the dictionaries were trained on."""
    text: str | None = None
    """Look on this text at which features fire, instead of the held-out part of the training text."""
    tokens: int | None = None
    """Its tokens; by default as in the run."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Compares, and prints."""
    options = parse(CompareCommand, arguments, "compare")
    found = compare_folders(
        options.folders,
        name=options.dictionary,
        side=options.by,
        dead=options.dead,
        thresholds=options.at,
        resamples=options.resamples,
        seed=options.seed,
        model=options.model,
        text=options.text,
        tokens=options.tokens,
        device=options.device,
    )
    if options.json:
        print_json(compare_json(found))
        return
    for table in compare_tables(found):
        print_table(table)
