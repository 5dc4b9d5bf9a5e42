"""What several commands share: parsing their options, and running a run with its summary on the terminal."""

import ast
import inspect
import json
import operator
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass, replace
from functools import cache, reduce
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from monosema.config import to_dict
from monosema.errors import InputError
from monosema.runs import RunConfig, recipes, run
from monosema.runs.processes import speaks
from monosema.runs.read_config import ReadConfig
from monosema.runs.terminal import print_result

T = TypeVar("T")
Configuration = TypeVar("Configuration", bound=ReadConfig)

DEFAULT_RECIPE = "batch_topk"
"""The recipe where none is named: among the best at 32 active features in runs of any length (docs/quality.md)."""


def parse(options: type[T], arguments: list[str], command: str) -> T:
    """The options of a command, as its dataclass describes them; `--help` and mistakes end the program here."""
    import tyro

    return tyro.cli(options, args=arguments, prog=f"monosema {command}")


def given(arguments: list[str]) -> set[str]:
    """The options that were typed, as (dotted) names of fields; what was not typed stays at its default."""
    typed = {a[2:].split("=")[0].replace("-", "_") for a in arguments if a.startswith("--")}
    return typed | {re.sub(r"(^|\.)no_", r"\1", name) for name in typed}


def field_docs(cls: type) -> dict[str, str]:
    """The docstring below each field of a dataclass and its bases."""
    bases = [base for base in reversed(cls.__mro__[:-1]) if "__annotations__" in vars(base)]
    return {name: doc for base in bases for name, doc in _own_docs(base).items()}


@cache
def _own_docs(cls: type) -> Mapping[str, str]:
    """Of the fields that a class adds; reading its source takes a while, and many recipes share their bases."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        ast.unparse(statement.target): inspect.cleandoc(ast.literal_eval(after.value))
        for statement, after in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr)
    }


@dataclass(frozen=True)
class Option:
    """An option of a command, as the field of a dataclass that it comes from."""

    type: Any
    doc: str
    default: Any
    hint: str | None = None
    """What the help says at the end in place of the default."""
    metavar: str | None = None
    is_list: bool = False
    """Whether a list is one value, rather than several."""

    def column(self, name: str) -> tuple[str, Any, Any]:
        """The field for `make_dataclass`."""
        import tyro

        about = tyro.conf.arg(help=self.doc, metavar=self.metavar, help_behavior_hint=self.hint)
        return name, Annotated[self.type, about], field(default=self.default)


def options_of(cls: type) -> dict[str, Option]:
    """The fields of a dataclass as options."""
    types, docs = get_type_hints(cls), field_docs(cls)
    return {
        f.name: Option(types[f.name], docs[f.name], f.default_factory() if callable(f.default_factory) else f.default)
        for f in fields(cls)
    }


def united(by_owner: Mapping[str, Option], among: int) -> Option:
    """One option for those of the same name that several of `among` classes have; its hint gives every default."""
    first = next(iter(by_owner.values()))
    owners: dict[str, list[str]] = {}
    for owner, option in by_owner.items():
        owners.setdefault(_typed(option.default), []).append(owner)
    usual = max(owners, key=lambda default: len(owners[default])) if len(by_owner) == among else None
    others = [f"{', '.join(names)}: {default}" for default, names in owners.items() if default != usual]
    shown = [f"default: {usual}"] if usual is not None else []
    kind = reduce(operator.or_, dict.fromkeys(option.type for option in by_owner.values()))
    return Option(kind, first.doc, first.default, f"({'; '.join(shown + others)})")


def several(option: Option) -> Option:
    """The option with any number of values, none by default; one whose value is a list takes one list."""
    is_list = any(get_origin(member) in (list, tuple) for member in _members(option.type))
    return replace(
        option,
        type=option.type | None if is_list else tuple[option.type, ...],
        default=None if is_list else (),
        hint=option.hint or "",
        metavar=_metavar(option.type) if is_list else f"{_metavar(option.type)} ...",
        is_list=is_list,
    )


def group(about: str, options: Mapping[str, Option]) -> type:
    """Options that the help shows together."""
    made = make_dataclass("Group", [option.column(name) for name, option in options.items()], frozen=True)
    made.__doc__ = about
    return made


def command(cls: type, options: Mapping[str, Option], **groups: type) -> type:
    """A dataclass of options and of groups of options, with the documentation of `cls`."""
    import tyro

    columns = [
        (name, Annotated[kind, tyro.conf.OmitArgPrefixes], field(default=kind())) for name, kind in groups.items()
    ]
    made = make_dataclass(
        cls.__name__, [*(option.column(name) for name, option in options.items()), *columns], frozen=True
    )
    made.__doc__ = cls.__doc__
    return made


def recipe_parameters() -> dict[str, Option]:
    """Every recipe's hyper-parameters; the help gives each recipe's default, and takes what any of them takes."""
    found: dict[str, dict[str, Option]] = {}
    for name, recipe in sorted(recipes.items()):
        for parameter, option in options_of(recipe).items():
            found.setdefault(parameter, {})[name] = option
    return {parameter: several(united(by_recipe, among=len(recipes))) for parameter, by_recipe in found.items()}


def recipe_group() -> type:
    """The names of recipes, and the hyper-parameters of every one."""
    about = f"Training protocol: {', '.join(sorted(recipes))}."
    default, hint = (DEFAULT_RECIPE,), f"(default: {DEFAULT_RECIPE})"
    names = {"recipe": Option(tuple[str, ...], about, default, hint, "NAME ...")}
    return group("How they learn; each recipe takes the options that it has.", names | recipe_parameters())


def typed_recipes(options: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The recipes that were typed, with lists where there are several values, as a grid takes them.

    Raises:
        InputError: a hyper-parameter that none of the recipes has, or an option without a value.
    """
    known = recipe_parameters()
    typed = {name: typed_value(name, options[name], known[name]) for name in options if name in names & known.keys()}
    chosen = [recipes[name] for name in typed_value("recipe", options["recipe"])]
    own = {f.name for recipe in chosen for f in fields(recipe)}
    if foreign := typed.keys() - own:
        takes = [name for name, recipe in sorted(recipes.items()) if foreign <= {f.name for f in fields(recipe)}]
        raise InputError(
            f"{shown(foreign)} with recipe {', '.join(recipe.name for recipe in chosen)}",
            expected=f"its own: {', '.join(sorted(own))}",
            hint=f"what takes {shown(foreign)}: --recipe {', '.join(takes)}" if takes else None,
        )
    return {"name": [recipe.name for recipe in chosen], **typed}


