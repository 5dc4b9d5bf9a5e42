"""Measure what an encoder costs: its codes beside the best ones that a search finds for the same decoder."""

from dataclasses import dataclass
from typing import Literal

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.pursuit import TOKENS, pursue_folder, pursuit_table
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class PursuitCommand:
    """Measure dictionaries with their encoders' codes, with the best values for the same features, and with features
    and values found by pursuit, on held-out text: the amortisation gap."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder."""
    k: int | None = None
    """Most features that pursuit chooses at each token; by default as many as the encoder has there."""
    fit: Literal["least_squares", "gradient"] = "least_squares"
    """How codes are fitted after each choice: orthogonal matching pursuit, or gradient pursuit."""
    picks: int = 4
    """Features chosen for each product with the whole decoder; 1 is the textbook's algorithm, and slower."""
    model: str | None = None
    """Measure on this model instead of the one that the dictionary was trained on."""
    text: str | None = None
    """Measure on this text instead of the held-out part of the training text."""
    activations: str | None = None
    """Measure on a file of activations, in place of model and text."""
    tokens: int = TOKENS
    """Tokens (rows of activations) to measure on."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print every metric as JSON."""


def main(arguments: list[str]) -> None:
    """Measures, and prints."""
    options = vars(parse(PursuitCommand, arguments, "pursuit"))
    json = options.pop("json")
    found = pursue_folder(options.pop("folder"), **options)
    if json:
        print_json({name: own.as_json() for name, own in found.items()})
    else:
        print_table(pursuit_table(found))
