"""Train dictionaries on a model's activations: one from options, or any number from a YAML file."""

from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import tyro

from monosema.cli.arguments import field_docs, given, parse, run_and_print
from monosema.config import load_yaml
from monosema.errors import InputError
from monosema.runs import DictionaryConfig, Recipe, RunConfig, recipes


@dataclass(frozen=True)
class Train:
    """Train dictionaries: one, described by options, or those of a YAML file, whose run the options change."""

    config: Path | None = None
    """A run in YAML, such as the config.yaml in every run's folder."""
    out: Path = Path("runs/train")
    """Folder to write."""
    overwrite: bool = False
    """Replace a run that is already in the folder."""
    recipe: str = "topk"
    """Training protocol."""


@dataclass(frozen=True)
class _Option:
    type: Any
    doc: str
    default: Any


def main(arguments: list[str]) -> None:
    """Trains."""
    options = parse(_command(), arguments, "train")
    names = given(arguments)
    config = _config(vars(options), names)
    run_and_print(config, options.out, options.overwrite)


def _command() -> type:
    """The command's options: its own, a run's, a dictionary's, and the hyper-parameters of every recipe."""
    own = _options_of(Train)
    options = own | _options_of(RunConfig) | _options_of(DictionaryConfig)
    del options["dictionaries"]
    options["site"] = replace(options["site"], type=str | None, default=None)
    about = f"{own['recipe'].doc.rstrip('.')}: {', '.join(sorted(recipes))}."
    options["recipe"] = _Option(str, about, Train.recipe)
    options |= _recipe_options()
    columns = [
        (name, Annotated[option.type, tyro.conf.arg(help=option.doc)], field(default=option.default))
        for name, option in options.items()
    ]
    made = make_dataclass("Train", columns, frozen=True)
    made.__doc__ = Train.__doc__
    return made


def _options_of(cls: type) -> dict[str, _Option]:
    types, docs = get_type_hints(cls), field_docs(cls)
    return {
        f.name: _Option(types[f.name], docs[f.name], f.default_factory() if callable(f.default_factory) else f.default)
        for f in fields(cls)
    }


def _recipe_options() -> dict[str, _Option]:
    """Every recipe's hyper-parameters; where recipes differ in a default, the help gives each one's."""
    found: dict[str, dict[str, _Option]] = {}
    for name, recipe in sorted(recipes.items()):
        for parameter, option in _options_of(recipe).items():
            found.setdefault(parameter, {})[name] = option
    merged = {}
    for parameter, by_recipe in found.items():
        first = next(iter(by_recipe.values()))
        defaults = ", ".join(f"{name} {option.default}" for name, option in by_recipe.items())
        merged[parameter] = _Option(first.type | None, f"{first.doc} (Of {defaults}.)", None)
    return merged


def _config(options: dict[str, Any], names: set[str]) -> RunConfig:
    dictionary_names = ({f.name for f in fields(DictionaryConfig)} | _recipe_options().keys()) & names
    if options["config"] is not None:
        if dictionary_names:
            raise InputError(
                f"--config together with --{' --'.join(sorted(dictionary_names))}",
                expected="the dictionaries in the YAML file, or those options, not both",
            )
        return _changed(load_yaml(RunConfig, options["config"]), options, names)
    if options["site"] is None:
        raise InputError(
            "no hook point to train on",
            expected="--site, such as resid_post.2 (or a tensor's name, with --activations), or --config run.yaml",
        )
    of_dictionary = {name: options[name] for name in dictionary_names & {f.name for f in fields(DictionaryConfig)}}
    recipe = _recipe(options, dictionary_names)
    return _changed(RunConfig(dictionaries=(DictionaryConfig(**{**of_dictionary, "recipe": recipe}),)), options, names)


def _changed(config: RunConfig, options: dict[str, Any], names: set[str]) -> RunConfig:
    """The run with what was typed in place of what it says; of `keep`, only the parts that were typed."""
    changes = {f.name: options[f.name] for f in fields(RunConfig) if f.name in names}
    parts = {f.name: getattr(options["keep"], f.name) for f in fields(config.keep) if f"keep.{f.name}" in names}
    return replace(config, **changes, keep=replace(config.keep, **parts))


def _recipe(options: dict[str, Any], names: set[str]) -> Recipe:
    recipe = recipes[options["recipe"]]
    own = {f.name for f in fields(recipe)}
    foreign = names & (_recipe_options().keys() - own)
    if foreign:
        raise InputError(
            f"--{' --'.join(sorted(foreign))} with recipe {recipe.name}", expected=f"its own: {', '.join(sorted(own))}"
        )
    return recipe(**{name: options[name] for name in names & own})
