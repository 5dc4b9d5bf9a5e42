"""Measuring dictionaries in the model that they were trained on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.cross_entropy import CrossEntropySums, next_token_kl, next_token_loss
from monosema.evaluation.metrics import Evaluation, MetricSums
from monosema.evaluation.rows import in_evaluation_mode, means_of, measure_rows
from monosema.evaluation.splice import hook_points
from monosema.models import PREPROCESSING, Replacement, check_preprocessing, parsed, read, replacing, width_of
from monosema.progress import Progress, progress

if TYPE_CHECKING:
    from monosema.models import LoadedModel, Readable


@torch.no_grad()
def evaluate(
    dictionaries: Mapping[str, Dictionary],
    model: "Readable",
    contexts: Int[Tensor, "n length"],
    *,
    skip_special: bool = True,
    batch_contexts: int = 8,
) -> dict[str, Evaluation]:
    """Measures dictionaries on held-out contexts: reconstruction, sparsity and, in a causal language model, its loss.

    The contexts are read twice: once for the mean activations, once for the rest. Runs that do not depend on the
    dictionary (the model as it is, zeros or the mean at a hook point) are shared between dictionaries.

    Args:
        dictionaries: by name. What is written to several hook points is measured as a whole, with all of them replaced
            at once by what the dictionary makes of a pass without it, and at each of them alone.
        model: what they are measured in. Of two models, cross-entropy is that of the one whose hook points are written,
            and None where they are of both.
        contexts: held-out token ids.
        skip_special: neither measure nor replace activations at the model's special tokens.
        batch_contexts: contexts run at once; the results do not depend on it. Memory holds two tensors of logits
            `[batch_contexts, length, vocabulary]`, or three of two models, and the activations.

    Raises:
        InputError: an unknown hook point, a dictionary that does not fit its hook point, activations that are not
            finite or do not vary, contexts in which there is nothing to measure.
    """
    wires = {name: hook_points(dictionary) for name, dictionary in dictionaries.items()}
    check_fits(dictionaries, wires, model, contexts, batch_contexts)
    special = model.special_ids if skip_special else frozenset()
    sites = (write for d in dictionaries.values() if len(d.spec.writes) > 1 for write in d.spec.writes)
    writes = sorted({*(write for _, write in wires.values()), *sites})
    points = sorted({*chain.from_iterable(wires.values()), *writes})
    totals: dict[str, MetricSums] = {}
    with in_evaluation_mode(dictionaries.values()), progress("evaluating", 2 * contexts.numel(), "tokens") as bar:
        batches = partial(_batches, model, contexts.split(batch_contexts), special=special, bar=bar)
        means = means_of({point: batch.rows(point) for point in writes} for batch in batches(points=writes))
        for batch in batches(points=points):
            baselines = _baselines(model, batch, means)
            for name, dictionary in dictionaries.items():
                part = _measure(dictionary, *wires[name], model, batch, means, baselines)
                totals[name] = totals[name] + part if name in totals else part
    return {
        name: total.evaluation(
            dictionaries[name].spec, contexts.numel() - total.reconstruction.tokens, not skip_special
        )
        for name, total in totals.items()
    }


@dataclass(frozen=True)
class _Batch:
    """Some contexts, their activations by hook point, and which tokens are measured and replaced."""

    ids: Int[Tensor, "batch position"]
    kept: Bool[Tensor, "batch position"]
    activations: dict[str, Float[Tensor, "batch position _"]]

    def rows(self, point: str) -> Float[Tensor, "kept _"]:
        """The activations that are measured."""
        return self.activations[point][self.kept]

    def logits_with(self, model: "Readable", point: str, rows: Tensor) -> Float[Tensor, "batch position vocabulary"]:
        """The logits of the model that `point` is in, when `rows` flow on from it in place of `self.rows(point)`."""
        owned = model.owner(point)
        assert owned is not None
        owner, local = owned
        flows = self.activations[point].clone()
        flows[self.kept] = rows.to(flows.dtype)
        parts = parsed(local).parts
        pieces = flows.split([width_of(owner, part) for part in parts] if len(parts) > 1 else flows.shape[-1], dim=-1)
        with replacing(owner, [_constant(part, piece) for part, piece in zip(parts, pieces, strict=True)]):
            return owner.logits(self.ids)


def _constant(point: str, flows: Tensor) -> Replacement:
    return Replacement(point, lambda: flows, reads=())


@dataclass(frozen=True)
class _Clean:
    """A model as it is, on a batch: its logits, and the sum of their losses."""

    logits: Float[Tensor, "batch position vocabulary"]
    loss: float


@dataclass(frozen=True)
class _Baselines:
    """What a batch's runs without a dictionary gave, by model; and sums of losses, by hook point of such a model."""

    clean: "dict[LoadedModel, _Clean]"
    zero: dict[str, float]
    mean: dict[str, float]


