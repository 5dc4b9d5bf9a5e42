"""circuit-tracer: a folder of transcoders, one for each layer, and a `config.yaml`.

A layer's transcoder is `layer_L.safetensors`. That of a cross-layer transcoder is `W_enc_L.safetensors` and
`W_dec_L.safetensors`, and writes the outputs of its layer and all behind it, joined end to end: what all of them write
at one layer, added up, is the reconstruction there.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.files import read_tensors
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, sizes, spec_of
from monosema.formats.settings import Settings
from monosema.yaml_text import parse

CONFIG = "config.yaml"
_FILE = re.compile(r"(layer|W_enc)_(\d+)\.safetensors")
_LAYOUT = {name: name for name in ("b_enc", "W_dec", "b_dec")}
_PLACES = {
    "hook_resid_mid": "resid_mid.{L}",
    "ln2.hook_normalized": "mlp_in.{L}",
    "mlp.hook_in": "mlp_in.{L}",
    "hook_mlp_out": "mlp_out.{L}",
    "mlp.hook_out": "mlp_out.{L}",
}


def load(path: Path) -> Dictionary:
    """The dictionary of one layer.

    Args:
        path: `layer_L.safetensors` or `W_enc_L.safetensors`.

    Raises:
        InputError: a file is missing, broken, or holds something else.
    """
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise InputError(f"{path}", expected="layer_L.safetensors or W_enc_L.safetensors")
    across = match[1] == "W_enc"
    layer, tensors = int(match[2]), read_tensors(path)
    if across:
        tensors = _joined(tensors, layer, path)
    return _dictionary(tensors, layer, path, across)


def _dictionary(tensors: dict[str, Tensor], layer: int, path: Path, across: bool) -> Dictionary:
    d_in, width, turned = _sizes(tensors, path)
    d_out = sizes(tensors, "W_dec", path)[1]
    config = _config(path)
    reads, writes = config.text("feature_input_hook", None), config.text("feature_output_hook", None)
    layers = range(layer, layer + d_out // d_in if across else layer + 1)
    spec = spec_of(
        path,
        d_in=d_in,
        d_out=d_out,
        width=width,
        reads=() if reads is None else (_point(reads, layer),),
        writes=() if writes is None else tuple(_point(writes, later) for later in layers),
        wiring="transcoder",
        skip="W_skip" in tensors,
    )
    layout = {**_LAYOUT, "W_enc": "W_enc.T" if turned else "W_enc"}
    if spec.skip:
        layout["W_skip"] = "W_skip" if across else "W_skip.T"
    if "threshold" in tensors:
        layout["threshold"] = "activation.threshold"
    model = config.text("model_name", None)
    metadata = {"source": {"format": "circuit_tracer", "path": path.name}} | ({"model": model} if model else {})
    activation = "jumprelu" if "threshold" in tensors else "relu"
    return assemble(Outline(spec, activation, layout, metadata=metadata, rectifies=False), tensors, path)


def _sizes(tensors: dict[str, Tensor], path: Path) -> tuple[int, int, bool]:
    """`d_in`, the width, and whether the encoder's matrix has a row for each feature: the bias tells."""
    rows, columns = sizes(tensors, "W_enc", path)
    width = tensors["b_enc"].numel() if "b_enc" in tensors else rows
    return (columns, rows, True) if width == rows else (rows, columns, False)


def _joined(tensors: dict[str, Tensor], layer: int, path: Path) -> dict[str, Tensor]:
    """Encoder and decoder of one layer of a cross-layer transcoder, as one that writes all later layers."""
    beside = path.with_name(f"W_dec_{layer}.safetensors")
    tensors = {**tensors, **read_tensors(beside)}
    plain = {name.removesuffix(f"_{layer}"): tensor for name, tensor in tensors.items()}
    decoder, bias = plain.get("W_dec"), plain.get("b_dec")
    if decoder is None or decoder.ndim != 3 or not decoder.numel():
        raise InputError(f"{beside} has no tensor 'W_dec_{layer}' of [width, layers, d]")
    if bias is None or bias.shape != decoder.shape[2:]:
        raise InputError(f"{path} has no tensor 'b_dec_{layer}' of [{decoder.shape[2]}]")
    own, rest = bias.numel(), decoder[0].numel() - bias.numel()
    plain |= {"W_dec": decoder.flatten(1), "b_dec": torch.cat([bias, bias.new_zeros(rest)])}
    if "W_skip" in plain:
        if plain["W_skip"].shape != (own, own):
            raise InputError(f"tensor 'W_skip_{layer}' of {path}", expected=f"[{own}, {own}]")
        plain["W_skip"] = torch.cat([plain["W_skip"], plain["W_skip"].new_zeros(own, rest)], dim=1)
    return plain


def _config(path: Path) -> Settings:
    """The set's configuration, or an empty one."""
    beside = path.with_name(CONFIG)
    if not beside.is_file():
        return Settings({}, beside)
    try:
        text = beside.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{beside} is not UTF-8 ({error})") from None
    return Settings(parse(text, str(beside)), beside)


def _point(hook: str, layer: int) -> str:
    """A hook point by its short name, if it has one."""
    return _PLACES.get(hook, f"blocks.{{L}}.{hook}").replace("{L}", str(layer))


formats.register("circuit_tracer")(
    Format(recognises=lambda path: path.is_file() and bool(_FILE.fullmatch(path.name)), load=load)
)
