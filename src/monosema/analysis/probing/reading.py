"""What probes read: activations and codes of some tokens, or of documents, whose tokens are pooled."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.tokens import separator_of
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import read
from monosema.progress import Progress, progress

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from transformers import PreTrainedTokenizerBase

    from monosema.models import Readable

Pool = Literal["mean", "max"]
_PIECES, _DOCUMENTS = 16, 64  # texts that the model reads at once, and documents whose codes are in memory
_ENTRIES, _ROWS = 2**26, 4096  # pre-activations, and rows, at most, that are encoded at once


def token_places(tokenizer: "PreTrainedTokenizerBase", text: str) -> tuple[list[int], Int[np.ndarray, "tokens 2"]]:
    """A document's token ids, the separator before them, and the characters that each is of: first, and behind last.

    The separator is of none: its place is −1, −1.

    Raises:
        InputError: the tokenizer does not say where its tokens are (a "slow" one).
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__}, which does not say where in a text its tokens are",
            expected="a fast tokenizer (tokenizer.json)",
        )
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    separator: Any = separator_of(tokenizer)
    before = [] if separator is None else [separator]
    places = np.array([(-1, -1)] * len(before) + list(found["offset_mapping"]), dtype=np.int64).reshape(-1, 2)
    return [*before, *found["input_ids"]], places


def read_rows(
    model: "Readable", point: str, pieces: Sequence[Sequence[int]], keep: Sequence[Int[np.ndarray, " some"]]
) -> Float[Tensor, "rows d"]:
    """The activations at some positions of texts, in float32 on the CPU, text after text.

    Texts of one length are read together, none is padded, so that any model reads each as if it were alone.

    Args:
        model: what reads.
        point: a hook point.
        pieces: token ids of texts.
        keep: of each text, the positions that are wanted.

    Raises:
        InputError: there are none.
    """
    with progress("reading activations", sum(map(len, pieces)), "tokens") as bar:
        return _read(model, point, pieces, keep, bar)


def _read(
    model: "Readable",
    point: str,
    pieces: Sequence[Sequence[int]],
    keep: Sequence[Int[np.ndarray, " some"]],
    bar: Progress,
) -> Float[Tensor, "rows d"]:
    counts = [len(positions) for positions in keep]
    starts = np.concatenate([[0], np.cumsum(counts)])
    rows: Tensor | None = None
    for batch in _batches(pieces, [i for i, count in enumerate(counts) if count]):
        ids = torch.tensor([list(pieces[i]) for i in batch])
        x = read(model, ids, [point])[point].float().cpu()
        rows = x.new_zeros(int(starts[-1]), x.shape[-1]) if rows is None else rows
        for own, i in zip(x, batch, strict=True):
            rows[starts[i] : starts[i + 1]] = own[torch.from_numpy(keep[i])]
        bar.advance(ids.numel())
    if rows is None:
        raise InputError("no tokens", expected="at least one to read activations of")
    return rows


@torch.no_grad()
def encoded(dictionary: Dictionary, x: Float[Tensor, "n d_in"]) -> "csr_array":
    """Codes of activations, times the norm of what each feature writes, stored where they are not zero.

    So a feature's column is the size of its part of the reconstruction, in whatever units the dictionary has its codes.

    Args:
        dictionary: in evaluation mode.
        x: activations at what it reads.
    """
    from scipy.sparse import csr_array

    norms, counts, columns, values = dictionary.decoder_norms().float().cpu().numpy(), [], [], []
    for part in x.split(min(max(_ENTRIES // dictionary.spec.width, 1), _ROWS)):
        codes = dictionary.active_entries(part.to(dictionary.W_enc))
        counts.append(codes.offsets.diff().cpu().numpy())
        columns.append(codes.columns.cpu().numpy().astype(np.int32))
        values.append(codes.values.float().cpu().numpy() * norms[columns[-1]])
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return csr_array((np.concatenate(values), np.concatenate(columns), offsets), shape=(len(x), dictionary.spec.width))


def pooled(
    model: "Readable",
    point: str,
    texts: Sequence[Sequence[int]],
    keep: Sequence[Int[np.ndarray, " some"]],
    dictionaries: Sequence[Dictionary],
    pool: Pool = "mean",
) -> tuple[Float[np.ndarray, "texts d"], list["csr_array"]]:
    """One row for each text, of activations and of the codes of each dictionary: the mean or the largest over tokens.

    Only the tokens of a few texts are in memory at once.

    Args:
        model: what reads.
        point: what the dictionaries read.
        texts: token ids.
        keep: of each text the positions that count, at least one.
        dictionaries: in evaluation mode.
        pool: over tokens.
    """
    from scipy.sparse import csr_array, vstack

    x, codes = [], [[] for _ in dictionaries]
    with progress("reading documents", sum(map(len, texts)), "tokens") as bar:
        for first in range(0, len(texts), _DOCUMENTS):
            part = slice(first, first + _DOCUMENTS)
            rows, counts = _read(model, point, texts[part], keep[part], bar), [len(p) for p in keep[part]]
            x.append(np.stack([_pooled_dense(own, pool) for own in rows.split(counts)]))
            for found, dictionary in zip(codes, dictionaries, strict=True):
                found.append(_pooled_sparse(encoded(dictionary, rows), counts, pool))
    return np.concatenate(x), [csr_array(vstack(found)) for found in codes]


def _pooled_dense(rows: Float[Tensor, "tokens d"], pool: Pool) -> Float[np.ndarray, " d"]:
    return (rows.mean(0) if pool == "mean" else rows.amax(0)).numpy()


def _pooled_sparse(codes: "csr_array", counts: Sequence[int], pool: Pool) -> "csr_array":
    from scipy.sparse import csr_array, vstack

    ends = np.concatenate([[0], np.cumsum(counts)])
    if pool == "mean":
        weights = np.repeat(1 / np.asarray(counts, np.float32), counts)
        return csr_array(csr_array((weights, np.arange(ends[-1]), ends), shape=(len(counts), ends[-1])) @ codes)
    largest = [codes[a:b].max(axis=0).reshape(1, -1) for a, b in pairwise(ends)]
    return csr_array(vstack(largest))


def _batches(pieces: Sequence[Sequence[int]], wanted: Iterable[int]) -> Iterator[list[int]]:
    """Some of the pieces, by number, those of one length together."""
    ordered = sorted(wanted, key=lambda i: len(pieces[i]))
    for _, group in groupby(ordered, key=lambda i: len(pieces[i])):
        same = list(group)
        yield from (same[first : first + _PIECES] for first in range(0, len(same), _PIECES))
