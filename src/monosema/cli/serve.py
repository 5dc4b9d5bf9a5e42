"""Serve a page on which all features of a dictionary are looked at, prompts read, and dictionaries compared."""

import sys
from dataclasses import dataclass
from functools import partial

import tyro

from monosema.cli.arguments import parse
from monosema.runs.feature_page import PageOptions, ensure_store, serve_folder


@dataclass(frozen=True, kw_only=True)
class ServeCommand(PageOptions):
    """Serve the page of a dictionary on this machine; makes the feature store first, if there is none. Needs
    pip install monosema[serve]."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder, whose dictionaries can then be compared."""
    compare: tuple[str, ...] = ()
    """Folders of other dictionaries to compare with, which have feature stores."""
    host: str = "127.0.0.1"
    """Address to listen at; the default is reached from this machine alone."""
    port: int = 8430
    """Port to listen at; 0 for any that is free."""


def main(arguments: list[str]) -> None:
    """Serves until it is interrupted."""
    options = parse(ServeCommand, arguments, "serve")
    ensure_store(options.folder, partial(print, file=sys.stderr), **options.to_make())
    where = {"compare": options.compare, "host": options.host, "port": options.port}
    serve_folder(options.folder, ready=partial(print, "Ctrl-C ends it;", flush=True), **where, **options.to_open())
