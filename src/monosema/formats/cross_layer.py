"""Cross-layer transcoders, which lie on disk layer by layer: one layer's features alone, or all as one dictionary.

A layer is given as tensors `W_enc [d, width]`, `b_enc [width]`, `W_dec [width, layers, d]` with what its features write
to its own layer and to those behind it, `b_dec [d]`, and perhaps `threshold [width]` and `W_skip [d, d]`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary, Spec
from monosema.dictionaries.saving import check_names, check_tensor
from monosema.errors import InputError
from monosema.formats.outline import Outline, assemble, spec_of

Layer = Mapping[str, Tensor]
_REQUIRED = ("W_enc", "b_enc", "W_dec", "b_dec")
_FURTHER = {"threshold": "activation.threshold", "W_skip": "W_skip"}


def alone(layer: Layer, path: Path) -> dict[str, Tensor]:
    """One layer's features with all that they write, joined end to end: `W_dec [width, layers · d]`.

    Raises:
        InputError: the decoder or its bias is missing, or of another shape.
    """
    decoder, bias = layer.get("W_dec"), layer.get("b_dec")
    if decoder is None or decoder.ndim != 3 or not decoder.numel():
        raise InputError(f"{path} has no tensor 'W_dec' of [width, layers, d]")
    if bias is None or bias.shape != decoder.shape[2:]:
        raise InputError(f"{path} has no tensor 'b_dec' of [{decoder.shape[2]}]")
    own, rest = bias.numel(), decoder[0].numel() - bias.numel()
    found = {**layer, "W_dec": decoder.flatten(1), "b_dec": torch.cat([bias, bias.new_zeros(rest)])}
    if "W_skip" in found:
        check_tensor("W_skip", found["W_skip"], [own, own], path)
        found["W_skip"] = torch.cat([found["W_skip"], found["W_skip"].new_zeros(own, rest)], dim=1)
    return found


def together(
    layers: Iterator[Layer],
    paths: Sequence[Path],
    points: tuple[tuple[str, ...], tuple[str, ...]],
    metadata: dict[str, Any],
    *,
    rectifies: bool,
    size: int,
) -> Dictionary:
    """All layers as one dictionary: a block of features for each, and a triangular decoder.

    It reads all layers' inputs, end to end, and writes all their outputs. A layer is read, put in its place and let go.

    Args:
        layers: those of the files, layer 0 first.
        paths: the files, for messages.
        points: the hook points read and written, one for each layer, or none.
        metadata: the dictionary's.
        rectifies: as in an `Outline`.
        size: bytes of the files with the decoders, which they cannot exceed.

    Raises:
        InputError: the layers contradict each other or their number.
    """
    first = next(layers)
    names = (*_REQUIRED, *(name for name in _FURTHER if name in first))
    n, (d, width) = len(paths), _sizes(first, names, paths, size)
    parts: dict[str, list[Tensor]] = {name: [] for name in names if name != "W_dec"}
    decoder = first["W_dec"].new_empty(n * (n + 1) // 2, width, d)
    for index, layer in enumerate(chain([first], layers)):
        _check(layer, names, (d, width, n - index), decoder.dtype, paths[index])
        for later in range(n - index):
            part = index + later
            decoder[part * (part + 1) // 2 + index] = layer["W_dec"][:, later]
        for name, found in parts.items():
            found.append(layer[name])
    tensors = {name: torch.cat(found) for name, found in parts.items() if found[0].ndim == 1}
    tensors |= {"W_dec": decoder, "W_enc": torch.stack(parts["W_enc"])}
    if "W_skip" in parts:
        tensors["W_skip"] = torch.block_diag(*parts["W_skip"])
    spec = _spec(paths[0].parent, n, d, width, points, "W_skip" in parts)
    layout = {name: _FURTHER.get(name, name) for name in tensors}
    activation = "jumprelu" if "threshold" in parts else "relu"
    return assemble(Outline(spec, activation, layout, metadata=metadata, rectifies=rectifies), tensors, paths[0].parent)


def _spec(path: Path, n: int, d: int, width: int, points: tuple[tuple[str, ...], tuple[str, ...]], skip: bool) -> Spec:
    return spec_of(
        path,
        d_in=n * d,
        d_out=n * d,
        width=n * width,
        reads=points[0],
        writes=points[1],
        wiring="transcoder",
        skip=skip,
        encoder="block_diagonal",
        decoder="triangular",
        blocks=n,
        sizes_in=(d,) * n,
        sizes_out=(d,) * n,
    )


def _sizes(first: Layer, names: Sequence[str], paths: Sequence[Path], size: int) -> tuple[int, int]:
    """`d` and the width of every layer, from the first."""
    check_names(first, names, paths[0])
    n, encoder, decoder = len(paths), first["W_enc"], first["W_dec"]
    if encoder.ndim != 2 or decoder.ndim != 3 or not encoder.numel():
        shapes = f"{list(encoder.shape)} and {list(decoder.shape)}"
        raise InputError(f"{paths[0]} has W_enc and W_dec of shape {shapes}", expected="[d, width], [width, layers, d]")
    if decoder.shape[1] != n:
        raise InputError(f"the features of {paths[0]} write to {decoder.shape[1]} layers", expected=f"{n}: one a file")
    d, width = encoder.shape
    needed = n * (n + 1) // 2 * d * width * decoder.element_size()
    if size < needed:
        raise InputError(f"the decoders of {paths[0].parent} have {size:,} bytes", expected=f"at least {needed:,}")
    return d, width


def _check(layer: Layer, names: Sequence[str], shape: tuple[int, int, int], precision: torch.dtype, path: Path) -> None:
    check_names(layer, names, path)
    d, width, later = shape
    expected = {"W_enc": [d, width], "b_enc": [width], "W_dec": [width, later, d], "b_dec": [d]}
    expected |= {"threshold": [width], "W_skip": [d, d]}
    for name, tensor in layer.items():
        check_tensor(name, tensor, expected[name], path)
    if layer["W_dec"].dtype != precision:
        raise InputError(f"tensor 'W_dec' of {path} is of type {layer['W_dec'].dtype}", expected=f"{precision}")
