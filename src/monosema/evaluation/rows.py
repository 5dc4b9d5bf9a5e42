"""Measuring a dictionary on rows of activations, with no model at hand."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.measures import Measured, measure_sums
from monosema.evaluation.metrics import Evaluation, MetricSums, SiteSums
from monosema.evaluation.reconstruction import reconstruction_sums
from monosema.evaluation.sparsity import sparsity_sums
from monosema.evaluation.sums import wide

_ROWS = 1024  # rows whose dense codes are in memory at once


@torch.no_grad()
def evaluate_rows(
    dictionary: Dictionary,
    rows: Collection[tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch d_out"]]] | Float[Tensor, "rows d"],
) -> Evaluation:
    """Measures reconstruction and sparsity on activations; what needs a language model is None in the result.

    Args:
        dictionary: what is measured, in evaluation mode.
        rows: batches of activations read and activations to reconstruct, which are read twice, for their mean and for
            the rest; or, for an autoencoder, one tensor of activations.

    Raises:
        InputError: the batches can be read only once, do not fit the dictionary, hold values that are not finite, or
            do not vary.
    """
    if isinstance(rows, Tensor):
        rows = twice(dictionary, rows)
    if iter(rows) is rows:
        raise InputError("batches that can be read only once", expected="a list: they are read twice")
    mean = means_of({"target": target} for _, target in _checked(dictionary, rows))["target"]
    with in_evaluation_mode([dictionary]):
        parts = (measure_rows(dictionary, x, target, mean)[0] for x, target in rows)
        return add_up(parts).evaluation(dictionary.spec)


def twice(
    dictionary: Dictionary, rows: Float[Tensor, "rows d"]
) -> list[tuple[Float[Tensor, "batch d"], Float[Tensor, "batch d"]]]:
    """Batches of what an autoencoder reads and of what it is to reconstruct, which are the same.

    Raises:
        InputError: it writes something else, or activations of another shape.
    """
    spec = dictionary.spec
    if not spec.writes_what_it_reads:
        raise InputError(
            f"one tensor of activations for a {spec.wiring}",
            expected="batches of activations read and of activations to reconstruct",
        )
    if rows.ndim != 2 or rows.shape[1] != spec.d_in:
        raise InputError(f"activations of shape {list(rows.shape)}", expected=f"[rows, {spec.d_in}], as it reads")
    return [(part, part) for part in rows.split(_ROWS)]


def measure_rows(
    dictionary: Dictionary,
    x: Float[Tensor, "batch d_in"],
    target: Float[Tensor, "batch d_out"],
    mean: Float[Tensor, "d_out"],
) -> tuple[MetricSums, Float[Tensor, "batch d_out"]]:
    """The sums of one batch, and the reconstructions (or predictions) of `target`.

    Raises:
        InputError: the dictionary yields values that are not finite.
    """
    parts, predictions = [], []
    for x_slab, target_slab in zip(x.split(_ROWS), target.split(_ROWS), strict=True):
        x_slab = x_slab.to(dictionary.W_enc.device)
        codes = dictionary.encode(x_slab)
        prediction = dictionary.decode(codes, x_slab).to(target.device)
        if not prediction.isfinite().all():
            raise InputError("a dictionary that yields NaN or infinity", expected="finite reconstructions")
        sites = _of_sites(dictionary.spec.sizes_out, target_slab, prediction, mean)
        whole = reconstruction_sums(target_slab, prediction, mean)
        more = measure_sums(Measured(codes, target_slab, prediction, mean))
        parts.append(MetricSums(whole, sparsity_sums(codes), sites=sites, more=more))
        predictions.append(prediction)
    return add_up(parts), torch.cat(predictions)


def _of_sites(sizes: Sequence[int], target: Tensor, prediction: Tensor, mean: Tensor) -> tuple[SiteSums, ...]:
    if not sizes:
        return ()
    parts = zip(*(rows.split(list(sizes), -1) for rows in (target, prediction, mean)), strict=True)
    return tuple(SiteSums(reconstruction_sums(*part)) for part in parts)


def means_of(batches: Iterable[Mapping[str, Float[Tensor, "batch _"]]]) -> dict[str, Float[Tensor, "_"]]:
    """The mean of all rows at each hook point, in float64.

    Raises:
        InputError: there are no rows.
    """
    totals: dict[str, Tensor] = {}
    rows = 0
    for batch in batches:
        for point, x in batch.items():
            total = wide(x).sum(0)
            totals[point] = totals[point] + total if point in totals else total
        rows += len(next(iter(batch.values())))
    if not rows:
        raise InputError("no activations", expected="at least one row to measure on")
    return {point: total / rows for point, total in totals.items()}


def add_up(parts: Iterable[MetricSums]) -> MetricSums:
    """The sum of at least one part."""
    parts = iter(parts)
    return sum(parts, start=next(parts))


@contextmanager
def in_evaluation_mode(dictionaries: Iterable[Dictionary]) -> Iterator[None]:
    """While inside, no row's codes depend on the rest of its batch, as those of BatchTopK do in training mode."""
    modes = [(dictionary, dictionary.training) for dictionary in dictionaries]
    try:
        for dictionary, _ in modes:
            dictionary.eval()
        yield
    finally:
        for dictionary, training in modes:
            dictionary.train(training)


def _checked(
    dictionary: Dictionary, rows: Iterable[tuple[Tensor, Tensor]]
) -> Iterator[tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch d_out"]]]:
    spec = dictionary.spec
    for number, (x, target) in enumerate(rows):
        if x.shape != (len(target), spec.d_in) or target.shape != (len(x), spec.d_out):
            raise InputError(
                f"batch {number} of shapes {list(x.shape)} and {list(target.shape)}",
                expected=f"[rows, {spec.d_in}] and [rows, {spec.d_out}], as the dictionary reads and writes",
            )
        if not (x.isfinite().all() and target.isfinite().all()):
            raise InputError(f"NaN or infinite activations in batch {number}", expected="finite activations")
        yield x, target
