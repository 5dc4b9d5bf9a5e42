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

    Returns:
        The features here that were restarted.
    """
    ranks, width = dictionary.ranks, len(dead)
    x, y, reconstruction = (ranks.rows.gather(rows) for rows in (x, y, reconstruction))
    dead = ranks.features.gather(dead)
    chances = (y - reconstruction).float().square().sum(1).square()
    count = min(int(dead.sum()), int((chances > 0).sum()))
    chosen = dead.nonzero().squeeze(1)[:count]
    if count == 0:
        return chosen
    drawn = torch.multinomial(chances.cpu() / chances.max().cpu(), count, generator=generator).to(x.device)
    read = x[drawn] if dictionary.input_bias is None else x[drawn] - dictionary.input_bias
    norms = ranks.features.gather(dictionary.W_enc.norm(dim=0))
    norm = ENCODER_NORM * (norms if dead.all() else norms[~dead]).mean()
    decoder_norm = 1.0 if dead.all() else ranks.features.gather(dictionary.decoder_norms())[~dead].mean()
    here = chosen // width == ranks.features.rank
    chosen, drawn, read = chosen[here] - width * ranks.features.rank, drawn[here], read[here]
    dictionary.W_dec[chosen] = decoder_norm * torch.nn.functional.normalize(y[drawn] - dictionary.b_dec)
    dictionary.W_enc[:, chosen] = norm * torch.nn.functional.normalize(read).T
    dictionary.b_enc[chosen] = 0.0
    restarted = torch.zeros(width, dtype=torch.bool, device=dead.device)
    restarted[chosen] = True
    dictionary.activation.reset_(restarted)
    _forget_(dictionary, optimisers, restarted)
    return chosen


def _forget_(dictionary: Dictionary, optimisers: Optimisers, features: Bool[Tensor, " width"]) -> None:
    own = {dictionary.W_dec: features[:, None], dictionary.W_enc: features, dictionary.b_enc: features}
    own |= dict.fromkeys(dictionary.activation.parameters(), features)
    for parameter, which in own.items():
        optimisers.forget_(parameter, which.expand_as(parameter))
