"""Feature stores in the forms of other tools."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from monosema.registry import Registry

if TYPE_CHECKING:
    from monosema.features.store import FeatureStore

EXPORTS: Registry[Callable[["FeatureStore", Path], None]] = Registry("form of a feature store")


@EXPORTS.register("delphi")
def export_delphi(store: "FeatureStore", folder: Path) -> None:
    """delphi's cache of latents: for each hook point, files of some latents each, and a configuration."""
    raise NotImplementedError
