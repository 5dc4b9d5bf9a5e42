"""Gemma Scope 2 (for Gemma 3): `params.safetensors` and `config.json`; transcoders may have an affine skip."""

from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.files import read_tensors
from monosema.formats import gemma_scope_2_layers as layers
from monosema.formats.format import Format, formats
from monosema.formats.gemma_scope_2_config import Config
from monosema.formats.outline import Outline, assemble, sizes, spec_of

WEIGHTS, SKIP = "params.safetensors", "affine_skip_connection"
_LAYOUT = {
    "w_enc": "W_enc",
    "b_enc": "b_enc",
    "w_dec": "W_dec",
    "b_dec": "b_dec",
    "threshold": "activation.threshold",
}


def load(path: Path) -> Dictionary:
    """The dictionary in a folder, or in a file. Without a `config.json` the path says its place, or nothing does.

    Raises:
        InputError: a file is missing or broken, or contradicts the other.
    """
    if path.is_dir() and not (path / WEIGHTS).is_file():
        return layers.load_folder(path)
    if layers.FILE.fullmatch(path.name):
        return layers.load_file(path)
    where = path / WEIGHTS if path.is_dir() else path
    tensors, config = read_tensors(where), Config.of(where)
    (d_in, width), d_out = sizes(tensors, "w_enc", where), sizes(tensors, "w_dec", where)[1]
    skip, points = SKIP in tensors if config.skip is None else config.skip, config.points()
    across = config.kind == "transcoder" or skip or points["reads"] != points["writes"]
    spec = spec_of(
        where,
        d_in=d_in,
        d_out=d_out,
        width=width,
        wiring="transcoder" if across else "autoencoder",
        skip=skip,
        **points,
    )
    layout = {**_LAYOUT, SKIP: "W_skip"} if skip else _LAYOUT
    return assemble(Outline(spec, "jumprelu", layout, metadata=config.metadata), tensors, where)


def is_parameters(path: Path) -> bool:
    """Whether a file is called as this release calls its own."""
    return path.is_file() and (path.name == WEIGHTS or bool(layers.FILE.fullmatch(path.name)))


def _recognises(path: Path) -> bool:
    if path.is_dir():
        return any((path / name).is_file() for name in (WEIGHTS, layers.FIRST))
    return is_parameters(path)


formats.register("gemma_scope_2")(Format(recognises=_recognises, load=load))
