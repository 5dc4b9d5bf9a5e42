"""Processes that train a dictionary together: which rows of a batch, and which of its features, each of them has.

They form a grid. Along one side lie the rows of the batch, along the other the features; a process has one part of
each. The loss is one number that all of them compute: whatever it sums over rows or features is summed over the
processes that share them (`Group.sum`). Going backward, each then finds the derivative of that one loss by what it did
itself, and a parameter's gradient is the sum of those over the processes that have it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.device_mesh import DeviceMesh


@dataclass(frozen=True, eq=False)
class Group:
    """Processes that share something, as one of them sees them: itself, where there are no others."""

    handle: "ProcessGroup | None" = None
    rank: int = 0
    size: int = 1

    @classmethod
    def of(cls, handle: "ProcessGroup") -> "Group":
        """A group of `torch.distributed`."""
        return cls(handle, handle.rank(), handle.size())

    def __deepcopy__(self, memo: dict[int, Any]) -> "Group":
        return self

    def sum(self, x: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:
        """The sum of everybody's. Of a loss that all compute from it, each gets the derivative by its own part."""
        return x if self.size == 1 else _Sum.apply(x, self)

    def shared(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What all have alike and each uses for its own part: its gradient is the sum of everybody's."""
        return x if self.size == 1 else _Shared.apply(x, self)

    def total(self, count: int) -> int:
        """The sum of everybody's count."""
        return count if self.size == 1 else int(self.gather(torch.tensor([count])).sum())

    def min(self, x: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:
        """The least of everybody's; without a gradient."""
        return x if self.size == 1 else self.gather(x[None]).amin(0)

    def max(self, x: Num[Tensor, "*shape"]) -> Num[Tensor, "*shape"]:
        """The largest of everybody's; without a gradient."""
        return x if self.size == 1 else self.gather(x[None]).amax(0)

    def gather(self, x: Num[Tensor, "n *shape"], dim: int = 0) -> Num[Tensor, "all *shape"]:
        """Everybody's, one after the other along a dimension; all of one shape, and without a gradient."""
        if self.size == 1:
            return x
        # Where others talk through a GPU, a count that lies on the CPU has to go there.
        mine = x.detach().movedim(dim, 0).contiguous().to(self._device(x))
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        torch.distributed.all_gather(parts, mine, group=self.handle)
        return torch.cat(parts).to(x.device).movedim(0, dim)

    def part(self, x: Num[Tensor, "n *shape"], dim: int = 0) -> Num[Tensor, "own *shape"]:
        """The part of something that all have, cut into equal parts along a dimension, that is this process's."""
        return x if self.size == 1 else x.chunk(self.size, dim)[self.rank]

    def sum_(self, tensors: list[Tensor]) -> None:
        """Replaces each tensor by the sum of everybody's; without a gradient."""
        if self.size == 1:
            return
        begun = [torch.distributed.all_reduce(tensor, group=self.handle, async_op=True) for tensor in tensors]
        for work in begun:
            assert work is not None
            work.wait()

    def among_largest(self, values: Float[Tensor, "batch few"], k: int) -> Bool[Tensor, "batch few"]:
        """Which of these, each process's largest of a row, are among the row's `k` largest over all of them."""
        few = values.shape[1]
        if self.size == 1 or few * self.size <= k:
            return torch.ones_like(values, dtype=torch.bool)
        everybody = self.gather(values, dim=1)
        winners = everybody.topk(k, dim=1, sorted=False).indices
        won = torch.zeros_like(everybody, dtype=torch.bool).scatter_(1, winners, True)
        return won[:, self.rank * few : (self.rank + 1) * few]

    def _device(self, x: Tensor) -> torch.device:
        if torch.distributed.get_backend(self.handle) == "nccl" and x.device.type == "cpu":
            return torch.device("cuda", torch.cuda.current_device())
        return x.device


@dataclass(frozen=True, eq=False)
class Ranks:
    """A process's place in the grid of those that train one dictionary."""

    rows: Group = Group()
    """Those with other rows of the batch, and the same features."""
    features: Group = Group()
    """Those with other features, and the same rows."""
    all: Group = Group()
    """Everybody in the grid."""
    mesh: "DeviceMesh | None" = None
    """The grid, where there are several."""

    @classmethod
    def of(cls, mesh: "DeviceMesh") -> "Ranks":
        """The place in a mesh with the dimensions `data` and `feature`."""
        everybody = mesh["data", "feature"]._flatten("learner")
        groups = [Group.of(part.get_group()) for part in (mesh["data"], mesh["feature"], everybody)]
        return cls(groups[0], groups[1], groups[2], mesh)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Ranks":
        return self


ALONE = Ranks()
"""One process that has all rows and all features."""


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, group: Group) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32) if x.is_floating_point() else x.dtype
        total = x.detach().to(wide, copy=True, memory_format=torch.contiguous_format)
        group.sum_([total])
        return total

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        return *grad_outputs, None


class _Shared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor):
        (grad,) = grad_outputs
        total = grad.clone(memory_format=torch.contiguous_format)
        ctx.group.sum_([total])
        return total, None
