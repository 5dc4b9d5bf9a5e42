"""The state of a run of several ranks in one folder, from which any number of ranks can go on.

The tensors are written and read by `torch.distributed.checkpoint`, as safetensors: each rank writes a part, and reads
the parts that it needs, whoever wrote them. `state.json` says how everything lies in each other, for each rank that
wrote.
"""

import json
import shutil
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from monosema.errors import InputError
from monosema.files import write_json
from monosema.ranks import ALONE, Group, Ranks
from monosema.training.state_file import FORMAT, Leaf, Snapshot, Tree, check_format, unpack

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

TREES = "state.json"


class SharedSnapshot(Snapshot):
    """The same of one rank of several; all write into one folder.

    Args:
        state: as above; what is not `Own` is alike on all ranks that have it.
        world: all ranks of the run.
        ranks: those that share this rank's dictionaries.
        writers: all ranks of the run, talking about nothing else.
    """

    suffix = ""

    def __init__(self, state: Any, world: Group, ranks: Ranks, writers: "ProcessGroup"):
        super().__init__(state, world.rank)
        self._world, self._ranks, self._writers = world, ranks, writers

    def write(self, path: Path) -> None:
        """Writes it, atomically, together with all other ranks."""
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
        from torch.distributed.checkpoint.state_dict_saver import save

        trees: list[Tree] | None = [None] * self._world.size if self._world.rank == 0 else None
        torch.distributed.gather_object(self.tree, trees, group=self._writers)
        temporary = path.with_name(f".{path.name}.tmp")
        if trees is not None:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        torch.distributed.barrier(self._writers)
        writer = HuggingFaceStorageWriter(str(temporary), save_distributed=True)
        save(self._distributed(), storage_writer=writer, process_group=self._writers)
        if trees is not None:
            write_json(temporary / TREES, {"format": FORMAT, "ranks": self._world.size, "trees": trees})
            temporary.rename(path)
        torch.distributed.barrier(self._writers)

    def _distributed(self) -> dict[str, Any]:
        return {
            name: _in_parts(tensor, self.divided[name], self._ranks) if name in self.divided else tensor
            for name, tensor in self.tensors.items()
        }


def read_shared_state(
    path: Path, world: Group, ranks: Ranks = ALONE, share: Callable[[Collection[str]], Collection[str]] | None = None
) -> Any:
    """What such a snapshot was taken of, for this rank of as many as there are now.

    What each rank had for itself is None where there are not as many as there were.

    Args:
        path: the folder.
        world: all ranks.
        ranks: those that share this rank's dictionaries.
        share: of the names of all dictionaries, under `learners`, those that this rank wants; by default all.

    Raises:
        InputError: something is missing or damaged, or of another format.
    """
    from safetensors import SafetensorError
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    try:
        described = json.loads((path / TREES).read_text(encoding="utf-8"))
        check_format(described.get("format"), path)
        same = described["ranks"] == world.size
        reader = HuggingFaceStorageReader(str(path))
        wanted = _Wanted(reader.read_metadata().state_dict_metadata, ranks)
        tree = _merged(described["trees"], world.rank if same else 0)
        if share is not None:
            tree = _with_learners(tree, share)
        state = unpack(tree, wanted.room_for, own=same)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that one process loads alone, which is meant
            load(wanted.tensors, storage_reader=reader, no_dist=True)
        return state
    except (SafetensorError, CheckpointException, OSError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged ({error})", expected="the whole state of a run") from None


class _Wanted:
    """The tensors that one rank wants of a folder: empty, until `load` fills them.

    Args:
        known: what the folder says of its tensors, by name.
        ranks: those that share this rank's dictionaries.
    """

    def __init__(self, known: Mapping[str, Any], ranks: Ranks):
        self.tensors: dict[str, Tensor] = {}
        """As `load` takes them: a tensor of which a rank wants a part alone says so."""
        self._known, self._ranks = known, ranks

    def room_for(self, leaf: Leaf) -> Tensor:
        """Where this rank's part of a tensor will be."""
        found = self._known[leaf.name]
        size, dtype = list(found.size), found.properties.dtype
        if leaf.divided is None or self._ranks.features.size == 1:
            return self.tensors.setdefault(leaf.name, torch.empty(size, dtype=dtype))
        size[leaf.divided] //= self._ranks.features.size
        own = torch.empty(size, dtype=dtype)
        self.tensors[leaf.name] = _in_parts(own, leaf.divided, self._ranks)
        return own


def _in_parts(tensor: Tensor, dim: int, ranks: Ranks) -> Tensor:
    """A tensor of which this is one rank's part; `ranks` may have it whole."""
    from torch.distributed.tensor import DTensor, Replicate, Shard

    if ranks.mesh is None:
        return tensor
    return DTensor.from_local(tensor, ranks.mesh, [Replicate(), Shard(dim)], run_check=False)


def _merged(trees: list[Tree], rank: int) -> Tree:
    """One rank's tree, with what the others have besides: the dictionaries that they train."""
    merged = trees[rank]
    for tree in trees:
        merged = _with_others(merged, tree)
    return merged


def _with_learners(tree: Tree, share: Callable[[Collection[str]], Collection[str]]) -> Tree:
    state = dict(tree["dict"])
    learners = dict(state["learners"]["dict"])
    state["learners"] = {"dict": [[name, learners[name]] for name in share(list(learners))]}
    return {"dict": [[key, node] for key, node in state.items()]}


def _with_others(tree: Tree, other: Tree) -> Tree:
    if "dict" not in tree or "dict" not in other:
        return tree
    mine, theirs = dict(tree["dict"]), dict(other["dict"])
    joined = {key: _with_others(mine[key], theirs[key]) if key in theirs else mine[key] for key in mine}
    return {"dict": [[key, node] for key, node in (joined | {k: theirs[k] for k in theirs if k not in mine}).items()]}
