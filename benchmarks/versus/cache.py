"""Writes the activations that everybody trains on."""

from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import save_file

import monosema as ms
from monosema.files import write_atomically

from .rows import BATCH, heldout_file, train_file

POINTS = ("resid_post.2", "mlp_out.1")
CONTEXT = 256
STEPS = 1953
"""1,000,000 tokens, less the rest that fills no batch."""
HELDOUT_ROWS = 16_384


def write_cache(cache: Path) -> None:
    """Reads the embedded model, unless the files are there."""
    for path, text, rows, window in (
        (train_file(cache), "tiny:train", STEPS * BATCH, 2**24),
        (heldout_file(cache), "tiny:heldout", HELDOUT_ROWS, 2**22),
    ):
        if not path.exists():
            tensors = _read(text, rows, window)
            write_atomically(path, lambda part, tensors=tensors: save_file(tensors, part))


def _read(text: str, rows: int, window: int) -> dict[str, torch.Tensor]:
    model = ms.load_model("tiny")
    contexts = ms.MixedContexts(ms.Contexts(model.tokenizer, text, CONTEXT, repeat=True), window=window)
    source = ms.ModelSource(model, contexts, list(POINTS), batch_size=BATCH, buffer_rows=2**16)
    found = list(islice(source, rows // BATCH))
    dtype = model.dtype if text == "tiny:train" else torch.float32
    return {point: torch.cat([batch[point] for batch in found]).to(dtype) for point in POINTS}
