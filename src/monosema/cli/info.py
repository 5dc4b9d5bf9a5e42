"""Say what is registered (recipes, model families, formats, …) and what `auto` picks on this machine."""

from dataclasses import dataclass

from monosema.cli.arguments import parse, print_json
from monosema.runs.info import info


@dataclass(frozen=True)
class Info:
    """Say what is registered, and what `auto` picks on this machine."""

    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Prints what `info` finds."""
    found = info()
    if parse(Info, arguments, "info").json:
        print_json(found)
        return
    for key, value in found.items():
        print(f"{key.replace('_', ' '):<22}{', '.join(value) if isinstance(value, list) else value}")
