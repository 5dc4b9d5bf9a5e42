"""Train toy models of superposition: sparse features in fewer dimensions, at many sparsities, with pictures."""

from dataclasses import dataclass, fields
from pathlib import Path

from monosema.cli.arguments import command, options_of, parse, print_json
from monosema.runs.terminal import print_table
from monosema.runs.toy import ToyConfig, run_toy, toy_figures, toy_table


@dataclass(frozen=True)
class Toy:
    """Train toy models of superposition (Elhage et al. 2022): one for each density, all in one batch."""

    out: Path | None = None
    """New folder for weights, figures and pictures."""
    json: bool = False
    """Print every figure as JSON."""


def main(arguments: list[str]) -> None:
    """Trains and prints."""
    options = vars(parse(command(Toy, options_of(Toy) | options_of(ToyConfig)), arguments, "toy"))
    models = run_toy(ToyConfig(**{f.name: options[f.name] for f in fields(ToyConfig)}), options["out"])
    if options["json"]:
        print_json(toy_figures(models))
    else:
        print_table(toy_table(models))
