"""What a feature means: the places in a text where it is strongest."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.analysis.tokens import token_strings
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import read
from monosema.progress import progress

if TYPE_CHECKING:
    from monosema.models import Readable

_CONTEXTS = 8  # contexts run at once


@dataclass(frozen=True)
class Example:
    """A place in a text where a feature is active, with the text around it."""

    context: int
    """Which context."""
    position: int
    """Which token of the context the feature is strongest at."""
    value: float
    """How strong it is there."""
    tokens: tuple[str, ...]
    """The text around it, token by token."""
    values: tuple[float, ...]
    """How strong the feature is at each of these tokens."""
    strongest: int
    """Which of these tokens is the one at `position`."""


@torch.no_grad()
def top_examples(
    dictionary: Dictionary,
    model: "Readable",
    contexts: Int[Tensor, "n length"],
    features: Sequence[int],
    n: int = 5,
    window: tuple[int, int] = (20, 10),
) -> dict[int, list[Example]]:
    """The `n` contexts in which each feature is strongest, strongest first; fewer where it is active in fewer.

    Reads the contexts once; memory does not grow with their number. The model's special tokens count as inactive. Where
    two contexts are equally strong, the earlier one comes first.

    Args:
        dictionary: in evaluation mode; it reads one hook point.
        model: the model that it was trained on.
        contexts: token ids.
        features: which features.
        n: examples for each.
        window: tokens shown before and after the strongest one, as far as the context goes.

    Raises:
        InputError: a feature that the dictionary does not have, a number of examples or a window that is not positive,
            a dictionary that reads several hook points.
    """
    _check(dictionary, contexts, features, n, window)
    training = dictionary.training
    dictionary.eval()
    try:
        peaks = _strongest_peaks(dictionary, model, contexts, features, n, window)
    finally:
        dictionary.train(training)
    return {
        feature: [
            _example(peaks, row, column, model, contexts, window)
            for row in range(int((peaks.value[:, column] > 0).sum()))
        ]
        for column, feature in enumerate(features)
    }


class _Peaks(NamedTuple):
    """Candidates for each feature: where a feature is strongest in a context, and its values around there."""

    value: Float[Tensor, "candidate feature"]
    context: Int[Tensor, "candidate feature"]
    position: Int[Tensor, "candidate feature"]
    around: Float[Tensor, "candidate feature window"]


def _strongest_peaks(
    dictionary: Dictionary,
    model: "Readable",
    contexts: Int[Tensor, "n length"],
    features: Sequence[int],
    n: int,
    window: tuple[int, int],
) -> _Peaks:
    best: _Peaks | None = None
    with progress("finding examples", contexts.numel(), "tokens") as bar:
        for first in range(0, len(contexts), _CONTEXTS):
            ids = contexts[first : first + _CONTEXTS]
            peaks = _peaks(_values(dictionary, model, ids, features), first, window)
            both = peaks if best is None else _Peaks(*(torch.cat(pair) for pair in zip(best, peaks, strict=True)))
            # Stable, so that of two equal values the earlier context's comes first however the contexts are cut.
            order = both.value.sort(dim=0, descending=True, stable=True).indices[:n]
            best = _Peaks(*(x[order, torch.arange(len(features))] for x in both))
            bar.advance(ids.numel())
    assert best is not None
    return best


def _values(
    dictionary: Dictionary, model: "Readable", ids: Int[Tensor, "batch position"], features: Sequence[int]
) -> Float[Tensor, "batch position feature"]:
    """How strong the features are, on the CPU; 0 at special tokens."""
    point = " & ".join(dictionary.spec.reads)
    activations = read(model, ids, [point])[point].to(dictionary.W_enc.device)
    # One context at a time, because dense codes of all features take much memory.
    values = torch.stack([dictionary.encode(x)[:, list(features)] for x in activations]).cpu()
    return values * not_special(ids.cpu(), model.special_ids).unsqueeze(-1)


def _peaks(values: Float[Tensor, "batch position feature"], first: int, window: tuple[int, int]) -> _Peaks:
    """The strongest place of each feature in each context; the contexts are numbered from `first`."""
    position = values.argmax(dim=1)
    context = torch.arange(first, first + len(values)).unsqueeze(1).expand_as(position)
    padded = F.pad(values.transpose(1, 2), window)
    places = position.unsqueeze(-1) + torch.arange(sum(window) + 1)
    return _Peaks(values.amax(dim=1), context, position, padded.gather(2, places))


def _example(
    peaks: _Peaks,
    row: int,
    column: int,
    model: "Readable",
    contexts: Int[Tensor, "n length"],
    window: tuple[int, int],
) -> Example:
    before, after = window
    context, position = int(peaks.context[row, column]), int(peaks.position[row, column])
    start, end = max(position - before, 0), min(position + after + 1, contexts.shape[1])
    skipped = start - (position - before)  # places of the window that lie before the context
    return Example(
        context=context,
        position=position,
        value=peaks.value[row, column].item(),
        tokens=tuple(token_strings(model.tokenizer, contexts[context, :end].tolist(), start)),
        values=tuple(peaks.around[row, column, skipped : skipped + end - start].tolist()),
        strongest=position - start,
    )


def _check(dictionary: Dictionary, contexts: Tensor, features: Sequence[int], n: int, window: tuple[int, int]) -> None:
    spec = dictionary.spec
    if not spec.reads:
        raise InputError("a dictionary that names no hook point", expected="what it reads in its spec")
    if wrong := [feature for feature in features if not 0 <= feature < spec.width]:
        raise InputError(f"feature {wrong[0]}", expected=f"features from 0 to {spec.width - 1}, the dictionary's")
    if n < 1 or min(window) < 0:
        raise InputError(
            f"{n} examples, window {window}", expected="at least 1 example and a window of 0 or more tokens"
        )
    if contexts.ndim != 2 or not len(contexts):
        raise InputError(f"contexts of shape {list(contexts.shape)}", expected="[n, length], at least one")
