"""Building a feature store: one pass of model and dictionary over a text."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from monosema.activations import Contexts, MixedContexts
from monosema.activations.filters import not_special
from monosema.analysis import TokenTexts
from monosema.config import to_dict
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.rows import in_evaluation_mode
from monosema.features.cofiring import cofiring
from monosema.features.directions import describe, moved_logits, neighbour_column
from monosema.features.layout import Index, write_index
from monosema.features.sample import SpreadSample
from monosema.features.sorting import ENTRIES, Sorter
from monosema.features.store import FeatureStore
from monosema.features.summary import ExampleOptions, Summary, summarise
from monosema.features.words import strongest_tokens, words_of
from monosema.features.writing import ActivationWriter, TokenWriter, figure_columns, write_features
from monosema.files import folder_atomically
from monosema.kernels import RaggedCodes
from monosema.models import read
from monosema.progress import progress

if TYPE_CHECKING:
    from monosema.models import Readable

_ROWS = 4096  # of activations, that are encoded at once


@dataclass(frozen=True)
class BuildOptions:
    """How a store is made."""

    examples: ExampleOptions = field(default_factory=ExampleOptions)
    """Which examples are kept of each feature."""
    neighbours: int = 10
    """Features that are similar to each, fire together with it, or avoid it."""
    logits: int = 10
    """Tokens that each feature promotes most, and least."""
    cofiring_tokens: int = 2**17
    """Tokens, spread over the text, on which features are counted to fire together; at least half as many, if the text
    has more."""
    context_batch: int = 16
    """Contexts that the model reads at once."""
    entries: int = ENTRIES
    """Activations that are held in memory before they are sorted and written away, some 40 bytes for each."""


def build_features(
    dictionary: Dictionary,
    model: "Readable",
    contexts: Contexts | MixedContexts,
    out: str | Path,
    *,
    tokens: int,
    text: str | None = None,
    name: str | None = None,
    options: BuildOptions = BuildOptions(),
    replace: bool = False,
) -> FeatureStore:
    """Writes every activation of every feature on a text, by feature, with figures, examples and neighbours of each.

    Memory holds the weights, `options.entries` activations, all activations of one feature, the codes of
    `options.cofiring_tokens` tokens, and 8 bytes for each token of the text; the disk holds the activations twice while
    they are sorted.

    Args:
        dictionary: reads hook points of `model`.
        model: what it was trained on.
        contexts: what is read.
        out: a folder that does not exist yet, unless it is to be replaced; it is there when it is whole.
        tokens: to read, rounded up to whole contexts; fewer where the text ends.
        text: what the contexts are of, in words.
        name: of the dictionary; by default the one in its metadata.
        options: how it is made.
        replace: what is at `out`, which stays until the store is whole.

    Raises:
        InputError: a dictionary that names no hook point or does not fit its own, `out` exists, no text.
        OSError: it cannot be written.
    """
    out = Path(out)
    if out.exists() and not replace:
        raise InputError(f"{out} exists", expected="a folder that does not, for the feature store")
    if tokens < 1:
        raise InputError(f"{tokens} tokens of text", expected="at least 1")
    if not dictionary.spec.reads:
        raise InputError("a dictionary that names no hook point", expected="what it reads in its spec")
    with folder_atomically(out, replace=replace) as folder:
        with tempfile.TemporaryDirectory(dir=folder) as scratch, in_evaluation_mode([dictionary]):
            sorter = Sorter(Path(scratch), dictionary.spec.width, options.entries)
            seen = _read(dictionary, model, contexts, folder, sorter, tokens, options)
            counts = sorter.counts()
            summaries = _summarise(sorter, folder, seen, contexts.length, options.examples)
        near = cofiring(seen.sample.fires(), options.neighbours)
        ids, texts = np.concatenate(seen.ids), TokenTexts(model.tokenizer)
        described = describe(dictionary, model, neighbours=options.neighbours, logits=options.logits)
        columns = {
            **figure_columns(counts, summaries, seen.counted),
            "together": neighbour_column(near[0]),
            "apart": neighbour_column(near[1]),
            **described,
            "strongest_token": strongest_tokens(summaries, ids, texts),
            "words": words_of(summaries, ids, contexts.length, texts, moved_logits(described)),
        }
        write_features(folder, columns)
        write_index(folder, _index(dictionary, name, model, text, contexts.length, seen, int(counts.sum()), options))
    return FeatureStore(out)


class _Block(NamedTuple):
    """Some tokens, special ones left out, and what is active on them."""

    tokens: Int[Tensor, " rows"]
    codes: RaggedCodes


@dataclass
class _Seen:
    """What a pass over the text leaves behind, beside the sorted activations."""

    sample: SpreadSample
    contexts: int = 0
    counted: int = 0
    documents: list[np.ndarray] = field(default_factory=list)
    """Of each token."""
    ids: list[np.ndarray] = field(default_factory=list)


def _read(
    dictionary: Dictionary,
    model: "Readable",
    contexts: Contexts | MixedContexts,
    folder: Path,
    sorter: Sorter,
    tokens: int,
    options: BuildOptions,
) -> _Seen:
    wanted = -(-tokens // contexts.length)
    seen = _Seen(SpreadSample(dictionary.spec.width, options.cofiring_tokens))
    texts = TokenTexts(model.tokenizer)
    with TokenWriter(folder) as writer, progress("reading features", wanted * contexts.length, "tokens") as bar:
        while wanted > seen.contexts and (taken := _next(contexts, min(options.context_batch, wanted - seen.contexts))):
            ids = torch.stack([ids for ids, _ in taken])
            documents = np.stack([documents for _, documents in taken])
            writer.write(seen.contexts, documents, ids.numpy(), [texts(row) for row in ids.tolist()])
            for block in active_blocks(dictionary, model, ids, seen.contexts):
                sorter.add(block.codes, block.tokens)
                seen.counted += len(block.tokens)
                seen.sample.add(block.codes)
            seen.documents.append(documents.ravel())
            seen.ids.append(ids.numpy().astype(np.int32).ravel())
            seen.contexts += len(taken)
            bar.advance(ids.numel())
    if not seen.counted:
        raise InputError(f"a text of less than one context of {contexts.length} tokens", expected="more text")
    return seen


def _next(contexts: Contexts | MixedContexts, count: int) -> list[tuple[Int[Tensor, "length"], np.ndarray]]:
    """The next contexts, and the document that each of their tokens is of."""
    taken = []
    while len(taken) < count and (ids := next(contexts, None)) is not None:
        starts, documents = (np.array(column) for column in zip(*contexts.parts, strict=True))
        places = np.searchsorted(starts, np.arange(contexts.length), side="right") - 1
        taken.append((ids.clone(), documents[places].astype(np.int32)))
    return taken


def active_blocks(
    dictionary: Dictionary, model: "Readable", ids: Int[Tensor, "batch length"], first: int
) -> Iterator[_Block]:
    """What is active in some contexts, of which the first is number `first` of the text."""
    point = " & ".join(dictionary.spec.reads)
    rows = read(model, ids, [point])[point].flatten(0, 1)
    for places in not_special(ids, model.special_ids).flatten().nonzero().squeeze(1).split(_ROWS):
        x = rows.index_select(0, places.to(rows.device)).to(dictionary.W_enc)
        yield _Block(places + first * ids.shape[1], dictionary.active_entries(x))


def _summarise(sorter: Sorter, folder: Path, seen: _Seen, length: int, options: ExampleOptions) -> list[Summary]:
    documents, summaries = np.concatenate(seen.documents), []
    with ActivationWriter(folder) as writer, progress("sorting features", sorter.width, "features") as bar:
        for group in sorter.groups():
            writer.write(group, documents, length)
            for own, (begin, end) in enumerate(zip(group.offsets[:-1], group.offsets[1:], strict=True)):
                part = slice(begin, end)
                summaries.append(summarise(group.first + own, group.tokens[part], group.values[part], length, options))
            bar.advance(len(group.offsets) - 1)
    return summaries


def _index(
    dictionary: Dictionary,
    name: str | None,
    model: "Readable",
    text: str | None,
    length: int,
    seen: _Seen,
    activations: int,
    options: BuildOptions,
) -> Index:
    return Index(
        dictionary={
            "name": name or dictionary.metadata.get("name") or "dictionary",
            "spec": to_dict(dictionary.spec),
            "activation": dictionary.activation.name,
            "options": dictionary.activation.options(),
            "metadata": dictionary.metadata,
        },
        model=model.name,
        text=text,
        context=length,
        contexts=seen.contexts,
        counted=seen.counted,
        activations=activations,
        width=dictionary.spec.width,
        bins=options.examples.bins,
        intervals=options.examples.intervals,
        cofiring_tokens=len(seen.sample),
    )
