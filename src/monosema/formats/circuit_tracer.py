"""circuit-tracer: a folder of transcoders, one for each layer, and a `config.yaml`, which may list where they lie.

A layer's transcoder is `layer_L.safetensors`. That of a cross-layer transcoder is `W_enc_L.safetensors` and
`W_dec_L.safetensors`, and writes the outputs of its layer and all behind it. A folder of these is one dictionary, all
layers together; a file of it is one layer's, with its outputs joined end to end.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.files import read_tensors
from monosema.formats import cross_layer, gemma_scope, gemma_scope_2, gemma_scope_2_layers
from monosema.formats.cross_layer import Stack
from monosema.formats.format import Format, Listing, formats
from monosema.formats.outline import Outline, assemble, sizes, spec_of
from monosema.formats.settings import Settings
from monosema.yaml_text import parse

CONFIG = "config.yaml"
SET, ACROSS = "transcoder_set", "cross_layer_transcoder"
_FILE = re.compile(r"(layer|W_enc)_(\d+)\.safetensors")
_LAYOUT = {name: name for name in ("b_enc", "W_dec", "b_dec")}
_THRESHOLD = "activation_function.threshold"
_PLACES = {
    "hook_resid_mid": "resid_mid.{L}",
    "ln2.hook_normalized": "mlp_in.{L}",
    "mlp.hook_in": "mlp_in.{L}",
    "hook_mlp_out": "mlp_out.{L}",
    "mlp.hook_out": "mlp_out.{L}",
}


def load(path: Path) -> Dictionary:
    """The dictionary of one layer, or of all layers of a cross-layer transcoder.

    Args:
        path: `layer_L.safetensors`, `W_enc_L.safetensors`, or the folder of the latter.

    Raises:
        InputError: a file is missing, broken, or holds something else.
    """
    if path.is_dir():
        return _together(path)
    config = Configuration.beside(path)
    if match := _FILE.fullmatch(path.name):
        return read_layer(path, int(match[2]), config, across=match[1] == "W_enc")
    if path.name not in config.listed:
        raise InputError(f"{path}", expected="layer_L.safetensors or W_enc_L.safetensors")
    return read_layer(path, config.listed.index(path.name), config)


def listing(path: Path) -> Listing | None:
    """What the `config.yaml` of a folder lists: the transcoders of all layers, or the layers of one across layers.

    Raises:
        InputError: it is no YAML, or lists something else.
    """
    if not (path / CONFIG).is_file():
        return None
    config = Configuration.beside(path / CONFIG)
    if not (places := [_place(place, path) for place in config.listed]):
        return None
    kind = config.settings.text("model_kind", SET, among=(SET, ACROSS))
    named = {f"layer_{layer}": place for layer, place in enumerate(places)}
    if kind == ACROSS:
        return Listing(named, lambda found: {path.name: _across(list(found.values()), config, path)}, one=True)
    return Listing(
        named,
        lambda found: {name: _member(where, layer, config) for layer, (name, where) in enumerate(found.items())},
    )


def _place(place: str, folder: Path) -> str:
    """An address as monosema writes it, or a path; one that is relative starts at the list."""
    if not place.startswith("hf://"):
        return str(folder / place)
    file, _, query = place.partition("?")
    revision = query.removeprefix("revision=")
    return f"{file}@{revision}" if revision else file


def _member(path: Path, layer: int, config: "Configuration") -> Dictionary:
    """A transcoder of a set, in this format or in one of Gemma Scope."""
    if path.suffix == ".npz":
        dictionary = gemma_scope.load(path)
    elif gemma_scope_2.is_parameters(path):
        dictionary = gemma_scope_2.load(path)
    else:
        return read_layer(path, layer, config)
    spec, metadata = dictionary.spec, config.metadata(path)
    reads, writes = config.reads([layer]) or spec.reads, config.writes([layer]) or spec.writes
    dictionary.spec = replace(spec, reads=reads, writes=writes, wiring="transcoder")
    dictionary.metadata = {**dictionary.metadata, **{key: metadata[key] for key in metadata if key != "source"}}
    return dictionary


def _across(paths: list[Path], config: "Configuration", folder: Path) -> Dictionary:
    if not all(gemma_scope_2.is_parameters(path) for path in paths):
        raise InputError(f"{folder / CONFIG} lists {paths[0].name} …", expected="params_layer_L.safetensors")
    layers = range(len(paths))
    stack = Stack(config.reads(layers), config.writes(layers), metadata=config.metadata(folder))
    return gemma_scope_2_layers.together(paths, stack)


def read_layer(path: Path, layer: int, config: "Configuration", *, across: bool = False) -> Dictionary:
    """The dictionary of a layer, at the hook points that a configuration says.

    Args:
        path: the file, of any name.
        layer: which layer it is of.
        config: that of the set.
        across: whether it is one of a cross-layer transcoder.
    """
    if across:
        tensors = cross_layer.alone(_layer(path, layer), path)
    else:
        tensors = {("threshold" if name == _THRESHOLD else name): t for name, t in read_tensors(path).items()}
    return _dictionary(tensors, layer, path, config, across)


def _together(folder: Path) -> Dictionary:
    numbers = sorted(int(match[2]) for path in folder.iterdir() if (match := _FILE.fullmatch(path.name)))
    if numbers != list(range(len(numbers))):
        raise InputError(f"{folder} has the layers {', '.join(map(str, numbers))}", expected="all from 0 on")
    config = Configuration.beside(folder / CONFIG)
    paths = [folder / f"W_enc_{layer}.safetensors" for layer in numbers]
    layers = (_turned(_layer(path, layer)) for layer, path in enumerate(paths))
    size = sum(path.stat().st_size for path in folder.glob("W_dec_*.safetensors"))
    stack = Stack(config.reads(numbers), config.writes(numbers), metadata=config.metadata(folder))
    return cross_layer.together(layers, paths, stack, size=size)


def _layer(path: Path, layer: int) -> dict[str, Tensor]:
    """Encoder and decoder of one layer of a cross-layer transcoder, by the names of one dictionary."""
    tensors = {**read_tensors(path), **read_tensors(path.with_name(f"W_dec_{layer}.safetensors"))}
    return {name.removesuffix(f"_{layer}"): tensor for name, tensor in tensors.items()}


def _turned(layer: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.mT if name == "W_enc" and tensor.ndim == 2 else tensor for name, tensor in layer.items()}


def _dictionary(
    tensors: dict[str, Tensor], layer: int, path: Path, config: "Configuration", across: bool
) -> Dictionary:
    d_in, width, turned = _sizes(tensors, path)
    d_out = sizes(tensors, "W_dec", path)[1]
    layers = range(layer, layer + d_out // d_in if across else layer + 1)
    spec = spec_of(
        path,
        d_in=d_in,
        d_out=d_out,
        width=width,
        reads=config.reads([layer]),
        writes=config.writes(layers),
        wiring="transcoder",
        skip="W_skip" in tensors,
    )
    layout = {**_LAYOUT, "W_enc": "W_enc.T" if turned else "W_enc"}
    if spec.skip:
        layout["W_skip"] = "W_skip" if across else "W_skip.T"
    if "threshold" in tensors:
        layout["threshold"] = "activation.threshold"
    activation = "jumprelu" if "threshold" in tensors else "relu"
    return assemble(Outline(spec, activation, layout, metadata=config.metadata(path), rectifies=False), tensors, path)


def _sizes(tensors: dict[str, Tensor], path: Path) -> tuple[int, int, bool]:
    """`d_in`, the width, and whether the encoder's matrix has a row for each feature: the bias tells."""
    rows, columns = sizes(tensors, "W_enc", path)
    width = tensors["b_enc"].numel() if "b_enc" in tensors else rows
    return (columns, rows, True) if width == rows else (rows, columns, False)


