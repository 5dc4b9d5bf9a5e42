"""Entries of codes that come token after token, and are given back feature after feature, in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from monosema.kernels import RaggedCodes
from monosema.kernels.entries import transposed

ENTRIES = 2**24
"""Entries that are held before they are sorted and written away: 12 bytes each, and three times that while sorting."""
AT_ONCE = 2**22
"""Entries that are given back at once, unless a single feature has more."""


class Group(NamedTuple):
    """The activations of some neighbouring features, feature after feature, those of each in the order of the text."""

    first: int
    """The first of the features."""
    offsets: np.ndarray
    """Where in the group each of them begins, and the end: `[features + 1]`."""
    tokens: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class _Run:
    """Entries that were sorted together, in files of their own."""

    tokens: Path
    values: Path
    offsets: np.ndarray

    def part(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """The tokens and the values of some features."""
        begin, end = int(self.offsets[first]), int(self.offsets[last])
        return tuple(  # pyright: ignore[reportReturnType]  two of them
            np.fromfile(path, kind, end - begin, offset=begin * np.dtype(kind).itemsize)
            for path, kind in ((self.tokens, np.int32), (self.values, np.float32))
        )


class Sorter:
    """Takes the codes of a text, token after token, and yields them by feature.

    Memory holds `entries` of them; the others lie sorted in `folder`, some at a time, and are merged in the end.

    Args:
        folder: for files that nobody needs afterwards.
        width: number of features.
        entries: how many are sorted at a time.
    """

    def __init__(self, folder: Path, width: int, entries: int = ENTRIES):
        self.folder, self.width, self.entries = folder, width, entries
        self._held: list[tuple[RaggedCodes, Tensor]] = []
        self._count = 0
        self._runs: list[_Run] = []

    def add(self, codes: RaggedCodes, tokens: Int[Tensor, " rows"]) -> None:
        """Adds the codes of some tokens, which come after those that were added before."""
        self._held.append((codes, tokens))
        self._count += len(codes.columns)
        if self._count >= self.entries:
            self._write()

    def counts(self) -> np.ndarray:
        """How many activations each feature has, `[width]`, once all were added."""
        self._write()
        return sum((np.diff(run.offsets) for run in self._runs), start=np.zeros(self.width, dtype=np.int64))

    def groups(self, at_once: int = AT_ONCE) -> Iterator[Group]:
        """All features in their order, some at a time."""
        ends = np.concatenate([[0], np.cumsum(self.counts())])
        first = 0
        while first < self.width:
            last = int(np.searchsorted(ends, ends[first] + at_once, side="right")) - 1
            last = min(max(last, first + 1), self.width)
            yield self._merged(first, last)
            first = last

    def _merged(self, first: int, last: int) -> Group:
        parts = [run.part(first, last) for run in self._runs]
        counts = [np.diff(run.offsets[first : last + 1]) for run in self._runs]
        offsets = np.concatenate([[0], np.cumsum(np.sum(counts, axis=0))]).astype(np.int64)
        tokens, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        if len(parts) > 1:
            features = np.concatenate([np.repeat(np.arange(last - first), count) for count in counts])
            order = np.argsort(features, kind="stable")
            tokens, values = tokens[order], values[order]
        return Group(first, offsets, tokens, values)

    def _write(self) -> None:
        if not self._held and self._runs:
            return
        codes, tokens = [codes for codes, _ in self._held], [tokens for _, tokens in self._held]
        ends = torch.cumsum(torch.tensor([0, *(len(part.columns) for part in codes)]), 0).tolist()
        offsets = [part.offsets[:-1].cpu() + end for part, end in zip(codes, ends[:-1], strict=True)]
        columns = [part.columns.cpu() for part in codes] or [torch.zeros(0, dtype=torch.long)]
        sorted_ = transposed(torch.cat([*offsets, torch.tensor([ends[-1]])]), torch.cat(columns), self.width)
        name = self.folder / f"run-{len(self._runs):04}"
        run = _Run(name.with_suffix(".tokens"), name.with_suffix(".values"), sorted_.offsets.numpy().astype(np.int64))
        numbers = torch.cat([*tokens, torch.zeros(0, dtype=torch.long)]).int().cpu()
        values = torch.cat([*(part.values.float().cpu() for part in codes), torch.zeros(0)])
        numbers.index_select(0, sorted_.rows).numpy().tofile(run.tokens)
        values.index_select(0, sorted_.order).numpy().tofile(run.values)
        self._runs.append(run)
        self._held, self._count = [], 0
