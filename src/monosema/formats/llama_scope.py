"""Llama Scope: `hyperparams.json` and `checkpoints/final.safetensors`."""

from pathlib import Path

from monosema.dictionaries import Dictionary, JumpReLU
from monosema.files import read_tensors
from monosema.formats import own
from monosema.formats.equal import take_raw_
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, spec_of
from monosema.formats.settings import Settings

CONFIG, WEIGHTS, NORM = "hyperparams.json", Path("checkpoints") / "final.safetensors", "dataset_average_activation_norm"
_LAYOUT = {
    "encoder.weight": "W_enc.T",
    "encoder.bias": "b_enc",
    "decoder.weight": "W_dec.T",
    "decoder.bias": "b_dec",
}


def load(path: Path) -> Dictionary:
    """The dictionary in a folder, for raw activations.

    It was trained on activations whose mean norm one factor makes the root of d, and has one threshold, which the same
    factor multiplies.

    Raises:
        InputError: a file is missing or broken, or contradicts the other.
    """
    config = Settings.read(path / CONFIG)
    config.text("act_fn", "jumprelu", among=("jumprelu",))
    if config.flag("apply_decoder_bias_to_pre_encoder", False):
        raise config.refused("apply_decoder_bias_to_pre_encoder", "false, as in all of Llama Scope")
    d, reads, writes = config.whole("d_model"), config.text("hook_point_in", None), config.text("hook_point_out", None)
    across = writes is not None and writes != reads
    spec = spec_of(
        config.path,
        d_in=d,
        d_out=d,
        width=config.whole("d_sae"),
        wiring="transcoder" if across else "autoencoder",
        **own.points(config, reads, writes if across else None),
    )
    metadata = own.metadata(config, "llama_scope", model="meta-llama/Llama-3.1-8B", context=1024)
    outline = Outline(spec, "jumprelu", _LAYOUT, {"threshold": _threshold(config)}, metadata)
    dictionary = assemble(outline, read_tensors(path / WEIGHTS), path / WEIGHTS)
    read = _factor(config, "in")
    take_raw_(dictionary, read, _factor(config, "out") if across else read)
    assert isinstance(dictionary.activation, JumpReLU)
    dictionary.activation.threshold.data.mul_(read)
    return dictionary


def _threshold(config: Settings) -> float:
    threshold = config.number("jump_relu_threshold")
    if threshold < 0:
        raise config.refused("jump_relu_threshold", "at least 0")
    return threshold


def _factor(config: Settings, side: str) -> float:
    """What activations were multiplied by: the root of d over their mean norm."""
    norms = config.section(NORM)
    norm = norms.number(side)
    factor = config.whole("d_model") ** 0.5 / norm if norm > 0 else 0.0
    if not 0 < factor < float("inf"):
        raise norms.refused(side, "a mean norm above 0")
    return factor


formats.register("llama_scope")(Format(recognises=lambda path: (path / CONFIG).is_file(), load=load))
