"""Writing a store: a model reads text, and its activations go into shards."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from monosema.activations.contexts import Contexts, next_contexts
from monosema.activations.filters import Keep
from monosema.activations.mixing import MixedContexts
from monosema.activations.model_rows import ModelRows, only
from monosema.activations.store.index import Index, Shard, read_index, write_index
from monosema.activations.store.place import Place
from monosema.activations.store.shard import CONTEXTS, POSITIONS, TOKENS, problem_of, stored, write_shard
from monosema.activations.stream import check_contexts
from monosema.config import differences
from monosema.device import keep_freed_memory
from monosema.errors import InputError
from monosema.progress import progress
from monosema.ranks import Group

if TYPE_CHECKING:
    from monosema.models import Readable


class Harvester:
    """Writes the shards of a store, each of which depends on its place in the text alone.

    So a store that was killed goes on behind its last shard and ends with the same bytes, one shard can be made again
    by itself, and several processes can take turns: each passes over the text of the others' shards.

    Args:
        model: what reads.
        contexts: what it reads; a text that is not repeated.
        place: where the store is.
        index: what it is to be: a new one, or that of a store which is there.
        keep: which tokens' activations are left out.
        world: all processes that write the store.

    Raises:
        InputError: contexts that the model cannot read, a hook point that is unknown or none.
    """

    def __init__(
        self,
        model: "Readable",
        contexts: Contexts | MixedContexts,
        place: Place,
        index: Index,
        keep: Keep,
        world: Group = Group(),  # noqa: B008  it is frozen
    ):
        check_contexts(model, contexts.length, index.context_batch, keep)
        keep_freed_memory()
        self.contexts, self.place, self.index, self.world = contexts, place, index, world
        self._reader = ModelRows(model, list(index.points), keep)
        self._reader.norm_limits = dict(index.norm_limits)

    def finish(self) -> Index:
        """Writes the shards that are missing at the end.

        Raises:
            OSError: a shard could not be written: the disk is full, or the folder is gone. What is there stays whole.
        """
        if self.index.next is not None:
            self.contexts.load_state_dict(self.index.next)
        length, done = self.contexts.length, _contexts_of(self.index.shards)
        with progress("harvesting", self.index.contexts * length, "tokens") as bar:
            bar.advance(done * length)
            while not self.index.finished:
                shards = self._round()
                bar.advance(_contexts_of(shards) * length)
                self.index = replace(
                    self.index,
                    shards=(*self.index.shards, *shards),
                    next=self.contexts.state_dict(),
                    norm_limits=self._reader.norm_limits,
                    finished=self._ends_with(shards),
                )
                if self.world.rank == 0:
                    write_index(self.place, self.index)
        return self.index

    def _round(self) -> list[Shard]:
        """The next shards, one of each process, which all learn of; fewer where the text or the store ends."""
        number, done = len(self.index.shards), _contexts_of(self.index.shards)
        together = self.world.size if self._reader.knows_its_limits else 1  # which the first shard decides
        own = None
        for turn in range(together):
            wanted = min(self.index.shard_contexts, self.index.contexts - done)
            if turn == self.world.rank:
                own = self._write(number + turn, done)
            else:
                next_contexts(self.contexts, wanted)
            done += wanted
        everybody = self.world.everybody((own, self._reader.norm_limits))
        self._reader.norm_limits = everybody[0][1] or self._reader.norm_limits
        return [shard for shard, _ in everybody if shard is not None]

    def _ends_with(self, shards: Sequence[Shard]) -> bool:
        """Whether these shards, the newest, are the last: the store has all that it was to have, or the text ended."""
        done = _contexts_of(self.index.shards) + _contexts_of(shards)
        return done >= self.index.contexts or done % self.index.shard_contexts > 0 or not shards

    def repair(self) -> list[str]:
        """Writes the shards again that are missing or damaged, and returns their names.

        Raises:
            InputError: a shard comes out otherwise than it was: the model or the text has changed.
        """
        mine = [*enumerate(self.index.shards)][self.world.rank :: self.world.size]
        broken = [(number, shard) for number, shard in mine if problem_of(self.place, shard)]
        done = [0]
        for shard in self.index.shards:
            done.append(done[-1] + shard.contexts)
        for number, shard in broken:
            self.contexts.load_state_dict(shard.begin)
            again = self._write(number, done[number])
            if again != shard:
                raise InputError(
                    f"shard {shard.name} comes out otherwise than it was",
                    expected="the model and the text that the store was made from",
                    hint="harvest into a new folder",
                )
        return sorted(name for names in self.world.everybody([shard.name for _, shard in broken]) for name in names)

    def _write(self, number: int, done: int) -> Shard | None:
        """Reads and writes one shard; None if the text has ended."""
        begin, name = self.contexts.state_dict(), f"shard-{number:06}.safetensors"
        passes = list(self._passes(done, min(self.index.shard_contexts, self.index.contexts - done)))
        if not passes:
            return None
        counts, parts = zip(*passes, strict=True)
        tensors = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        size, checksum = write_shard(self.place, name, tensors)
        return Shard(name, len(tensors[TOKENS]), sum(counts), size, checksum, begin)

    def _passes(self, done: int, wanted: int) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """How many contexts a pass of the model has read, and what it made of them, as it is stored."""
        while wanted:
            begins, taken = next_contexts(self.contexts, min(self.index.context_batch, wanted))
            if not taken:
                return
            ids = torch.stack(taken)
            rows, kept = self._reader.of(ids, begins, done)
            activations = {point: x.cpu() for point, x in only(kept, rows).items()}
            yield len(taken), stored(activations, self.index.dtype) | _labels(ids, kept, done)
            done, wanted = done + len(taken), wanted - len(taken)


def _contexts_of(shards: Sequence[Shard]) -> int:
    return sum(shard.contexts for shard in shards)


def _labels(ids: Tensor, kept: Tensor, done: int) -> dict[str, Tensor]:
    count, length = ids.shape
    numbers = torch.arange(done, done + count, dtype=torch.int32).repeat_interleave(length)
    positions = torch.arange(length, dtype=torch.int32).repeat(count)
    return {TOKENS: ids.flatten().int()[kept], CONTEXTS: numbers[kept], POSITIONS: positions[kept]}


def new_store(place: Place, index: Index) -> Index:
    """Begins a store.

    Raises:
        InputError: something is there already.
    """
    if not place.is_empty():
        raise InputError(
            f"{place} already holds something",
            expected="a new or empty folder",
            hint="--resume goes on with a store that is there",
        )
    write_index(place, index)
    return index


def old_store(place: Place, index: Index) -> Index:
    """The store that is there, which must be one that `index` describes.

    Raises:
        InputError: there is none, it is damaged, or it was begun otherwise.
    """
    place.remove_unfinished()
    there = read_index(place)
    _check_same(there.made_from, index.made_from)
    _check_same(_frame(there), _frame(index))
    return there


def _frame(index: Index) -> dict[str, Any]:
    names = ("points", "dtype", "context", "contexts", "shard_contexts", "context_batch")
    return {name: getattr(index, name) for name in names}


def _check_same(there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    for key, new, old in differences(asked, there):
        raise InputError(
            f"{key} = {new} for a store that is there",
            expected=f"{old}, as it was begun with",
            hint="leave it as it was, or harvest into a new folder",
        )
