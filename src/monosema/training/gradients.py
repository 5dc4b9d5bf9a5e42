"""The loss of a batch and its gradients; where the codes are dense, of some rows at a time, to hold no more of them."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.kernels.backend import on_gpu
from monosema.kernels.parts import dense_rows_at_a_time
from monosema.kernels.spare import gradient_like
from monosema.recipes import Loss, Moment, Recipe


def learn_from(
    recipe: Recipe,
    dictionary: Dictionary,
    x: Float[Tensor, "batch d_in"],
    y: Float[Tensor, "batch d_out"],
    moment: Moment,
    dead: Bool[Tensor, " width"],
    autocast: bool,
) -> tuple[Loss, Int[Tensor, " width"]]:
    """Adds the gradients of a batch's loss to those of the parameters.

    Returns:
        The loss, without its graph where it was made of some rows at a time, and in how many rows each feature was
        active.
    """

    def loss_of(x: Tensor, y: Tensor) -> Loss:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=autocast):
            return recipe.loss(dictionary, x, y, moment, dead)

    rows = rows_together(recipe, dictionary, x, moment)
    if rows >= len(x):
        loss = loss_of(x, y)
        fired = loss.fired()
        loss.total.backward()
        return loss, fired
    for weight in (dictionary.W_enc, dictionary.W_dec):  # so that the parts add to memory that is there
        weight.grad = gradient_like(weight).zero_() if weight.grad is None else weight.grad
    whole, fired, parts = None, torch.zeros(dictionary.spec.width, dtype=torch.long, device=x.device), x.split(rows)
    for part, target in zip(parts, parts if y is x else y.split(rows), strict=True):
        loss, share = loss_of(part, target), len(part) / len(x)
        fired += loss.fired()
        (loss.total * share).backward()
        loss = _figures(loss, share)
        whole = loss if whole is None else _joined(whole, loss)
    assert whole is not None
    return whole, fired


def rows_together(recipe: Recipe, dictionary: Dictionary, x: Float[Tensor, "batch d_in"], moment: Moment) -> int:
    """How many rows of a batch are learned from at a time: all, unless their codes are dense and no row needs another.

    Several ranks tell each other sums over the whole batch, and keep it together.
    """
    ranks = dictionary.ranks
    if not recipe.by_row or ranks.all.size > 1 or recipe.stores_entries(dictionary, moment):
        return max(len(x), 1)
    return dense_rows_at_a_time(dictionary.spec.width, on_gpu(x))


def _figures(loss: Loss, share: float) -> Loss:
    """What a part of the rows adds to the loss of a batch."""
    return Loss(
        total=loss.total.detach() * share,
        terms={name: value.detach() * share for name, value in loss.terms.items()},
        codes=None,
        reconstruction=loss.reconstruction.detach(),
        pre=None,
        stored=None if loss.stored is None else loss.stored * share,
    )


def _joined(before: Loss, loss: Loss) -> Loss:
    return loss._replace(
        total=before.total + loss.total,
        terms={name: before.terms[name] + value for name, value in loss.terms.items()},
        reconstruction=torch.cat([before.reconstruction, loss.reconstruction]),
        stored=None if before.stored is None or loss.stored is None else before.stored + loss.stored,
    )
