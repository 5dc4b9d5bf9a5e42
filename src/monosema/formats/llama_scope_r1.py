"""Llama Scope R1: `config.json` and `sae_weights.safetensors`, as Language-Model-SAEs of 2025 saves them."""

from pathlib import Path

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.dictionaries.saving import check_names, check_tensor
from monosema.errors import InputError
from monosema.files import read_tensors
from monosema.formats import own
from monosema.formats.equal import take_raw_
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, scalar, spec_of
from monosema.formats.settings import Settings

CONFIG, WEIGHTS = "config.json", "sae_weights.safetensors"
_NORM, _THRESHOLD = "dataset_average_activation_norm.", "log_jumprelu_threshold"
_REPOSITORY, _MODEL = "Llama-Scope-R1-Distill", "deepseek-ai/DeepSeek-R1-Distill-Llama-8B"
_LAYOUT = {
    "encoder.weight": "W_enc.T",
    "encoder.bias": "b_enc",
    "decoder.weight": "W_dec.T",
    "decoder.bias": "b_dec",
    "threshold": "activation.threshold",
}


def load(path: Path) -> Dictionary:
    """The dictionary in a folder, for raw activations.

    It was trained on activations whose mean norm one factor makes the root of d, and whose thresholds hold for codes
    times the norms of their decoder rows, where the configuration says so.

    Raises:
        InputError: a file is missing or broken, or contradicts the other.
    """
    config, where = Settings.read(path / CONFIG), path / WEIGHTS
    _check(config)
    tensors = read_tensors(where)
    norms = {name: scalar(name, tensors, where) for name in tensors if name.startswith(_NORM)}
    d, width = config.whole("d_model"), config.whole("d_model") * config.whole("expansion_factor")
    plain = {name: tensor for name, tensor in tensors.items() if name not in norms}
    plain["threshold"] = _threshold(plain, width, config, where)
    reads, writes = config.text("hook_point_in"), config.text("hook_point_out", config.text("hook_point_in"))
    across = writes != reads
    spec = spec_of(
        config.path,
        d_in=d,
        d_out=d,
        width=width,
        wiring="transcoder" if across else "autoencoder",
        **own.points(config, reads, writes if across else None),
    )
    model = _MODEL if _REPOSITORY in path.absolute().as_posix() else None
    metadata = own.metadata(config, "llama_scope_r1", model=model, context=config.whole("context_size", None))
    dictionary = assemble(Outline(spec, "jumprelu", _LAYOUT, metadata=metadata), plain, where)
    take_raw_(dictionary, _factor(d, reads, norms, where), _factor(d, writes, norms, where))
    return dictionary


def _check(config: Settings) -> None:
    config.text("act_fn", "jumprelu", among=("jumprelu",))
    config.text("norm_activation", "dataset-wise", among=("dataset-wise",))
    for name in ("apply_decoder_bias_to_pre_encoder", "use_glu_encoder"):
        if config.flag(name, False):
            raise config.refused(name, "false, as in all of the release")


def _threshold(tensors: dict[str, Tensor], width: int, config: Settings, where: Path) -> Tensor:
    """The threshold of each code, taken out of the tensors of the file, which has its logarithm."""
    check_names(tensors, [*(name for name in _LAYOUT if name != "threshold"), _THRESHOLD], where)
    check_tensor(_THRESHOLD, tensors[_THRESHOLD], [width], where)
    threshold = tensors.pop(_THRESHOLD).exp()
    if not config.flag("sparsity_include_decoder_norm", False):
        return threshold
    check_tensor("decoder.weight", tensors["decoder.weight"], [config.whole("d_model"), width], where)
    norms = tensors["decoder.weight"].norm(dim=0)
    return threshold / torch.where(norms > 0, norms, 1)


def _factor(d: int, point: str, norms: dict[str, float], where: Path) -> float:
    """What activations at a hook point were multiplied by: the root of d over their mean norm."""
    name = f"{_NORM}{point}"
    if not norms.get(name, 0.0) > 0:
        given = norms.get(name, "no number")
        raise InputError(f"{where} has {given} as {name!r}", expected="a mean norm above 0")
    return d**0.5 / norms[name]


formats.register("llama_scope_r1")(
    Format(
        recognises=lambda path: (
            (path / CONFIG).is_file() and (path / WEIGHTS).is_file() and not (path / "cfg.json").is_file()
        ),
        load=load,
    )
)
