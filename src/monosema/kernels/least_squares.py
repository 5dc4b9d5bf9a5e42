"""Least squares, with no coefficient below zero, on few directions a row: many small problems at once."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

SWEEPS = 5
"""Most sweeps over the coefficients."""
TOLERANCE = 1e-3
"""A sweep that changes no coefficient by more than this share of its row's largest is the last."""
ROUNDS = 300
"""Most rounds of the exact solution: each adds a coefficient or takes some away, and most rows need few."""


@torch.no_grad()
def solve_(
    gram: Float[Tensor, "rows k k"],
    dots: Float[Tensor, "rows k"],
    codes: Float[Tensor, "rows k"],
    *,
    signed: bool = False,
) -> None:
    """Makes codes those c ≥ 0 that minimise ‖x − c D‖² in each row, in place, given D Dᵀ and x Dᵀ.

    The active-set method of Lawson and Hanson (1974, chapter 23) on all rows at once, from where coordinate descent has
    got to: least squares on the positive codes; if that would make some negative, as far towards it as none gets there;
    else the code at zero that would lower the error most becomes positive; until there is none.

    Args:
        gram, dots, codes, signed: as for `descend_`.
    """
    if not codes.numel():
        return
    descend_(gram, dots, codes, signed=signed)
    rest = torch.arange(len(codes), device=codes.device)
    for _ in range(ROUNDS):
        if not len(rest):
            return
        own, own_dots, own_codes = gram[rest], dots[rest], codes[rest]
        done = _round_(own, own_dots, own_codes, signed)
        codes[rest] = own_codes
        rest = rest[~done]


def _round_(
    gram: Float[Tensor, "rows k k"], dots: Float[Tensor, "rows k"], codes: Float[Tensor, "rows k"], signed: bool
) -> Bool[Tensor, " rows"]:
    """One round of `solve_`, in place; which rows need no other."""
    squares = gram.diagonal(dim1=1, dim2=2)
    free = squares > 0 if signed else codes > 0
    wanted = _least_squares(gram, dots, free)
    falling = free & (wanted < 0) & (not signed)
    share = torch.where(falling, codes / (codes - wanted), 1).amin(1, keepdim=True)
    hit = falling & (codes <= share * (codes - wanted))
    codes.add_(torch.where(free, share * (wanted - codes), 0)).masked_fill_(hit, 0)
    if signed:
        return torch.ones(len(codes), dtype=torch.bool, device=codes.device)
    slope = dots - torch.bmm(gram, codes.unsqueeze(2)).squeeze(2)
    slope = torch.where((codes > 0) | (squares == 0), 0, slope)
    best, place = slope.max(1, keepdim=True)
    whole = share == 1
    rises = whole & (best > 1e3 * torch.finfo(codes.dtype).eps * dots.abs().amax(1, keepdim=True))
    rise = torch.where(rises, best / squares.gather(1, place).clamp_min(torch.finfo(codes.dtype).tiny), 0)
    codes.scatter_add_(1, place, rise)
    return (whole & ~rises).squeeze(1)


def _least_squares(
    gram: Float[Tensor, "rows k k"], dots: Float[Tensor, "rows k"], free: Bool[Tensor, "rows k"]
) -> Float[Tensor, "rows k"]:
    """The codes, of any sign, that explain most with the free directions alone; zero elsewhere.

    A ridge of a few roundings lets directions depend on one another.
    """
    ridge = 100 * torch.finfo(gram.dtype).eps * gram.diagonal(dim1=1, dim2=2)
    own = gram * (free.unsqueeze(1) & free.unsqueeze(2)) + torch.diag_embed(torch.where(free, ridge, 1))
    factor = torch.linalg.cholesky(own)
    return torch.cholesky_solve((dots * free).unsqueeze(2), factor).squeeze(2)


@torch.no_grad()
def descend_(
    gram: Float[Tensor, "rows k k"],
    dots: Float[Tensor, "rows k"],
    codes: Float[Tensor, "rows k"],
    *,
    signed: bool = False,
    sweeps: int = SWEEPS,
    tolerance: float = TOLERANCE,
) -> None:
    """Brings codes closer to the c ≥ 0 that minimise ‖x − c D‖² in each row, in place, given D Dᵀ and x Dᵀ.

    Cyclic coordinate descent, the last coefficient first: each is set to its best value while the others stay, which
    never raises the error, and converges to the minimum.

    Args:
        gram: products of each row's directions with one another; a direction of length zero keeps its code.
        dots: products of each row's directions with what is explained.
        codes: where to start.
        signed: codes may be negative, too.
        sweeps: at most so many times through all coefficients.
        tolerance: when to stop before that.
    """
    squares = gram.diagonal(dim1=1, dim2=2)
    inverse = torch.where(squares > 0, 1 / squares, 0)
    for _ in range(sweeps):
        before = codes.clone()
        for j in reversed(range(codes.shape[1])):
            rise = (dots[:, j] - (gram[:, j] * codes).sum(1)) * inverse[:, j]
            codes[:, j] += rise if signed else torch.maximum(rise, -codes[:, j])
        if sweeps > 1 and bool(((codes - before).abs().amax(1) <= tolerance * codes.abs().amax(1)).all()):
            return


@torch.no_grad()
def gradient_step_(
    gram: Float[Tensor, "rows k k"],
    dots: Float[Tensor, "rows k"],
    codes: Float[Tensor, "rows k"],
    *,
    signed: bool = False,
) -> None:
    """One step down the gradient of ‖x − c D‖², as long as is best for the error, then cut off at zero; in place.

    The update of gradient pursuit (Blumensath and Davies 2008, Gradient Pursuits).
    """
    slope = dots - torch.bmm(gram, codes.unsqueeze(2)).squeeze(2)
    curve = (slope * torch.bmm(gram, slope.unsqueeze(2)).squeeze(2)).sum(1, keepdim=True)
    codes += torch.where(curve > 0, slope.square().sum(1, keepdim=True) / curve, 0) * slope
    if not signed:
        codes.clamp_(min=0)
