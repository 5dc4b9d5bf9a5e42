"""What is registered, and what `auto` picks on this machine."""

from typing import Any

import monosema
from monosema.device import has_fast_bf16, pick_device
from monosema.dictionaries import activation_functions, wirings
from monosema.formats import formats
from monosema.models import families
from monosema.recipes import recipes


def info() -> dict[str, Any]:
    """Version, automatic choices, and the names in every registry."""
    device = pick_device("auto")
    return {
        "version": monosema.__version__,
        "device": str(device),
        "precision": "bfloat16" if has_fast_bf16(device) else "float32",
        "recipes": sorted(recipes),
        "activation_functions": sorted(activation_functions),
        "wirings": sorted(wirings),
        "model_families": sorted(families),
        "formats": sorted(formats),
    }
