"""Starting weights."""

import torch

from monosema.dictionaries.dictionary import Dictionary


@torch.no_grad()
def initialise_(
    dictionary: Dictionary, generator: torch.Generator, decoder_norm: float = 1.0, encoder_scale: float = 1.0
) -> None:
    """Random feature directions of one norm, the encoder tied to them at the start; biases zero.

    Of an autoencoder, `W_enc = s W_decᵀ`. Else the encoder gets directions of its own, of norm s times the decoder's:
    what a transcoder writes says nothing of where it should look, even if both have one size.

    Args:
        dictionary: changed in place.
        generator: source of the random directions.
        decoder_norm: norm of every feature's direction.
        encoder_scale: s. Features overlap, so at 1 the first reconstructions overshoot.
    """
    for name, parameter in dictionary.named_parameters():
        if name.startswith("b_"):
            parameter.zero_()
    dictionary.W_dec.normal_(generator=generator)
    dictionary.W_dec.mul_(decoder_norm / dictionary.W_dec.norm(dim=-1, keepdim=True))
    if dictionary.spec.writes_what_it_reads and dictionary.W_enc.shape == dictionary.W_dec.mT.shape:
        dictionary.W_enc.copy_(encoder_scale * dictionary.W_dec.mT)
    else:
        dictionary.W_enc.normal_(generator=generator)
        dictionary.W_enc.mul_(encoder_scale * decoder_norm / dictionary.W_enc.norm(dim=-2, keepdim=True))
