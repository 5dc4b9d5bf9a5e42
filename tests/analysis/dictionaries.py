"""Dictionaries with random weights, for tests of what single features do."""

from typing import Any

import torch

from monosema.dictionaries import Dictionary, ReLU, Spec


def random_weights(spec: Spec, seed: int = 0, dtype: torch.dtype = torch.float64) -> Dictionary:
    """Every weight and bias drawn by itself, and about half of the features active on a token."""
    made = Dictionary(spec, ReLU(spec.width)).to(dtype).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(generator=generator)
    return made


def autoencoder(point: str, d: int, width: int = 24, **options: Any) -> Dictionary:
    return random_weights(Spec(d, d, width, (point,), (point,), **options))


def transcoder(reads: str, writes: str, d: int, width: int = 24, **options: Any) -> Dictionary:
    return random_weights(Spec(d, d, width, (reads,), (writes,), "transcoder", **options))


def cross_layer(points: tuple[tuple[str, ...], tuple[str, ...]], d: int, own: int = 8) -> Dictionary:
    """`own` features of every layer, which read one hook point and write all from there on."""
    reads, writes = points
    layers, sizes = len(reads), (d,) * len(reads)
    spec = Spec(
        layers * d,
        layers * d,
        layers * own,
        reads,
        writes,
        "transcoder",
        encoder="block_diagonal",
        decoder="triangular",
        blocks=layers,
        sizes_in=sizes,
        sizes_out=sizes,
    )
    return random_weights(spec)


def crosscoder(points: tuple[str, ...], d: int, width: int = 24) -> Dictionary:
    sizes = (d,) * len(points)
    spec = Spec(
        len(points) * d,
        len(points) * d,
        width,
        points,
        points,
        encoder="dense",
        decoder="sites",
        sizes_in=sizes,
        sizes_out=sizes,
    )
    return random_weights(spec)
