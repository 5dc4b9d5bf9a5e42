"""Train dictionaries on a model's activations: one or a grid of them from options, or any number from a YAML file."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from monosema.cli.arguments import (
    Option,
    command,
    given,
    group,
    options_of,
    parse,
    run_and_print,
    several,
    united,
)
from monosema.config import from_dict, load_yaml, to_dict
from monosema.errors import InputError
from monosema.runs import DictionaryConfig, RunConfig, grid, recipes


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


GRIDS = ("site", "width", "expansion")
"""Options of a dictionary that take several values."""


def main(arguments: list[str]) -> None:
    """Trains."""
    options = vars(parse(_command(), arguments, "train"))
    values = options | vars(options["dictionary"]) | vars(options["recipe"])
    config = _config(values, given(arguments))
    run_and_print(config, values["out"], values["overwrite"])


def _command() -> type:
    """The command's options: its own, a run's, a dictionary's, and the hyper-parameters of every recipe."""
    of_run = options_of(RunConfig)
    del of_run["dictionaries"]
    of_dictionary = {
        name: several(option) if name in GRIDS else option
        for name, option in options_of(DictionaryConfig).items()
        if name != "recipe"
    }
    about = f"Training protocol: {', '.join(sorted(recipes))}."
    of_recipe = {"recipe": Option(tuple[str, ...], about, ("topk",), "(default: topk)", "NAME ...")}
    return command(
        Train,
        options_of(Train) | of_run,
        dictionary=group("What the dictionaries connect.", of_dictionary),
        recipe=group("How they learn; each recipe takes the options that it has.", of_recipe | _parameters()),
    )


def _parameters() -> dict[str, Option]:
    """Every recipe's hyper-parameters; the help gives each recipe's default, and takes what any of them takes."""
    found: dict[str, dict[str, Option]] = {}
    for name, recipe in sorted(recipes.items()):
        for parameter, option in options_of(recipe).items():
            found.setdefault(parameter, {})[name] = option
    return {parameter: several(united(by_recipe, among=len(recipes))) for parameter, by_recipe in found.items()}


def _config(options: dict[str, Any], names: set[str]) -> RunConfig:
    of_dictionaries = ({f.name for f in fields(DictionaryConfig)} | _parameters().keys()) & names
    if options["config"] is not None:
        if of_dictionaries:
            raise InputError(
                f"--config together with {_shown(of_dictionaries)}",
                expected="the dictionaries in the YAML file, or those options, not both",
            )
        return _changed(load_yaml(RunConfig, options["config"]), options, names)
    if "site" not in names:
        raise InputError(
            "no hook point to train on",
            expected="--site, such as resid_post.2 (or a tensor's name, with --activations), or --config run.yaml",
        )
    return _changed(RunConfig(dictionaries=_dictionaries(options, of_dictionaries)), options, names)


def _dictionaries(options: dict[str, Any], names: set[str]) -> tuple[DictionaryConfig, ...]:
    """Every combination of what was typed."""
    known = _parameters()
    values = {name: _value(name, options[name], known.get(name)) for name in options if name in names | {"recipe"}}
    of_recipe = {name: value for name, value in values.items() if name in known}
    chosen = [recipes[name] for name in values.pop("recipe")]
    own = {f.name for recipe in chosen for f in fields(recipe)}
    if foreign := of_recipe.keys() - own:
        raise InputError(
            f"{_shown(foreign)} with recipe {', '.join(recipe.name for recipe in chosen)}",
            expected=f"its own: {', '.join(sorted(own))}",
        )
    entry = {name: value for name, value in values.items() if name not in known}
    entry["recipe"] = {"name": [recipe.name for recipe in chosen], **of_recipe}
    return tuple(from_dict(DictionaryConfig, point, "the options") for point in grid.dictionaries(entry))


def _value(name: str, value: Any, option: Option | None) -> Any:
    """What was typed for an option, in plain data; a switch without a value is on."""
    if value == () and not (option and option.is_list):
        if option is None or option.type != tuple[bool, ...]:
            raise InputError(f"{_shown({name})} without a value", expected="one value or several")
        return True
    return to_dict(value)


def _changed(config: RunConfig, options: dict[str, Any], names: set[str]) -> RunConfig:
    """The run with what was typed in place of what it says; of `keep`, only the parts that were typed."""
    changes = {f.name: options[f.name] for f in fields(RunConfig) if f.name in names}
    parts = {f.name: getattr(options["keep"], f.name) for f in fields(config.keep) if f"keep.{f.name}" in names}
    return replace(config, **changes, keep=replace(config.keep, **parts))


def _shown(names: Any) -> str:
    return " ".join(f"--{name.replace('_', '-')}" for name in sorted(names))
