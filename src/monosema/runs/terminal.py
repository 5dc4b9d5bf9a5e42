"""The end of a run on a terminal: the table, where the report is, and what a few features mean."""

import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from monosema.analysis import Example
from monosema.analysis.render import one_line
from monosema.evaluation import CrossEntropy, Metrics, Table, sites_table, table_rows, together_table
from monosema.runs.definitions import percent
from monosema.runs.folder import REPORT
from monosema.runs.result import RunResult

if TYPE_CHECKING:
    import rich.table
    from rich.console import Console
    from rich.text import Text

PLAIN_WIDTH, EXAMPLES = 110, 5


def print_result(result: RunResult, folder: Path, features: int = 5) -> None:
    """Prints the metrics of a run, the place of its report, and features of the first dictionary with their examples.

    Args:
        result: the run.
        folder: where it was written.
        features: how many to show, each with its five strongest examples.
    """
    from rich.text import Text

    console = _console()
    _print_metrics(result.metrics, console)
    if result.together is not None:
        print_table(together_table(result.together, len(result.metrics)), console)
    name, examples = next(iter(result.examples.items()))
    shown = list(examples.items())[:features]
    if shown:
        console.print()
        console.print(Text.assemble("Features of middling density of ", (one_line(name), "bold"), " in context"))
    for feature, found in shown:
        density = percent(float(result.density[name][feature]))
        console.print()
        console.print(Text.assemble((f"feature {feature}", "bold"), (f"  fires on {density} of tokens", "dim")))
        for example in found[:EXAMPLES]:
            console.print(_concordance(example, console.width), no_wrap=True, overflow="crop")
    console.print()
    console.print(Text.assemble("Report: ", (str(folder / REPORT), "bold")), soft_wrap=True)


def print_metrics(metrics: Mapping[str, Metrics]) -> None:
    """Prints the table of dictionaries that were measured, by name."""
    _print_metrics(metrics, _console())


def _print_metrics(metrics: Mapping[str, Metrics], console: "Console") -> None:
    print_table(table_rows(metrics), console)
    sites = sites_table(metrics)
    if sites is not None:
        print_table(sites, console)


def print_together(together: CrossEntropy, dictionaries: int) -> None:
    """Prints the table of dictionaries that were in the model all at once."""
    print_table(together_table(together, dictionaries))


def print_table(table: Table, console: "Console | None" = None) -> None:
    """Prints a table with its notes below."""
    from rich.text import Text

    console = console or _console()
    console.print()
    console.print(_table(table))
    for note in table.notes:
        console.print(Text(note, "dim"))


def _console() -> "Console":
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a sign that the terminal lacks must not end a run in an error
    terminal = sys.stdout.isatty()
    return Console(force_terminal=terminal, width=None if terminal else PLAIN_WIDTH, highlight=False)


def _table(table: Table) -> "rich.table.Table":
    from rich import box
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for i, header in enumerate(table.headers):
        drawn.add_column(Text(header), justify="right" if i else "left", no_wrap=i > 0, overflow="fold")
    for name, *figures in table.rows:
        drawn.add_row(Text(one_line(name)), *map(Text, figures))
    return drawn


def _concordance(example: Example, width: int) -> "Text":
    """One line with the strongest token in the same column for every example, as far as `width` goes."""
    from rich.text import Text

    tokens = [one_line(token) for token in example.tokens]
    before, after = (
        re.sub(" +", " ", "".join(part)) for part in (tokens[: example.strongest], tokens[example.strongest + 1 :])
    )
    value = f"{example.value:8.2f}  "
    before = _last_cells(before, (width - len(value)) * 3 // 5)
    return Text.assemble((value, "dim"), before, (f"«{tokens[example.strongest]}»", "bold reverse"), after.rstrip())


def _last_cells(text: str, cells: int) -> str:
    """The end of a text in exactly so many cells of a terminal, filled up at the left."""
    from rich.cells import cell_len

    while cell_len(text) > cells:
        text = text[1:]
    return " " * (cells - cell_len(text)) + text
