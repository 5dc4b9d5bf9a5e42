"""What removing a feature would change in its examples, and which source tokens its attention read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from monosema.analysis import removal_effects, source_attribution
from monosema.dashboard.examples import contexts_of
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.features import FeatureStore

if TYPE_CHECKING:
    from monosema.dashboard.contract import Example
    from monosema.models import Readable

_CONTEXTS = 8  # read at once


def add_effects(
    store: FeatureStore,
    dictionary: Dictionary,
    model: "Readable",
    feature: int,
    examples: "Sequence[Example]",
    *,
    sources: bool,
) -> None:
    """Fills in what the model has to be run for: what removal changes, where it can be measured, and source tokens.

    Args:
        store: of the dictionary.
        dictionary: what the feature is of.
        model: the model that it was trained on.
        feature: which.
        examples: what is filled in.
        sources: whether the tokens that attention read the feature from are wanted; see `why_no_sources`.
    """
    removes = can_remove(dictionary, model)
    of_context: dict[int, list[Example]] = {}
    for example in examples:
        of_context.setdefault(example["context"], []).append(example)
    # Contexts are read up to where the last example of a batch ends, so those that end early go together.
    groups = sorted(of_context.values(), key=lambda group: max(map(_end, group)))
    for first in range(0, len(groups), _CONTEXTS):
        some = groups[first : first + _CONTEXTS]
        ids = torch.from_numpy(contexts_of(store, [max(group, key=_end) for group in some]))
        if removes:
            _add_removal(dictionary, model, feature, ids, some)
        if sources:
            _add_sources(dictionary, model, feature, ids, some)


def _end(example: "Example") -> int:
    return example["start"] + len(example["tokens"])


def reads_heads(dictionary: Dictionary) -> bool:
    """Whether it reads attention outputs, whose source tokens one would ask for."""
    reads = dictionary.spec.reads
    return len(reads) == 1 and reads[0].removeprefix("second.").startswith("attn_z.")


def why_no_sources(dictionary: Dictionary, model: "Readable") -> str | None:
    """Why `source_attribution` refuses the dictionary in this model, by a trial on one token; None if it does not."""
    try:
        source_attribution(dictionary, model, torch.zeros(1, 1, dtype=torch.long), [0], [0])
    except InputError as error:
        return str(error)
    return None


def can_remove(dictionary: Dictionary, model: "Readable") -> bool:
    """Whether removing a feature's contribution can be measured: one model predicts the next token from all of it."""
    owned = [model.owner(point) for point in dictionary.spec.writes]
    owners = {id(pair[0]) for pair in owned if pair is not None}
    several = len(dictionary.spec.writes) > 1 and not dictionary.spec.cross_layer
    predicts = all(pair is not None and pair[0].predicts_next for pair in owned)
    return predicts and len(owners) == 1 and not several


def _add_removal(
    dictionary: Dictionary,
    model: "Readable",
    feature: int,
    ids: Int[Tensor, "context position"],
    groups: "Sequence[Sequence[Example]]",
) -> None:
    """Of the examples of each context; one removal tells of all of them."""
    found = removal_effects(dictionary, model, ids, [feature] * len(ids))
    for row, example in _rows(groups):
        part = slice(example["start"], _end(example))
        before, total = found.before[row, part], found.total[row, part]
        example["next"], example["after"] = _figures(before.exp()), _figures(total.exp())
        example["total"] = _figures(total - before)
        if found.direct is not None:
            example["direct"] = _figures(found.direct[row, part] - before)


def _add_sources(
    dictionary: Dictionary,
    model: "Readable",
    feature: int,
    ids: Int[Tensor, "context position"],
    groups: "Sequence[Sequence[Example]]",
) -> None:
    """Of each example's strongest token."""
    rows, examples = zip(*_rows(groups), strict=True)
    places = [example["position"] for example in examples]
    found = source_attribution(dictionary, model, ids[list(rows)], places, [feature] * len(examples)).sources
    for row, example in enumerate(examples):
        part = found[row, example["start"] : _end(example)]
        example["sources"] = [round(x, 4) for x in part.tolist()]
        example["source_rest"] = round((found[row].sum() - part.sum()).item(), 4)


def _rows(groups: "Sequence[Sequence[Example]]") -> "list[tuple[int, Example]]":
    """Each example with the row of its context."""
    return [(row, example) for row, group in enumerate(groups) for example in group]


def _figures(x: Tensor) -> list[float | None]:
    """As numbers for JSON; nothing where there is none."""
    return [None if value != value else float(f"{value:.4g}") for value in x.tolist()]
