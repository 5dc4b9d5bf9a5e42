"""The processes of one run: where each stands, and what they tell each other beside the training itself."""

import itertools
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from monosema.device import pick_device
from monosema.errors import InputError
from monosema.ranks import ALONE, Group, LostContact, Ranks
from monosema.runs.parallel import Parallel

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

T = TypeVar("T")
LONGEST_WAIT = timedelta(hours=12)
"""For each other, where one measures or writes while the rest has nothing to do. Whoever dies is noticed at once."""
MESH = ("data", "spread", "feature")
_MEETINGS = itertools.count()  # of this process; all of them have met as often


@dataclass(frozen=True)
class Processes:
    """All processes of a run, as one of them sees them; without arguments, the only one."""

    world: Group = Group()  # noqa: RUF009  it is frozen
    """Everybody."""
    ranks: Ranks = ALONE
    """Those that train the same dictionaries."""
    readers: Group = Group()  # noqa: RUF009
    """Those that learn from the same rows; each reads a part of them."""
    others: Group = Group()  # noqa: RUF009
    """Those with other dictionaries, and else the same."""
    writers: "ProcessGroup | None" = None
    """Everybody, on a line of its own, for what goes on beside the training."""

    @property
    def first(self) -> bool:
        """Whether this process writes, shows and measures for all."""
        return self.world.rank == 0

    @property
    def leads(self) -> bool:
        """Whether this process speaks for those that train the same dictionaries."""
        return self.ranks.all.rank == 0

    def wait(self) -> None:
        """Until everybody is here."""
        if self.world.size > 1:
            dist.barrier(self.writers)

    def share(self, names: Collection[str]) -> set[str]:
        """The dictionaries, of all that there are, which this process trains."""
        return set(sorted(names)[self.others.rank :: self.others.size])

    def any(self, here: bool) -> bool:
        """Whether it is so for anybody."""
        return here if self.world.size == 1 else self.world.total(int(here)) > 0

    def collect(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """What everybody has found, by name, for the first process; for others nothing."""
        if self.world.size == 1:
            return dict(found)
        everything: list[Any] | None = [None] * self.world.size if self.first else None
        dist.gather_object(dict(found), everything, group=self.writers)
        return {name: value for part in everything or () for name, value in part.items()}

    def told(self, what: T | None) -> T:
        """What the first process says."""
        said = [what if self.first else None]
        if self.world.size > 1:
            dist.broadcast_object_list(said, group=self.writers)
        assert said[0] is not None
        return said[0]

    def first_does(self, work: Callable[[], T]) -> T:
        """What comes of work that the first process does for all; all refuse what it refuses."""
        done: T | InputError | None = None
        if self.first:
            try:
                done = work()
            except InputError as error:
                done = error
        outcome = self.told(done)
        if isinstance(outcome, InputError):
            raise outcome
        return outcome


ONLY = Processes()
"""One process that does everything."""


@contextmanager
def join(parallel: Parallel, device: str, batch_size: int | None = None) -> Iterator[Processes]:
    """Takes this process's place among those that `torchrun` has started, if it has.

    Raises:
        InputError: there are not as many as the configuration needs, or they cannot divide the batch.
        LostContact: another one ended before this.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    ours = not (dist.is_available() and dist.is_initialized())  # else who calls has made the group, and ends it
    size = size if ours else dist.get_world_size()
    _check(parallel, size, batch_size)
    if size == 1:
        yield ONLY
        return
    kind = pick_device(device).type
    if ours:
        _begin(kind)
    try:
        processes = _placed(parallel, size, kind)
        yield processes
        # Gloo's threads still hold the last tensors, and need Python to let go of them: it must not end before.
        processes.wait()
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise LostContact(_lost(error)) from None
        raise
    finally:
        if ours:
            dist.destroy_process_group()


def speaks() -> bool:
    """Whether this process shows what goes on: the first of those that `torchrun` has started."""
    return os.environ.get("RANK", "0") == "0"


def _begin(kind: str) -> None:
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    if kind == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo"
    store, rank, size = next(rendezvous("env://", timeout=LONGEST_WAIT))
    # After a restart, or an earlier run of the same processes, the store still holds the addresses of those before:
    # these meet elsewhere in it.
    attempt = f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}, meeting {next(_MEETINGS)}"
    place = PrefixStore(attempt, store)
    dist.init_process_group(backend, store=place, rank=rank, world_size=size, timeout=LONGEST_WAIT)


def _placed(parallel: Parallel, size: int, kind: str) -> Processes:
    from torch.distributed.device_mesh import init_device_mesh

    shape = (size // (parallel.feature * parallel.spread), parallel.spread, parallel.feature)
    mesh = init_device_mesh(kind, shape, mesh_dim_names=MESH)
    # Checkpoints lie on the CPU, whatever device trains.
    states = mesh if kind == "cpu" else init_device_mesh("cpu", shape, mesh_dim_names=MESH)
    writers = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
    assert isinstance(writers, dist.ProcessGroup)
    return Processes(
        world=Group.of(),
        ranks=Ranks.of(mesh["data", "feature"], states["data", "feature"]),
        readers=Group.of(mesh["spread", "feature"]._flatten("readers").get_group()),
        others=Group.of(mesh["spread"].get_group()),
        writers=writers,
    )


def _check(parallel: Parallel, size: int, batch_size: int | None) -> None:
    together = parallel.feature * parallel.spread
    if size % together:
        raise InputError(
            f"parallel.feature = {parallel.feature} and parallel.spread = {parallel.spread} with {size} processes",
            expected=f"a multiple of {together} processes",
            hint=f"torchrun --nproc-per-node {together} -m monosema train ...",
        )
    if batch_size is not None and batch_size % size:
        raise InputError(f"batch_size {batch_size} for {size} processes", expected=f"a multiple of {size}")


def _lost(error: RuntimeError) -> str:
    rank = dist.get_rank() if dist.is_initialized() else os.environ.get("RANK", "?")
    cause = str(error).splitlines()[0]
    return f"process {rank} has lost contact with another one, which must have ended before ({cause})"
