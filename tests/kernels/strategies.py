"""Matrices on which selecting the largest, or summing entries, could go wrong, and how far rounding may go."""

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

quick = settings(deadline=None, max_examples=60)
Entries = tuple[Tensor, Tensor, Tensor, Tensor]
KINDS = ("normal", "ties", "zeros", "negative", "one negative row")


@st.composite
def preactivations(
    draw: st.DrawFn, dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.bfloat16), widest: int = 9
) -> Tensor:
    """`[batch, width]`, from one by one up, of any kind and precision."""
    batch, width = draw(st.integers(1, 5)), draw(st.integers(1, widest))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    kind = draw(st.sampled_from(KINDS))
    pre = torch.randn(batch, width, generator=generator)
    if kind == "ties":
        pre = torch.randint(-2, 3, (batch, width), generator=generator).float()
    elif kind == "zeros":
        pre = torch.zeros(batch, width)
    elif kind == "negative":
        pre = -pre.abs()
    elif kind == "one negative row":
        pre[0] = -pre[0].abs()
    return pre.to(draw(st.sampled_from(dtypes)))


@st.composite
def preactivations_and_k(draw: st.DrawFn, widest: int = 9) -> tuple[Tensor, int]:
    """Pre-activations with a `k` from 1 to the width."""
    pre = draw(preactivations(widest=widest))
    return pre, draw(st.one_of(st.just(pre.shape[1]), st.integers(1, pre.shape[1])))


@st.composite
def entries(draw: st.DrawFn) -> Entries:
    """Offsets, columns and values of a random matrix, whose rows may be empty or full; and the matrix."""
    rows, width = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    mask = torch.rand(rows, width, generator=generator) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    if draw(st.booleans()):
        mask[draw(st.integers(0, rows - 1))] = True
    dense = torch.randn(rows, width, generator=generator) * mask
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), mask.sum(1).cumsum(0)])
    return offsets, mask.nonzero()[:, 1], dense[mask], dense


def normal_like(x: Tensor, *shape: int, seed: int = 0) -> Tensor:
    """Seeded normal numbers of the precision of `x`."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(x.dtype)


def assert_product_close(given: Tensor, a: Tensor, b: Tensor) -> None:
    """`given` is `a @ b` in float64, but for the rounding of a sum of so many products in its own precision."""
    a, b = a.double(), b.double()
    bound = (a.shape[1] + 2) * torch.finfo(given.dtype).eps * (a.abs() @ b.abs())
    assert ((given.double() - a @ b).abs() <= bound).all()