@dataclass(frozen=True)
class Configuration:
    """What the `config.yaml` of a set says."""

    settings: Settings

    @classmethod
    def beside(cls, path: Path) -> "Configuration":
        """That in the folder of a file; an empty one if there is none."""
        where = path.with_name(CONFIG)
        if not where.is_file():
            return cls(Settings({}, where))
        try:
            text = where.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{where} is not UTF-8 ({error})") from None
        return cls(Settings(parse(text, str(where)), where))

    @property
    def listed(self) -> list[str]:
        """Where the transcoders lie, layer after layer, if it says so.

        Raises:
            InputError: it says so in another way than by a list of texts.
        """
        found = self.settings.values.get("transcoders")
        if found is None:
            return []
        if not isinstance(found, list) or not found or not all(isinstance(place, str) and place for place in found):
            raise self.settings.refused("transcoders", "a list of paths and addresses")
        return found

    def reads(self, layers: Iterable[int]) -> tuple[str, ...]:
        """The hook points that features of some layers read, if it says them."""
        return self._points("feature_input_hook", layers)

    def writes(self, layers: Iterable[int]) -> tuple[str, ...]:
        """The same of what is written."""
        return self._points("feature_output_hook", layers)

    def metadata(self, path: Path) -> dict[str, Any]:
        """Where a dictionary comes from."""
        model = self.settings.text("model_name", None)
        return {"source": {"format": "circuit_tracer", "path": path.name}} | ({"model": model} if model else {})

    def _points(self, key: str, layers: Iterable[int]) -> tuple[str, ...]:
        hook = self.settings.text(key, None)
        place = "" if hook is None else _PLACES.get(hook, f"blocks.{{L}}.{hook}")
        return tuple(place.replace("{L}", str(layer)) for layer in layers) if place else ()


def _recognises(path: Path) -> bool:
    if path.is_dir():
        return all((path / f"{side}_0.safetensors").is_file() for side in ("W_enc", "W_dec"))
    if path.suffix != ".safetensors" or not path.is_file():
        return False
    return bool(_FILE.fullmatch(path.name)) or path.name in Configuration.beside(path).listed


formats.register("circuit_tracer")(Format(recognises=_recognises, load=load, listing=listing))
