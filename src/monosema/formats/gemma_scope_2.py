"""Gemma Scope 2 (for Gemma 3): `params.safetensors` and `config.json`; transcoders may have an affine skip.

A cross-layer transcoder is a folder of `params_layer_L.safetensors`: one dictionary, as circuit-tracer reads it, or the
features of one layer, where the file is what is read.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.files import read_tensors
from monosema.formats import cross_layer, own
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, sizes, spec_of
from monosema.formats.settings import Settings

CONFIG, WEIGHTS, SKIP = "config.json", "params.safetensors", "affine_skip_connection"
_LAYOUT = {
    "w_enc": "W_enc",
    "b_enc": "b_enc",
    "w_dec": "W_dec",
    "b_dec": "b_dec",
    "threshold": "activation.threshold",
}
_NAMES = {"w_enc": "W_enc", "w_dec": "W_dec", "b_enc": "b_enc", "b_dec": "b_dec", SKIP: "W_skip"}
_ACROSS = re.compile(r"params_layer_(\d+)\.safetensors")
_REPOSITORY = re.compile(r"gemma-scope-2-(\d+[bm]-(?:pt|it))")
_IN, _OUT = "hf_hook_point_in", "hf_hook_point_out"
_HOOKS = {
    "transcoder": {_IN: "pre_feedforward_layernorm.output", _OUT: "post_feedforward_layernorm.output"},
    "resid_post": {_IN: "output"},
    "attn_out": {_IN: "self_attn.o_proj.input"},
    "mlp_out": {_IN: "post_feedforward_layernorm.output"},
}
"""The hook points of each part of the release, for folders without a configuration."""
_HOOK = re.compile(r"model\.(?:language_model\.)?layers\.(\d+)\.(.+)")
_PLACES = {
    "output": "resid_post",
    "self_attn.o_proj.input": "attn_z",
    "pre_feedforward_layernorm.output": "mlp_in",
    "post_feedforward_layernorm.output": "mlp_out",
}


def load(path: Path) -> Dictionary:
    """The dictionary in a folder, or in a file. Without a `config.json` the path says its place, or nothing does.

    Raises:
        InputError: a file is missing or broken, or contradicts the other.
    """
    if path.is_dir() and not (path / WEIGHTS).is_file():
        return _folder_across(path)
    where = path / WEIGHTS if path.is_dir() else path
    tensors, config = read_tensors(where), _config(where)
    if match := _ACROSS.fullmatch(where.name):
        return _layer_across(tensors, int(match[1]), where, config)
    d_in, width = sizes(tensors, "w_enc", where)
    skip = config.flag("affine_connection", SKIP in tensors)
    across = _OUT in config or skip
    spec = spec_of(
        where,
        d_in=d_in,
        d_out=sizes(tensors, "w_dec", where)[1],
        width=width,
        wiring="transcoder" if across else "autoencoder",
        skip=skip,
        **_points(config),
    )
    layout = {**_LAYOUT, SKIP: "W_skip"} if skip else _LAYOUT
    return assemble(Outline(spec, "jumprelu", layout, metadata=_metadata(config)), tensors, where)


def is_parameters(path: Path) -> bool:
    """Whether a file is called as this release calls its own."""
    return path.is_file() and (path.name == WEIGHTS or bool(_ACROSS.fullmatch(path.name)))


def together(
    paths: Sequence[Path], points: tuple[tuple[str, ...], tuple[str, ...]], metadata: dict[str, Any]
) -> Dictionary:
    """A cross-layer transcoder from the files of its layers, layer 0 first; hook points and metadata as given."""
    layers = (_layer(read_tensors(path), layer, path) for layer, path in enumerate(paths))
    size = sum(path.stat().st_size for path in paths)
    return cross_layer.together(layers, paths, points, metadata, rectifies=True, size=size)


def _folder_across(folder: Path) -> Dictionary:
    numbers = sorted(int(match[1]) for path in folder.iterdir() if (match := _ACROSS.fullmatch(path.name)))
    if numbers != list(range(len(numbers))):
        raise InputError(f"{folder} has the layers {', '.join(map(str, numbers))}", expected="all from 0 on")
    paths = [folder / f"params_layer_{layer}.safetensors" for layer in numbers]
    return together(paths, _points_across(numbers, numbers), _metadata(_config(paths[0])))


def _layer_across(tensors: dict[str, Tensor], layer: int, where: Path, config: Settings) -> Dictionary:
    """The features of one layer, with all that they write."""
    found = cross_layer.alone(_layer(tensors, layer, where), where)
    (d, width), d_out = sizes(found, "W_enc", where), sizes(found, "W_dec", where)[1]
    reads, writes = _points_across([layer], range(layer, layer + d_out // d))
    wiring, skip = "transcoder", "W_skip" in found
    spec = spec_of(where, d_in=d, d_out=d_out, width=width, reads=reads, writes=writes, wiring=wiring, skip=skip)
    layout = {name: "activation.threshold" if name == "threshold" else name for name in (*_NAMES.values(), *found)}
    return assemble(Outline(spec, "jumprelu", layout, metadata=_metadata(config)), found, where)


def _layer(tensors: dict[str, Tensor], layer: int, where: Path) -> dict[str, Tensor]:
    """A layer's tensors by the names of one dictionary; what its features would write to earlier layers is left out.

    Raises:
        InputError: it is a crosscoder, whose files look alike, or no decoder for several layers.
    """
    if "crosscoder" in where.absolute().as_posix():
        raise InputError(f"{where} is a part of a crosscoder", expected="a cross-layer transcoder, or one layer's")
    plain = {_NAMES.get(name, name): tensor for name, tensor in tensors.items()}
    decoder = plain.get("W_dec")
    if decoder is None or decoder.ndim != 3 or decoder.shape[1] <= layer:
        raise InputError(f"{where} has no tensor 'w_dec' of shape [width, layers, d]", expected=f"layer {layer} in it")
    return {**plain, "W_dec": decoder[:, layer:]}


def _points_across(read: Iterable[int], written: Iterable[int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(f"mlp_in.{layer}" for layer in read), tuple(f"mlp_out.{layer}" for layer in written)


def _config(where: Path) -> Settings:
    """The configuration beside a file; or what the path says of it, as the release has names for it."""
    beside = where.with_name(CONFIG)
    if beside.is_file():
        config = Settings.read(beside)
        config.text("architecture", "jump_relu", among=("jump_relu",))
        return config
    text = where.absolute().as_posix()
    found, layer = _REPOSITORY.search(text), re.search(r"layer_(\d+)", text)
    values: dict[str, Any] = {} if found is None else {"model_name": f"gemma-3-{found[1]}"}
    kind = next((kind for kind in _HOOKS if kind in text), None)
    if kind is not None and layer is not None:
        values |= {name: f"model.layers.{layer[1]}.{hook}" for name, hook in _HOOKS[kind].items()}
    return Settings(values, beside)


def _metadata(config: Settings) -> dict[str, Any]:
    return own.metadata(config, "gemma_scope_2", model=_hub_name(config.text("model_name", None)), context=1024)


def _points(config: Settings) -> dict[str, Any]:
    reads = _point(config.text(_IN, None))
    writes = _point(config.text(_OUT, None))
    return own.points(config, reads, writes)


def _point(hook: str | None) -> str | None:
    """A hook point by its short name."""
    match = None if hook is None else _HOOK.fullmatch(hook)
    return hook if match is None or match[2] not in _PLACES else f"{_PLACES[match[2]]}.{match[1]}"


def _hub_name(model: str | None) -> str | None:
    return own.hub_name(None if model is None else model.replace("gemma-v3", "gemma-3"))


def _recognises(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in (WEIGHTS, "params_layer_0.safetensors"))
    return is_parameters(path)


formats.register("gemma_scope_2")(Format(recognises=_recognises, load=load))
