"""File formats of dictionaries, one file each. A new one is one new file here: it registers itself."""

import importlib
import pkgutil

from monosema.formats.evaluators import for_evaluators
from monosema.formats.format import (
    Fetch,
    Format,
    Listing,
    formats,
    here,
    listed,
    load,
    load_all,
    members,
    recognised,
    save_as,
)
from monosema.formats.temporal import TemporalAutoencoder, TemporalCodes, load_temporal

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "Fetch",
    "Format",
    "Listing",
    "TemporalAutoencoder",
    "TemporalCodes",
    "for_evaluators",
    "formats",
    "here",
    "listed",
    "load",
    "load_all",
    "load_temporal",
    "members",
    "recognised",
    "save_as",
]
