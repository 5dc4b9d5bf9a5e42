"""Train two dictionaries on the embedded model, write a report and a page of features; minutes, without a download."""

from dataclasses import dataclass
from pathlib import Path

from monosema.cli.arguments import parse, run_and_print
from monosema.runs.demo import demo_config, demo_page


@dataclass(frozen=True)
class Demo:
    """Train TopK and BatchTopK dictionaries on the embedded language model, measure them, write a report, and a page on
    which the features of one are looked at."""

    out: Path = Path("runs/demo")
    """Folder to write."""
    overwrite: bool = True
    """Replace an earlier demo."""


def main(arguments: list[str]) -> None:
    """Runs the demo."""
    options = parse(Demo, arguments, "demo")
    run_and_print(demo_config(), options.out, options.overwrite)
    print(f"Features: {demo_page(options.out)}")
