"""Published training protocols, one file each. A new one is one new file here: it registers itself."""

import importlib
import pkgutil

from monosema.recipes.exchange import Loss, Moment, Pressure
from monosema.recipes.recipe import Recipe, entries_per_row, recipes

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["Loss", "Moment", "Pressure", "Recipe", "entries_per_row", "recipes"]
