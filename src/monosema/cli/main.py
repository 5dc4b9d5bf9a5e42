"""Finds the command that was asked for, runs it, and turns what goes wrong into one line and an exit status."""

import ast
import importlib
import os
import sys
from pathlib import Path

from monosema import cli

_NOT_COMMANDS = {"__init__", "main", "arguments"}


def main(arguments: list[str] | None = None) -> None:
    """The command line's entry point; exits with 0, 1 (the job failed), 2 (bad input) or 130 (interrupted)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help())
        sys.exit(0)
    if arguments[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"monosema {version('monosema')}")
        sys.exit(0)
    try:
        status = _run(arguments[0], arguments[1:])
    except KeyboardInterrupt:
        status = _fail("interrupted", 130)
    sys.exit(status)


def commands() -> dict[str, str]:
    """Each command and the first line of its docstring, read without importing it: help answers at once."""
    files = sorted((file for folder in cli.__path__ for file in Path(folder).glob("*.py")), key=lambda file: file.stem)
    return {
        file.stem: (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n")[0]
        for file in files
        if file.stem not in _NOT_COMMANDS
    }


def _help() -> str:
    lines = [f"  {name:<10} {about}" for name, about in commands().items()]
    return "\n".join(
        [
            "usage: monosema COMMAND [OPTIONS]",
            "",
            "Finds the features inside neural networks: trains, measures and shows sparse dictionaries.",
            "",
            "commands:",
            *lines,
            "",
            "monosema COMMAND --help says more. Begin with: monosema demo",
        ]
    )


def _run(command: str, arguments: list[str]) -> int:
    from monosema.errors import InputError
    from monosema.ranks import LostContact
    from monosema.registry import nearest

    known = commands()
    if command not in known:
        return _fail(f"unknown command {command!r}; {nearest(command, known) or 'try monosema --help'}", 2)
    from monosema.runs import Interrupted, NonFiniteLoss

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        importlib.import_module(f"monosema.cli.{command}").main(arguments)
    except InputError as error:
        return _fail(str(error), 2)
    except Interrupted as interrupted:
        return _fail(str(interrupted), 130)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (LostContact, NonFiniteLoss) as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 1)
    return 0


def _fail(message: str, status: int) -> int:
    print(f"monosema: {' '.join(message.splitlines())}", file=sys.stderr)
    return status
