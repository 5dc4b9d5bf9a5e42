"""OpenAI's sparse_autoencoder: one `.pt` file; with TopK, each activation is normalised to mean 0 and deviation 1."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.formats.archives import is_pt, names_in, read_pt
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, sizes, spec_of
from monosema.formats.settings import Settings

_LAYOUT = {
    "encoder.weight": "W_enc.T",
    "latent_bias": "b_enc",
    "decoder.weight": "W_dec.T",
    "pre_bias": "b_dec",
}
_STATISTICS = ("stats_last_nonzero", "latents_activation_frequency", "latents_mean_square")
_ACTIVATION, _STATE = "activation", "activation_state_dict"


def load(path: Path) -> Dictionary:
    """The dictionary in a file.

    Raises:
        InputError: the file is missing, broken, or holds something else.
    """
    content = read_pt(path)
    tensors = {name: value for name, value in content.items() if name not in (*_STATISTICS, _ACTIVATION, _STATE)}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise InputError(f"{name!r} in {path} is a {type(value).__name__}", expected="a tensor")
    if "decoder.linear.weight" in tensors:  # tied: the decoder is the encoder turned
        tensors["decoder.weight"] = tensors.pop("decoder.linear.weight").mT
    d, width = sizes(tensors, "encoder.weight", path, transposed=True)
    activation, options = _activation(content, path)
    spec = spec_of(
        path,
        d_in=d,
        d_out=d,
        width=width,
        subtracts_input_bias=True,
        normalisation="layer_norm" if activation == "topk" else "none",
    )
    metadata = {"source": {"format": "openai", "path": path.name}}
    return assemble(Outline(spec, activation, _LAYOUT, options, metadata), tensors, path)


def _activation(content: Mapping[str, Any], path: Path) -> tuple[str, dict[str, Any]]:
    """The activation function and its options."""
    known = Settings({key: value for key, value in content.items() if key in (_ACTIVATION, _STATE)}, path)
    if known.text(_ACTIVATION, "ReLU", among=("ReLU", "TopK")) == "ReLU":
        return "relu", {}
    state = known.section(_STATE)
    state.text("postact_fn", "ReLU", among=("ReLU",))
    return "topk", {"k": state.whole("k")}


def _recognises(path: Path) -> bool:
    return is_pt(path) and {"pre_bias", "latent_bias"} <= names_in(path)


formats.register("openai")(Format(recognises=_recognises, load=load))