def _batches(
    model: "Readable",
    contexts: Sequence[Int[Tensor, "batch length"]],
    points: Sequence[str],
    special: Collection[int],
    bar: Progress,
) -> Iterator[_Batch]:
    first = 0
    for ids in contexts:
        ids = ids.to(model.device)
        activations = read(model, ids, points)
        for point, x in activations.items():
            if not x.isfinite().all():
                context, position = (~x.isfinite()).any(-1).nonzero()[0].tolist()
                raise InputError(
                    f"NaN or infinite activations at {point!r} (context {first + context}, position {position})",
                    expected="finite activations",
                )
        yield _Batch(ids, not_special(ids, special), activations)
        first += len(ids)
        bar.advance(ids.numel())


def _baselines(model: "Readable", batch: _Batch, means: Mapping[str, Tensor]) -> _Baselines:
    """Of models that predict the next token, and the hook points of one such model alone."""
    found = _Baselines({}, {}, {})
    for point, x in means.items():
        owned = model.owner(point)
        if owned is None or not owned[0].predicts_next:
            continue
        owner, _ = owned
        if owner not in found.clean:
            logits = owner.logits(batch.ids)
            found.clean[owner] = _Clean(logits, next_token_loss(logits, batch.ids))
        found.zero[point] = next_token_loss(batch.logits_with(model, point, torch.zeros_like(x)), batch.ids)
        found.mean[point] = next_token_loss(batch.logits_with(model, point, x), batch.ids)
    return found


def _measure(
    dictionary: Dictionary,
    reads: str,
    writes: str,
    model: "Readable",
    batch: _Batch,
    means: Mapping[str, Tensor],
    baselines: _Baselines,
) -> MetricSums:
    sums, prediction = measure_rows(dictionary, batch.rows(reads), batch.rows(writes), means[writes])
    spec, sites = dictionary.spec, sums.sites
    if sites:
        parts = zip(sites, spec.writes, prediction.split(spec.sizes_out, 1), strict=True)
        sites = tuple(
            replace(own, cross_entropy=_losses(model, batch, baselines, point, rows)) for own, point, rows in parts
        )
    return replace(sums, cross_entropy=_losses(model, batch, baselines, writes, prediction), sites=sites)


def _losses(
    model: "Readable", batch: _Batch, baselines: _Baselines, point: str, rows: Float[Tensor, "kept _"]
) -> CrossEntropySums:
    """What `splice` does, with the reconstructions that are at hand; nothing where no one model's loss is measured."""
    owned = model.owner(point)
    if owned is None or owned[0] not in baselines.clean:
        return CrossEntropySums()
    clean = baselines.clean[owned[0]]
    logits = batch.logits_with(model, point, rows)
    return CrossEntropySums(
        tokens=batch.ids[:, 1:].numel(),
        clean=clean.loss,
        spliced=next_token_loss(logits, batch.ids),
        zero=baselines.zero[point],
        mean=baselines.mean[point],
        kl=next_token_kl(clean.logits, logits),
    )


def check_fits(
    dictionaries: Mapping[str, Dictionary],
    wires: Mapping[str, tuple[str, str]],
    model: "Readable",
    contexts: Tensor,
    batch_contexts: int,
) -> None:
    """Refuses contexts that cannot be measured on, and dictionaries that do not fit the hook points that they name."""
    if contexts.ndim != 2 or contexts.shape[1] < 2 or not len(contexts):
        raise InputError(f"contexts of shape {list(contexts.shape)}", expected="[n, length], at least 2 tokens long")
    if batch_contexts < 1:
        raise InputError(f"{batch_contexts} contexts at once", expected="at least 1")
    widths = {point: width_of(model, point) for point in set(chain.from_iterable(wires.values()))}
    for name, (reads, writes) in wires.items():
        spec = dictionaries[name].spec
        check_preprocessing(model, (reads, writes), dictionaries[name].metadata.get(PREPROCESSING))
        for point, verb, d in ((reads, "reads", spec.d_in), (writes, "writes", spec.d_out)):
            if widths[point] != d:
                raise InputError(
                    f"dictionary {name!r}, which {verb} activations of size {d} at {point!r}",
                    expected=f"size {widths[point]}, as {point!r} of {model.name} has",
                    hint="use the model and hook point that it was trained on",
                )
