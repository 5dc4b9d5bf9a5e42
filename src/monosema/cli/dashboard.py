"""Write a page on which features are looked at: one HTML file that opens anywhere, without a server."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tyro

from monosema.cli.arguments import parse
from monosema.runs.feature_page import ensure_store, write_folder_page
from monosema.runs.features import TOKENS


@dataclass(frozen=True)
class DashboardCommand:
    """Write one HTML file with the figures of all features and the examples of some; makes the feature store first, if
    there is none."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder."""
    features: str | None = None
    """Which features to show in full, such as 0-99,512; by default 100 live ones, spread over all densities."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    page: Path | None = None
    """File to write; by default features.html in the dictionary's folder."""
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
    """Writes the page, and says where it is."""
    options = vars(parse(DashboardCommand, arguments, "dashboard"))
    text, tokens = options.pop("text"), options.pop("tokens")
    name = options.pop("dictionary")
    store = {key: options[key] for key in ("folder", "out", "model", "device")}
    ensure_store(**store, name=name, alone=True, text=text, tokens=tokens, say=partial(print, file=sys.stderr))
    print(write_folder_page(options.pop("folder"), options.pop("features"), name=name, **options))
