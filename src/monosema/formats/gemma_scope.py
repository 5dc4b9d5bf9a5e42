"""Gemma Scope (for Gemma 2): `params.npz`, in folders such as `layer_20/width_16k/average_l0_71`."""

import re
from pathlib import Path

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.formats.archives import read_npz
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, sizes, spec_of

WEIGHTS = "params.npz"
_LAYOUT = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")} | {"threshold": "activation.threshold"}
_REPOSITORY = re.compile(r"gemma-scope-(2b|9b|27b)-(pt|it)-(res|mlp|att|transcoders)")
_LAYER = re.compile(r"layer_(\d+)")
_PLACES = {
    "res": ("resid_post", None),
    "mlp": ("mlp_out", None),
    "att": ("attn_z", None),
    "transcoders": ("mlp_in", "mlp_out"),
}


def load(path: Path) -> Dictionary:
    """The dictionary in a folder, or in a file. Its place in the model follows from the path, if that says it.

    Raises:
        InputError: the file is missing, broken, or holds something else.
    """
    where = path / WEIGHTS if path.is_dir() else path
    tensors = {re.sub(r"^w_", "W_", name): tensor for name, tensor in read_npz(where).items()}
    _check_scale(tensors.pop("scaling_factor", None), where)
    d, width = sizes(tensors, "W_enc", where)
    text = where.absolute().as_posix()
    transcodes = "transcoder" in text
    model, reads, writes = _origin(text)
    spec = spec_of(
        where,
        d_in=d,
        d_out=sizes(tensors, "W_dec", where)[1] if transcodes else d,
        width=width,
        wiring="transcoder" if transcodes else "autoencoder",
        reads=reads,
        writes=writes if transcodes else reads,
    )
    source = {"format": "gemma_scope", "path": "/".join(where.parts[-4:-1])}
    metadata = {**({"model": model} if model else {}), "context": 1024, "source": source}
    dictionary = assemble(Outline(spec, "jumprelu", _LAYOUT, metadata=metadata), tensors, where)
    if "embedding" in text and not transcodes:
        _scale_embedding_(dictionary)
    return dictionary


def _check_scale(scale: Tensor | None, where: Path) -> None:
    """A factor that nothing says the meaning of is refused, unless it does nothing."""
    if scale is not None and not torch.equal(scale, torch.ones_like(scale)):
        raise InputError(f"tensor 'scaling_factor' of {where} is not 1", expected="none, or ones")


@torch.no_grad()
def _scale_embedding_(dictionary: Dictionary) -> None:
    """Those of the embedding were trained on what the model multiplies it by, the root of d, and divided again."""
    root = dictionary.spec.d_in**0.5
    dictionary.W_enc.div_(root)
    dictionary.W_dec.mul_(root)


def _origin(text: str) -> tuple[str | None, tuple[str, ...], tuple[str, ...]]:
    """The model and the hook points that a path tells of."""
    found, layer = _REPOSITORY.search(text), _LAYER.search(text)
    if found is None:
        return None, (), ()
    model = f"google/gemma-2-{found[1]}" + ("-it" if found[2] == "it" else "")
    if layer is None:
        return model, ("embed",) if "embedding" in text else (), ()
    reads, writes = (None if place is None else (f"{place}.{layer[1]}",) for place in _PLACES[found[3]])
    return model, reads or (), writes or ()


formats.register("gemma_scope")(
    Format(recognises=lambda path: (path / WEIGHTS).is_file() or (path.is_file() and path.suffix == ".npz"), load=load)
)