def typed_value(name: str, value: Any, option: Option | None = None) -> Any:
    """What was typed for an option, in plain data; a switch without a value is on."""
    if value == () and not (option and option.is_list):
        if option is None or option.type != tuple[bool, ...]:
            raise InputError(f"{shown({name})} without a value", expected="one value or several")
        return True
    return to_dict(value)


def shown(names: Iterable[str]) -> str:
    """Options as they are typed."""
    return " ".join(f"--{name.replace('_', '-')}" for name in sorted(names))


def _typed(value: Any) -> str:
    """A value as one would type it."""
    return (" ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _metavar(kind: Any) -> str:
    """How the help writes a value of a type: FLOAT|auto."""
    words = {NoneType: "None", bool: "True|False"}
    choices = []
    for member in _members(kind):
        origin, arguments = get_origin(member), get_args(member)
        if origin is Literal:
            choices += map(str, arguments)
        elif origin in (list, tuple):
            items = [_metavar(argument) for argument in arguments if argument is not ...]
            choices.append(f"[{' '.join([*items, '...'] if len(arguments) > len(items) or origin is list else items)}]")
        else:
            choices.append(words.get(member) or member.__name__.upper())
    return "|".join(dict.fromkeys(choices))


def changed(config: Configuration, options: Mapping[str, Any], names: set[str]) -> Configuration:
    """A configuration with what was typed in place of what it says; of a part like `keep`, only what was typed."""
    changes = {f.name: options[f.name] for f in fields(config) if f.name in names}
    for part in {name.partition(".")[0] for name in names if "." in name}:
        typed = {f.name: getattr(options[part], f.name) for f in fields(options[part]) if f"{part}.{f.name}" in names}
        changes[part] = replace(getattr(config, part), **typed)
    return replace(config, **changes)


def run_and_print(config: RunConfig, out: Path, overwrite: bool, resume: bool = False) -> None:
    """Runs, and prints the table, where the report is, and some features."""
    result = run(config, out, overwrite=overwrite, resume=resume)
    if speaks():
        print_result(result, out)


def print_json(figures: Any) -> None:
    """Prints what `--json` asks for."""
    print(json.dumps(figures, indent=2))
