"""Train on data whose features are known, and say how many of them were found: mcc, precision, recall, …"""

from dataclasses import dataclass, fields
from pathlib import Path

from monosema.cli.arguments import command, given, options_of, parse, print_json, recipe_group, typed_recipes
from monosema.config import from_dict
from monosema.runs import Recipe, grid
from monosema.runs.synthetic import SyntheticRun, as_json, run_synthetic, truth_table
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class Synthetic:
    """Train dictionaries on data whose features are known, and compare what they found with the truth."""

    out: Path | None = None
    """New folder for the dictionaries and figures."""
    json: bool = False
    """Print every figure as JSON."""


def main(arguments: list[str]) -> None:
    """Trains, measures and prints."""
    of_run = options_of(SyntheticRun)
    del of_run["recipes"], of_run["world"]
    made = command(Synthetic, options_of(Synthetic) | of_run, recipe=recipe_group())
    options = vars(parse(made, arguments, "synthetic"))
    plain = grid.dictionaries({"recipe": typed_recipes(options | vars(options["recipe"]), given(arguments))})
    recipes = tuple(from_dict(Recipe, point["recipe"], "the options") for point in plain)
    config = SyntheticRun(recipes, **{f.name: options[f.name] for f in fields(SyntheticRun) if f.name in of_run})
    results = run_synthetic(config, options["out"])
    if options["json"]:
        print_json(as_json(results))
    else:
        print_table(truth_table(results))
