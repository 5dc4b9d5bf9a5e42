"""Dictionaries that compute the same in another form, for formats that have only the one form."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Dictionary, Gated, Spec, Triangular, activation_functions
from monosema.dictionaries.spec import InputBias
from monosema.errors import InputError


@torch.no_grad()
def dense(dictionary: Dictionary) -> Dictionary:
    """The same dictionary with dense matrices: maps of blocks, or of layers, have zeros beside what they store."""
    spec, decoder = dictionary.spec, dictionary.decoder
    if (spec.encoder, spec.decoder) == ("dense", "dense"):
        return dictionary
    state = dict(dictionary.state_dict())
    if isinstance(decoder, Triangular):
        state["W_dec"] = decoder.matrix(state["W_dec"])
    for name in ("W_enc", "W_dec"):
        if state[name].ndim == 3:
            state[name] = torch.block_diag(*state[name])
    return _made(dictionary, replace(spec, encoder="dense", decoder="dense", blocks=1), state)


@torch.no_grad()
def with_input_bias(dictionary: Dictionary, wanted: InputBias) -> Dictionary:
    """The same dictionary, but `wanted` is subtracted from its input: biases of the encoder make up for it.

    `(x − a) W + b = (x − a') W + (b + (a' − a) W)`, computed in float64 and rounded once.

    Args:
        dictionary: any with dense matrices.
        wanted: `none`, or `b_dec` where input and output have one size.
    """
    now = dictionary.input_bias
    if dictionary.spec.input_bias == wanted:
        return dictionary
    if wanted == "b_dec" and dictionary.spec.d_in != dictionary.spec.d_out:
        raise InputError("b_dec as the bias of an input of another size", expected="d_in = d_out")
    none = torch.zeros(dictionary.spec.d_in)
    new = dictionary.b_dec if wanted == "b_dec" else none
    shift = (new.double() - (none if now is None else now).double()) @ dictionary.W_enc.double()
    state = {name: t for name, t in dictionary.state_dict().items() if name != "b_in"}
    for name, add in _bias_shifts(dictionary, shift).items():
        state[name] = (state[name].double() + add).to(state[name].dtype)
    wiring = "autoencoder" if wanted == "b_dec" else dictionary.spec.wiring
    writes = dictionary.spec.reads if wanted == "b_dec" else dictionary.spec.writes
    spec = replace(dictionary.spec, wiring=wiring, writes=writes, subtracts_input_bias=wanted == "b_dec")
    return _made(dictionary, spec, state)


def _bias_shifts(dictionary: Dictionary, shift: Float[Tensor, " width"]) -> dict[str, Tensor]:
    """What is added to each bias so that all pre-activations grow by `shift`."""
    if isinstance(dictionary.activation, Gated):
        own = dictionary.activation
        return {"activation.b_gate": shift, "activation.b_mag": own.r_mag.double().exp() * shift}
    return {"b_enc": shift}


@torch.no_grad()
def fold_decoder_norms_(dictionary: Dictionary) -> None:
    """Makes decoder rows unit vectors, and pre-activations larger by the norms that they had, in place.

    What was chosen by `norm · pre`, given as a code, and divided by the norm before decoding, then is chosen, given and
    decoded as it is. A row of zeros stays one, and its feature is never active.
    """
    norms = dictionary.decoder_norms()
    dictionary.W_enc.mul_(norms)
    dictionary.b_enc.mul_(norms)
    dictionary.W_dec.div_(torch.where(norms > 0, norms, 1)[:, None])


@torch.no_grad()
def take_raw_(dictionary: Dictionary, read: float, written: float) -> None:
    """Makes a dictionary for x times `read` and y times `written` take and give raw ones, in place; codes stay."""
    dictionary.W_enc.mul_(read)
    for weight in (dictionary.W_dec, dictionary.b_dec):
        weight.div_(written)


@torch.no_grad()
def fold_whitening_(
    dictionary: Dictionary, mean: Float[Tensor, " d"], matrix: Float[Tensor, "d d"], inverse: Float[Tensor, "d d"]
) -> None:
    """Makes an autoencoder of z = (x − mean) matrix take and give raw x, in place; codes stay.

    Computed in float64 and rounded once.
    """
    encoder = matrix.double() @ dictionary.W_enc.double()
    changed = {
        "W_enc": encoder,
        "W_dec": dictionary.W_dec.double() @ inverse.double(),
        "b_dec": dictionary.b_dec.double() @ inverse.double() + mean.double(),
    }
    state = dictionary.state_dict()
    if dictionary.input_bias is None:
        shifts = _bias_shifts(dictionary, -mean.double() @ encoder)
        changed |= {name: state[name].double() + add for name, add in shifts.items()}
    for name, new in changed.items():
        state[name].copy_(new)


def _made(dictionary: Dictionary, spec: Spec, state: dict[str, Tensor]) -> Dictionary:
    activation = activation_functions[dictionary.activation.name](
        dictionary.spec.width, **dictionary.activation.options()
    )
    made = Dictionary(spec, activation, dictionary.metadata)
    made.load_state_dict(state, assign=True)
    return made.eval()
