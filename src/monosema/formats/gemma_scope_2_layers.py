"""Gemma Scope 2's dictionaries of several layers: a folder of `params_layer_L.safetensors`, one dictionary.

Cross-layer transcoders, as circuit-tracer reads them, and weakly causal crosscoders: a feature reads one layer, and
writes to that and to later ones (McDougall et al. 2025, Gemma Scope 2, section 2.6). A file that is read by itself is
the features of its layer. L counts files, from 0 on: which layers of the model they are of, the configuration says.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.files import read_tensors
from monosema.formats import cross_layer
from monosema.formats.cross_layer import Stack
from monosema.formats.gemma_scope_2_config import Config
from monosema.formats.outline import Outline, assemble, sizes, spec_of

FILE = re.compile(r"params_layer_(\d+)\.safetensors")
FIRST = "params_layer_0.safetensors"
NAMES = {"w_enc": "W_enc", "w_dec": "W_dec", "b_enc": "b_enc", "b_dec": "b_dec", "affine_skip_connection": "W_skip"}


def load_folder(folder: Path) -> Dictionary:
    """All layers together.

    Raises:
        InputError: a file is missing or broken, or contradicts another.
    """
    numbers = sorted(int(match[1]) for path in folder.iterdir() if (match := FILE.fullmatch(path.name)))
    if numbers != list(range(len(numbers))):
        raise InputError(f"{folder} has the layers {', '.join(map(str, numbers))}", expected="all from 0 on")
    paths = [folder / f"params_layer_{layer}.safetensors" for layer in numbers]
    config = Config.of(paths[0])
    stack = Stack(*config.points_across(len(paths)), metadata=config.metadata)
    if config.kind != "crosscoder":
        return together(paths, stack)
    earlier = any(_writes_earlier(read_tensors(path), layer) for layer, path in enumerate(paths))
    return together(paths, replace(stack, wiring="autoencoder", later=not earlier))


def load_file(path: Path) -> Dictionary:
    """The features of one layer, with all that they write, joined end to end.

    Raises:
        InputError: the file is missing, broken, or holds something else.
    """
    match, config, tensors = FILE.fullmatch(path.name), Config.of(path), read_tensors(path)
    assert match
    layer, crosses = int(match[1]), config.kind == "crosscoder"
    if crosses and _writes_earlier(tensors, layer):
        raise InputError(f"the features of {path} write to earlier layers, too", expected=f"the folder {path.parent}")
    own = _layer(tensors, layer, path)
    written = own["W_dec"].shape[1]
    reads, writes = config.points_across(layer + written)
    found = cross_layer.alone(own, path)
    d, width = sizes(found, "W_enc", path)
    spec = spec_of(
        path,
        d_in=d,
        d_out=sizes(found, "W_dec", path)[1],
        width=width,
        reads=reads[layer : layer + 1],
        writes=writes[layer:],
        wiring="autoencoder" if crosses and written == 1 else "transcoder",
        skip="W_skip" in found,
    )
    layout = {name: name for name in NAMES.values() if spec.skip or name != "W_skip"}
    layout["threshold"] = "activation.threshold"
    return assemble(Outline(spec, "jumprelu", layout, metadata=config.metadata), found, path)


def together(paths: Sequence[Path], stack: Stack) -> Dictionary:
    """One dictionary from the files of its layers, layer 0 first.

    Raises:
        InputError: as `load_folder`.
    """
    layers = (_layer(read_tensors(path), n if stack.later else 0, path) for n, path in enumerate(paths))
    size = sum(path.stat().st_size for path in paths)
    return cross_layer.together(layers, paths, replace(stack, rectifies=True), size=size)


def _layer(tensors: dict[str, Tensor], layer: int, where: Path) -> dict[str, Tensor]:
    """A layer's tensors by the names of one dictionary; what its features would write before `layer` is left out."""
    plain = {NAMES.get(name, name): tensor for name, tensor in tensors.items()}
    decoder = plain.get("W_dec")
    if decoder is None or decoder.ndim != 3 or decoder.shape[1] <= layer:
        raise InputError(f"{where} has no tensor 'w_dec' of shape [width, layers, d]", expected=f"layer {layer} in it")
    return {**plain, "W_dec": decoder[:, layer:]}


def _writes_earlier(tensors: dict[str, Tensor], layer: int) -> bool:
    """Whether a layer's features write anything to earlier ones."""
    decoder = tensors.get("w_dec")
    return decoder is not None and decoder.ndim == 3 and bool(decoder[:, :layer].any())
