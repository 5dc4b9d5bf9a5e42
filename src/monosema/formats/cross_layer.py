"""Dictionaries that lie on disk layer by layer: one layer's features alone, or all as one dictionary.

A layer is given as tensors `W_enc [d, width]`, `b_enc [width]`, `W_dec [width, layers, d]` with what its features write
to its own layer and to those behind it (or to all), `b_dec [d]`, and perhaps `threshold [width]` and `W_skip [d, d]`.
Cross-layer transcoders are such, and crosscoders whose features each read one layer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import prod
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


@dataclass(frozen=True)
class Stack:
    """What all layers together are."""

    reads: tuple[str, ...] = ()
    """The hook points read, one for each layer, or none."""
    writes: tuple[str, ...] = ()
    wiring: str = "transcoder"
    later: bool = True
    """Whether features write to their own layer and to later ones alone, as in the layers given; else to all."""
    rectifies: bool = False
    """As in an `Outline`."""
    metadata: dict[str, Any] = field(default_factory=dict)

    def decoder(self, n: int, d: int, width: int) -> tuple[int, ...]:
        """The shape of the decoder of `n` layers of `width` features each."""
        return (n * (n + 1) // 2, width, d) if self.later else (n * width, n * d)

    def spec(self, path: Path, n: int, d: int, width: int, skip: bool) -> Spec:
        """That of `n` layers of `width` features each."""
        return spec_of(
            path,
            d_in=n * d,
            d_out=n * d,
            width=n * width,
            reads=self.reads,
            writes=self.writes,
            wiring=self.wiring,
            skip=skip,
            encoder="block_diagonal",
            decoder="triangular" if self.later else "sites",
            blocks=n,
            sizes_in=(d,) * n,
            sizes_out=(d,) * n,
        )


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


def together(layers: Iterator[Layer], paths: Sequence[Path], stack: Stack, *, size: int) -> Dictionary:
    """All layers as one dictionary: a block of features for each, and a decoder of all that they write.

    It reads all layers' inputs, end to end, and writes all their outputs. A layer is read, put in its place and let go.

    Args:
        layers: those of the files, layer 0 first.
        paths: the files, for messages.
        stack: what they are together.
        size: bytes of the files with the decoders, which they cannot exceed.

    Raises:
        InputError: the layers contradict each other or their number.
    """
    first = next(layers)
    names = (*_REQUIRED, *(name for name in _FURTHER if name in first))
    n, folder = len(paths), paths[0].parent
    d, width = _sizes(first, names, paths, stack, size)
    parts: dict[str, list[Tensor]] = {name: [] for name in names if name != "W_dec"}
    decoder = first["W_dec"].new_empty(stack.decoder(n, d, width))
    for index, layer in enumerate(chain([first], layers)):
        _check(layer, names, (d, width, n - index if stack.later else n), decoder.dtype, paths[index])
        _put(decoder, layer["W_dec"], index)
        for name, found in parts.items():
            found.append(layer[name])
    tensors = {name: torch.cat(found) for name, found in parts.items() if found[0].ndim == 1}
    tensors |= {"W_dec": decoder, "W_enc": torch.stack(parts["W_enc"])}
    if "W_skip" in parts:
        tensors["W_skip"] = torch.block_diag(*parts["W_skip"])
    spec = stack.spec(folder, n, d, width, "W_skip" in parts)
    layout = {name: _FURTHER.get(name, name) for name in tensors}
    activation = "jumprelu" if "threshold" in parts else "relu"
    outline = Outline(spec, activation, layout, metadata=stack.metadata, rectifies=stack.rectifies)
    return assemble(outline, tensors, folder)


def _put(decoder: Tensor, written: Tensor, index: int) -> None:
    """A layer's decoder at its place among all: as rows of a dense one, or pair by pair in a triangular one."""
    width, layers, _ = written.shape
    if decoder.ndim == 2:
        decoder[index * width : (index + 1) * width] = written.flatten(1)
        return
    for part in range(index, index + layers):
        decoder[part * (part + 1) // 2 + index] = written[:, part - index]


def _sizes(first: Layer, names: Sequence[str], paths: Sequence[Path], stack: Stack, size: int) -> tuple[int, int]:
    """`d` and the width of every layer, from the first."""
    check_names(first, names, paths[0])
    n, encoder, decoder = len(paths), first["W_enc"], first["W_dec"]
    if encoder.ndim != 2 or decoder.ndim != 3 or not encoder.numel():
        shapes = f"{list(encoder.shape)} and {list(decoder.shape)}"
        raise InputError(f"{paths[0]} has W_enc and W_dec of shape {shapes}", expected="[d, width], [width, layers, d]")
    if decoder.shape[1] != n:
        raise InputError(f"the features of {paths[0]} write to {decoder.shape[1]} layers", expected=f"{n}: one a file")
    d, width = encoder.shape
    needed = prod(stack.decoder(n, d, width)) * decoder.element_size()
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
