"""Several dictionaries in a model at once, each in the place of what it writes: what is left of its predictions."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.cross_entropy import CrossEntropy, CrossEntropySums, next_token_kl, next_token_loss
from monosema.evaluation.evaluate import check_fits
from monosema.evaluation.rows import in_evaluation_mode, means_of
from monosema.evaluation.splice import hook_points, splice
from monosema.models import ModelPair, Replacement, read, replacing, written_at
from monosema.progress import progress

if TYPE_CHECKING:
    from monosema.models import LoadedModel, Readable


@torch.no_grad()
def evaluate_together(
    dictionaries: Mapping[str, Dictionary],
    model: "Readable",
    contexts: Int[Tensor, "n length"],
    *,
    skip_special: bool = True,
    batch_contexts: int = 8,
) -> CrossEntropy:
    """The model's loss with all dictionaries spliced in: with a transcoder for every MLP, how much of it survives.

    Each reads what flows at its hook points, which is what those before it have left, so their errors add up. One
    dictionary of cross-layer features has all layers at once by itself: this measures its replacement model. The
    baselines are zeros, and the means, at all of the hook points written. Memory and arguments are those of `evaluate`.

    Raises:
        InputError: as in `evaluate`; two dictionaries that write one hook point; a crosscoder, which `splice` refuses;
            two models; a model that predicts no next token.
    """
    if isinstance(model, ModelPair):
        raise InputError(f"all dictionaries at once in {model.name}", expected="one model, whose loss is measured")
    wires = {name: hook_points(dictionary) for name, dictionary in dictionaries.items()}
    check_fits(dictionaries, wires, model, contexts, batch_contexts)
    points = [write for dictionary in dictionaries.values() for write in dictionary.spec.writes]
    _check_apart(points, model)
    special = model.special_ids if skip_special else frozenset()
    parts = contexts.split(batch_contexts)
    total = CrossEntropySums()
    with in_evaluation_mode(dictionaries.values()), progress("all at once", contexts.numel(), "tokens") as bar:
        means = means_of(_rows(model, ids.to(model.device), points, special) for ids in parts)
        for ids in parts:
            total = total + _measure(dictionaries, model, ids.to(model.device), means, special)
            bar.advance(ids.numel())
    return total.metrics()


def _measure(
    dictionaries: Mapping[str, Dictionary],
    model: "LoadedModel",
    ids: Int[Tensor, "batch position"],
    means: Mapping[str, Tensor],
    special: frozenset[int],
) -> CrossEntropySums:
    untouched = ~not_special(ids, special)
    spliced = [part for dictionary in dictionaries.values() for part in splice(dictionary, untouched=untouched)]
    zero, mean = (
        [Replacement(point, partial(_constant, untouched, scale * x)) for point, x in means.items()]
        for scale in (0.0, 1.0)
    )
    clean = model.logits(ids)
    with replacing(model, spliced):
        logits = model.logits(ids)
    losses: list[float] = []
    for baseline in (zero, mean):
        with replacing(model, baseline):
            losses.append(next_token_loss(model.logits(ids), ids))
    return CrossEntropySums(
        tokens=ids[:, 1:].numel(),
        clean=next_token_loss(clean, ids),
        spliced=next_token_loss(logits, ids),
        zero=losses[0],
        mean=losses[1],
        kl=next_token_kl(clean, logits),
    )


def _constant(
    untouched: Bool[Tensor, "batch position"], value: Float[Tensor, " d"], x: Float[Tensor, "batch position d"]
) -> Float[Tensor, "batch position d"]:
    return torch.where(untouched.unsqueeze(-1), x, value.to(x))


def _rows(
    model: "LoadedModel", ids: Int[Tensor, "batch position"], points: list[str], special: frozenset[int]
) -> dict[str, Float[Tensor, "kept _"]]:
    kept = not_special(ids, special)
    return {point: x[kept] for point, x in read(model, ids, points).items()}


def _check_apart(points: Sequence[str], model: "LoadedModel") -> None:
    if not model.predicts_next:
        raise InputError(
            f"all dictionaries at once in {model.name}, which does not predict the next token",
            expected="a causal language model with its head",
        )
    places = [written_at(model, point) for point in points]
    times = Counter(places)
    for point, place in zip(points, places, strict=True):
        if times[place] > 1:
            raise InputError(
                f"all dictionaries at once, of which {times[place]} write {point!r}",
                expected="one dictionary for each hook point",
            )
