"""Write a page on which features are looked at: one HTML file that opens anywhere, without a server."""

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import tyro

from monosema.cli.arguments import parse
from monosema.errors import InputError
from monosema.runs.feature_page import PageOptions, ensure_store, write_folder_page


@dataclass(frozen=True, kw_only=True)
class DashboardCommand(PageOptions):
    """Write one HTML file with the figures of all features and the examples of some; makes the feature store first, if
    there is none."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder."""
    features: str | None = None
    """Which features to show in full, such as 0-99,512; by default 100 live ones, spread over all densities."""
    out: Path | None = None
    """Where the feature store is, or is to be, and the page: a folder; by default the dictionary's own. A name that
    ends in .html is that of the page alone."""
    page: Path | None = None
    """File to write, if it is to be elsewhere than features.html in the folder of --out, or in the dictionary's."""


def main(arguments: list[str]) -> None:
    """Writes the page, and says where it is."""
    options = parse(DashboardCommand, arguments, "dashboard")
    if options.out is not None and options.out.suffix == ".html":
        if options.page is not None:
            raise InputError(f"--page {options.page} and --out {options.out}", expected="one file to write")
        options = replace(options, out=None, page=options.out)
    ensure_store(options.folder, partial(print, file=sys.stderr), alone=True, **options.to_make())
    print(write_folder_page(options.folder, options.features, page=options.page, **options.to_open()))
