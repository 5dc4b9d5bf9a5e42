"""Serve a page on which all features of a dictionary are looked at, prompts read, and dictionaries compared."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from monosema.cli.arguments import parse
from monosema.runs.feature_page import ensure_store, serve_folder
from monosema.runs.features import TOKENS


@dataclass(frozen=True)
class ServeCommand:
    """Serve the page of a dictionary on this machine; makes the feature store first, if there is none. Needs
    pip install monosema[serve]."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder, whose dictionaries can then be compared."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    compare: tuple[str, ...] = ()
    """Folders of other dictionaries to compare with, which have feature stores."""
    host: str = "127.0.0.1"
    """Address to listen at; the default is reached from this machine alone."""
    port: int = 8430
    """Port to listen at; 0 for any that is free."""
    out: Path | None = None
    """Where the feature store is, or is to be; by default features/ in the dictionary's folder."""
    model: str | None = None
    """Read this model instead of the one that the dictionary was trained on."""
    text: str | None = None
    """Text for a store that is made."""
    tokens: int = TOKENS
    """Tokens to read for a store that is made."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""


def main(arguments: list[str]) -> None:
    """Serves until it is interrupted."""
    options = vars(parse(ServeCommand, arguments, "serve"))
    text, tokens = options.pop("text"), options.pop("tokens")
    name = options.pop("dictionary")
    store = {key: options[key] for key in ("folder", "out", "model", "device")}
    ensure_store(**store, name=name, text=text, tokens=tokens, say=partial(print, file=sys.stderr))
    ready = partial(print, "Ctrl-C ends it;", flush=True)
    serve_folder(options.pop("folder"), name=name, ready=ready, **options)
