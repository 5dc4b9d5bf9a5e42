"""A dictionary as SAELens would have saved it."""

from typing import Any

import torch
from torch import Tensor

from monosema.dictionaries import AbsTopK, ActivationFunction, BatchTopK, Dictionary, MatchingPursuit, TopK
from monosema.errors import InputError
from monosema.files import json_text
from monosema.formats import own
from monosema.formats.equal import dense, with_input_bias
from monosema.formats.outline import tensors_of
from monosema.formats.saelens_config import NORMALISATIONS, layout

_PLAIN = {
    "relu": "standard",
    "topk": "topk",
    "abs_topk": "abstopk",
    "gated": "gated",
    "jumprelu": "jumprelu",
    "matching_pursuit": "matching_pursuit",
}
_ACROSS = {"relu": "transcoder", "jumprelu": "jumprelu_transcoder"}
VERSION = "6.0.0"
"""The version whose configuration is written: without one, SAELens takes it for an older one."""


def as_saelens(dictionary: Dictionary) -> tuple[str, dict[str, Tensor], Tensor | None]:
    """The text of `cfg.json`, the weights, and how often each feature is active, if the metadata say it.

    Raises:
        InputError: SAELens has no class for such a dictionary; the message says why.
    """
    architecture = _architecture(dictionary)
    whole = dense(dictionary)
    if "transcoder" in architecture:
        whole = with_input_bias(whole, "none")
    kind = dictionary.activation
    names = dict(layout(architecture))
    if isinstance(kind, BatchTopK):
        del names["threshold"]
    tensors = tensors_of(whole, names)
    if isinstance(kind, MatchingPursuit):
        _check_tied(whole)
        del tensors["W_enc"]
    if isinstance(kind, BatchTopK):
        tensors["threshold"] = kind.threshold.detach().cpu().expand(dictionary.spec.width).to(whole.b_enc).contiguous()
    return json_text(_config(architecture, whole, dictionary)), tensors, _density(dictionary)


def _density(dictionary: Dictionary) -> Tensor | None:
    found, width = dictionary.metadata.get("log10_density"), dictionary.spec.width
    if found is None:
        return None
    if not (isinstance(found, list) and len(found) == width and all(isinstance(value, float) for value in found)):
        raise InputError("log10_density in the metadata is something else", expected=f"{width} numbers")
    return torch.tensor(found)


def _architecture(dictionary: Dictionary) -> str:
    """The name of SAELens' class."""
    spec, kind = dictionary.spec, dictionary.activation
    name = "jumprelu" if isinstance(kind, BatchTopK) else kind.name
    if isinstance(kind, BatchTopK) and kind.threshold < 0:
        raise InputError("a batch_topk dictionary whose threshold was never set", expected="a trained one")
    across = spec.skip or not spec.writes_what_it_reads
    known = _ACROSS if across else _PLAIN
    if name not in known or (spec.skip and spec.normalisation != "none" and spec.writes_what_it_reads):
        what = f"{spec.wiring}s with {kind.name}" + (" and a skip connection" if spec.skip else "")
        normalised = f" after {spec.normalisation}" if spec.normalisation != "none" else ""
        raise InputError(
            f"SAELens has no {what}{normalised}", expected=f"{', '.join(sorted(known))}", hint="--to monosema keeps it"
        )
    return known[name].replace("transcoder", "skip_transcoder") if spec.skip else known[name]


def _options(kind: ActivationFunction) -> dict[str, Any]:
    """What the configuration says of the activation function beside its name."""
    if isinstance(kind, TopK | AbsTopK):
        return {"k": kind.k}
    if isinstance(kind, MatchingPursuit):
        return {
            "max_iterations": kind.rounds,
            "residual_threshold": kind.residual.item(),
            "stop_on_duplicate_support": kind.stop_at_repeat,
        }
    return {}


def _check_tied(dictionary: Dictionary) -> None:
    """Refuses what SAELens' matching pursuit, which has one matrix and one use of `b_dec`, would do otherwise."""
    if not torch.equal(dictionary.W_enc, dictionary.W_dec.mT):
        raise InputError("matching_pursuit along other directions than the decoder's", expected="W_enc = W_dec turned")
    if dictionary.input_bias is None and dictionary.b_dec.any():
        raise InputError("matching_pursuit with a b_dec that is added alone", expected="b_dec subtracted from x, too")


def _config(architecture: str, written: Dictionary, dictionary: Dictionary) -> dict[str, Any]:
    spec, metadata = written.spec, dictionary.metadata
    reads = own.one_point("reads", dictionary.spec.reads)
    writes = own.one_point("writes", dictionary.spec.writes)
    name_in, head = (None, None) if reads is None else own.lens_head(reads)
    name_out = None if writes is None else own.lens_name(writes)
    every_head = head is None and (name_in or "").endswith("hook_z")
    across = "transcoder" in architecture
    normalisations = {ours: theirs for theirs, ours in reversed(NORMALISATIONS.items())}
    rest = {key: value for key, value in metadata.items() if key != "log10_density"}
    return {
        "architecture": architecture,
        "d_in": spec.d_in,
        "d_sae": spec.width,
        **({"d_out": spec.d_out} if across else {}),
        **_options(written.activation),
        "dtype": str(written.W_enc.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": spec.input_bias == "b_dec",
        "normalize_activations": normalisations[spec.normalisation],
        "reshape_activations": "hook_z" if every_head and not across else "none",
        "metadata": {
            "sae_lens_version": VERSION,
            "model_name": metadata.get("model"),
            "hook_name": name_in,
            "hook_head_index": head,
            **({"hook_name_out": name_out} if across else {}),
            "context_size": metadata.get("context"),
            "prepend_bos": metadata.get("prepend_bos"),
            own.ENTRY: own.entry(dictionary.spec, rest),
        },
    }
