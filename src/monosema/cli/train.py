"""Train dictionaries on a model's activations: one or a grid of them from options, or any number from a YAML file."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from monosema.cli.arguments import (
    changed,
    command,
    given,
    group,
    options_of,
    parse,
    recipe_group,
    recipe_parameters,
    run_and_print,
    several,
    shown,
    typed_recipes,
    typed_value,
)
from monosema.config import from_dict, load_yaml
from monosema.errors import InputError
from monosema.runs import DictionaryConfig, RunConfig, grid
from monosema.runs.train import CONFIG


@dataclass(frozen=True)
class Train:
    """Train dictionaries: those that options describe, or those of a YAML file, whose run the options change.

    All learn from one stream of activations. Options marked ... take several values, and every combination is trained:
    --recipe topk batch_topk --k 16 32 64 are six dictionaries. A list [in brackets] is one value.
    """

    config: Path | None = None
    """A run in YAML, such as the config.yaml in every run's folder."""
    out: Path = Path("runs/train")
    """Folder to write."""
    overwrite: bool = False
    """Replace a run that is already in the folder."""
    resume: bool = False
    """Go on with the run in the folder where it was interrupted or killed; begin it if there is none."""


GRIDS = ("site", "width", "expansion", "blocks")
"""Options of a dictionary that take several values."""


def main(arguments: list[str]) -> None:
    """Trains."""
    options = vars(parse(_command(), arguments, "train"))
    values = options | vars(options["dictionary"]) | vars(options["recipe"])
    names, begun = given(arguments), values["out"] / CONFIG
    if values["resume"] and values["overwrite"]:
        raise InputError("--resume and --overwrite", expected="one of the two")
    if values["resume"] and begun.is_file() and not {"config", "site"} & names:
        config = changed(load_yaml(RunConfig, begun), values, names)
    else:
        config = _config(values, names)
    run_and_print(config, values["out"], values["overwrite"], values["resume"])


def _command() -> type:
    """The command's options: its own, a run's, a dictionary's, and the hyper-parameters of every recipe."""
    of_run = options_of(RunConfig)
    del of_run["dictionaries"]
    of_dictionary = {
        name: several(option) if name in GRIDS else option
        for name, option in options_of(DictionaryConfig).items()
        if name != "recipe"
    }
    return command(
        Train,
        options_of(Train) | of_run,
        dictionary=group("What the dictionaries connect.", of_dictionary),
        recipe=recipe_group(),
    )


def _config(options: dict[str, Any], names: set[str]) -> RunConfig:
    of_dictionaries = ({f.name for f in fields(DictionaryConfig)} | recipe_parameters().keys()) & names
    if options["config"] is not None:
        if of_dictionaries:
            raise InputError(
                f"--config together with {shown(of_dictionaries)}",
                expected="the dictionaries in the YAML file, or those options, not both",
            )
        return changed(load_yaml(RunConfig, options["config"]), options, names)
    if "site" not in names:
        raise InputError(
            "no hook point to train on",
            expected="--site, such as resid_post.2 (or a tensor's name, with --activations), or --config run.yaml",
        )
    return changed(RunConfig(dictionaries=_dictionaries(options, of_dictionaries)), options, names)


def _dictionaries(options: dict[str, Any], names: set[str]) -> tuple[DictionaryConfig, ...]:
    """Every combination of what was typed."""
    own = {f.name for f in fields(DictionaryConfig)} - {"recipe"}
    entry = {name: typed_value(name, options[name]) for name in options if name in names & own}
    entry["recipe"] = typed_recipes(options, names)
    return tuple(from_dict(DictionaryConfig, point, "the options") for point in grid.dictionaries(entry))
