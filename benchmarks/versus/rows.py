"""Activations in files: the same rows in the same order for everybody."""

from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

BATCH = 512


def train_file(cache: Path) -> Path:
    """The training activations, by hook point, in bfloat16: the model's own precision."""
    return cache / "train.safetensors"


def heldout_file(cache: Path) -> Path:
    """Rows of held-out text, in float32, for a quick reading of sparsity and reconstruction."""
    return cache / "heldout.safetensors"


def batches(cache: Path, point: str, steps: int, seed: int) -> Iterator[Tensor]:
    """`steps` batches; seed 0 reads them in the order of the file, any other in an order of its own.

    More than the file has are read in whole passes over it.
    """
    with safe_open(train_file(cache), framework="pt") as file:
        rows: Any = file.get_slice(point)
        available = rows.get_shape()[0] // BATCH
        if steps > available and steps % available:
            raise SystemExit(f"{train_file(cache)} holds {available} batches, of which {steps} are no whole passes")
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(available, generator=generator).tolist() if seed else range(available)
        for number in islice(cycle(order), steps):
            yield rows[number * BATCH : (number + 1) * BATCH].float()


def heldout_rows(cache: Path, point: str) -> Tensor:
    """Held-out activations `[rows, d]`."""
    with safe_open(heldout_file(cache), framework="pt") as file:
        return file.get_tensor(point)
