"""Resampling: dead features start again from inputs that the dictionary reconstructs badly (Bricken et al. 2023)."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.recipes import Moment, Recipe
from monosema.training.optimisers import Optimisers

ENCODER_NORM = 0.2
"""Norm of a new encoder column, relative to the mean of the alive ones."""


def resampling_window(recipe: Recipe, moment: Moment, width: int) -> int | None:
    """Tokens of silence after which a feature is to be resampled at this step; None if it is not the time to.

    That is half of the interval since the resampling before. As one batch has few inputs, a resampling goes on over
    as many steps as the width may need.
    """
    starts = [round(at * moment.steps) for at in recipe.resample_at]
    done = [start for start in starts if start <= moment.step]
    if not done or moment.step - done[-1] >= math.ceil(width / moment.batch_size):
        return None
    interval = done[-1] - (done[-2] if len(done) > 1 else 0)
    return max(interval // 2, 1) * moment.batch_size


@torch.no_grad()
def resample_(
    dictionary: Dictionary,
    optimisers: Optimisers,
    x: Float[Tensor, "batch d_in"],
    y: Float[Tensor, "batch d_out"],
    reconstruction: Float[Tensor, "batch d_out"],
    dead: Bool[Tensor, " width"],
    generator: torch.Generator,
) -> Int[Tensor, " chosen"]:
    """Restarts dead features in place, at most one for each input of the batch that has an error.

    Inputs are drawn with probability ∝ ‖y − x̂‖⁴, without replacement. A decoder row becomes the direction of its
    target less `b_dec`; the encoder column that of its input, less what the encoder subtracts, with a fifth of the
    alive columns' mean norm; the bias zero, other parameters of the feature what they were at the start. What the
    optimiser remembers of those entries is forgotten. Where several ranks train the dictionary, each is given what it
    has of `x`, `y`, `reconstruction` and `dead`, and all have to do this at the same time.

    Where features are divided into blocks, each block draws for its own from the errors of its part of the output.

    Returns:
        The features here that were restarted.
    """
    ranks, width = dictionary.ranks, len(dead)
    x, y, reconstruction = (ranks.rows.gather(rows) for rows in (x, y, reconstruction))
    dead = ranks.features.gather(dead)
    chosen, drawn = _drawn(dictionary, y - reconstruction, dead, generator)
    if len(chosen) == 0:
        return chosen
    read = x[drawn] if dictionary.input_bias is None else x[drawn] - dictionary.input_bias
    norms = ranks.features.gather(dictionary.W_enc.norm(dim=-2).flatten())
    norm = ENCODER_NORM * (norms if dead.all() else norms[~dead]).mean()
    decoder_norm = 1.0 if dead.all() else ranks.features.gather(dictionary.decoder_norms())[~dead].mean()
    here = chosen // width == ranks.features.rank
    chosen, drawn, read = chosen[here] - width * ranks.features.rank, drawn[here], read[here]
    encoder, decoder = dictionary.encoder, dictionary.decoder
    new = decoder.unit(y[drawn] - dictionary.b_dec, chosen, width)
    decoder.set_rows_(dictionary.W_dec, chosen, decoder_norm * new)
    encoder.set_columns_(dictionary.W_enc, chosen, norm * encoder.unit(read, chosen, width))
    dictionary.b_enc[chosen] = 0.0
    restarted = torch.zeros(width, dtype=torch.bool, device=dead.device)
    restarted[chosen] = True
    dictionary.activation.reset_(restarted)
    _forget_(dictionary, optimisers, restarted)
    return chosen


def _drawn(
    dictionary: Dictionary,
    error: Float[Tensor, "batch d_out"],
    dead: Bool[Tensor, " width"],
    generator: torch.Generator,
) -> tuple[Int[Tensor, " chosen"], Int[Tensor, " chosen"]]:
    """Features to restart, and for each a row of the batch."""
    parts = dictionary.decoder.parts(error.float())
    chosen: list[Tensor] = []
    drawn: list[Tensor] = []
    for block, (part, own) in enumerate(zip(parts, dead.chunk(len(parts)), strict=True)):
        chances = part.square().sum(1).square()
        count = min(int(own.sum()), int((chances > 0).sum()))
        chosen.append(own.nonzero().squeeze(1)[:count] + block * len(own))
        if count:
            shares = chances.cpu() / chances.max().cpu()
            drawn.append(torch.multinomial(shares, count, generator=generator).to(error.device))
    return torch.cat(chosen), torch.cat(drawn) if drawn else torch.cat(chosen)


def _forget_(dictionary: Dictionary, optimisers: Optimisers, features: Bool[Tensor, " width"]) -> None:
    masks = {parameter: torch.zeros_like(parameter, dtype=torch.bool) for parameter in _of_features(dictionary)}
    forgotten = features.nonzero().squeeze(1)
    everywhere = features.new_ones(len(forgotten), max(dictionary.spec.d_in, dictionary.spec.d_out))
    dictionary.decoder.set_rows_(masks[dictionary.W_dec], forgotten, everywhere[:, : dictionary.spec.d_out])
    dictionary.encoder.set_columns_(masks[dictionary.W_enc], forgotten, everywhere[:, : dictionary.spec.d_in])
    for parameter in (dictionary.b_enc, *dictionary.activation.parameters()):
        masks[parameter][features] = True
    for parameter, mask in masks.items():
        optimisers.forget_(parameter, mask)


def _of_features(dictionary: Dictionary) -> list[Tensor]:
    """The parameters that features have for themselves."""
    return [dictionary.W_dec, dictionary.W_enc, dictionary.b_enc, *dictionary.activation.parameters()]
