"""What several commands share: parsing their options, and running a run with its summary on the terminal."""

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import TypeVar

from monosema.runs import Interrupted, NonFiniteLoss, RunConfig, run
from monosema.runs.terminal import print_result

T = TypeVar("T")


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
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        if "__annotations__" not in vars(base):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for statement, after in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(after, ast.Expr):
                docs[ast.unparse(statement.target)] = inspect.cleandoc(ast.literal_eval(after.value))
    return docs


def run_and_print(config: RunConfig, out: Path, overwrite: bool) -> None:
    """Runs, and prints the table, where the report is, and some features; exits with 130 after Ctrl-C."""
    try:
        print_result(run(config, out, overwrite=overwrite), out)
    except Interrupted as interrupted:
        print(f"monosema: {interrupted}", file=sys.stderr)
        sys.exit(130)
    except NonFiniteLoss as error:
        print(f"monosema: {error}", file=sys.stderr)
        sys.exit(1)
