"""Gemma Scope 2 (for Gemma 3): `params.safetensors` and `config.json`; transcoders may have an affine skip."""

import re
from pathlib import Path
from typing import Any

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.files import read_tensors
from monosema.formats import own
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
_HOOK = re.compile(r"model\.(?:language_model\.)?layers\.(\d+)\.(.+)")
_PLACES = {
    "output": "resid_post",
    "self_attn.o_proj.input": "attn_z",
    "pre_feedforward_layernorm.output": "mlp_in",
    "post_feedforward_layernorm.output": "mlp_out",
}


def load(path: Path) -> Dictionary:
    """The dictionary in a folder.

    Raises:
        InputError: a file is missing or broken, or contradicts the other.
    """
    where, beside = path / WEIGHTS, path / CONFIG
    config = Settings.read(beside)
    config.text("architecture", "jump_relu", among=("jump_relu",))
    tensors = read_tensors(where)
    if "w_dec" in tensors and tensors["w_dec"].ndim == 3:
        raise InputError(f"{where} has a decoder for each of several layers", expected="one: a matrix 'w_dec'")
    d_in, width = sizes(tensors, "w_enc", where)
    skip = config.flag("affine_connection", SKIP in tensors)
    across = "hf_hook_point_out" in config or skip
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
    model = config.text("model_name", None)
    metadata = own.metadata(config, "gemma_scope_2", model=_hub_name(model), context=1024)
    return assemble(Outline(spec, "jumprelu", layout, metadata=metadata), tensors, where)


def _points(config: Settings) -> dict[str, Any]:
    reads = _point(config.text("hf_hook_point_in", None))
    writes = _point(config.text("hf_hook_point_out", None))
    return own.points(config, reads, writes)


def _point(hook: str | None) -> str | None:
    """A hook point by its short name."""
    match = None if hook is None else _HOOK.fullmatch(hook)
    return hook if match is None or match[2] not in _PLACES else f"{_PLACES[match[2]]}.{match[1]}"


def _hub_name(model: str | None) -> str | None:
    return own.hub_name(None if model is None else model.replace("gemma-v3", "gemma-3"))


formats.register("gemma_scope_2")(Format(recognises=lambda path: (path / WEIGHTS).is_file(), load=load))
