"""A file of delphi's cache of latents (github.com/EleutherAI/delphi, as of its release 0.1.3).

| tensor | shape | what it is |
| --- | --- | --- |
| `locations` | `[entries, 3]` | row of `tokens`, position in it, and latent, counted from the file's first |
| `activations` | `[entries]` | float16, in the order of the text |
| `tokens` | `[contexts, length]` | the ids of all that was read; the same in each file |

A file is named after its first latent and its last: `0_409.safetensors`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

CONFIG = "config.json"
LEAST = 1e-5
"""Activations up to this size are left out, as delphi leaves them out."""


def write_split(folder: Path, activations: "pa.Table", first: int, last: int, tokens: np.ndarray) -> None:
    """Writes the activations of the features from `first` up to `last`.

    Args:
        folder: of the hook point.
        activations: their `feature`, `context`, `position` and `value`.
        first, last: which features.
        tokens: `[contexts, length]`.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    feature, context, position, value = (
        activations.column(name).to_numpy() for name in ("feature", "context", "position", "value")
    )
    order = np.lexsort((feature, position, context))
    order = order[np.abs(value[order]) > LEAST]
    locations = np.stack([context, position, feature - first], axis=1)[order]
    small = max(len(tokens), tokens.shape[1], last - first) <= 2**16
    tensors = {
        "locations": locations.astype(np.uint16 if small else np.uint32),
        "activations": _halves(value[order]),
        "tokens": tokens,
    }
    try:
        save_file(tensors, folder / f"{first}_{last - 1}.safetensors")
    except SafetensorError as error:
        raise OSError(f"{folder} cannot be written to ({error})") from None


def _halves(values: np.ndarray) -> np.ndarray:
    """As float16; what is too large for it is the largest that is not."""
    most = np.finfo(np.float16).max
    return values.clip(-most, most).astype(np.float16)
