"""Sparse codes of vectors against directions that are given: pursuit, and least squares on a support that is given.

An encoder guesses codes in one product. Pursuit searches: it looks for the direction that has most in common with what
is left of the vector, fits the codes of all directions chosen so far, and looks at what is left then.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.device import has_fast_bf16
from monosema.errors import InputError
from monosema.kernels.codes import RaggedCodes
from monosema.kernels.least_squares import descend_, gradient_step_, solve_
from monosema.kernels.parts import product_in_parts
from monosema.kernels.search import largest_of_rows

Fit = Literal["least_squares", "gradient"]
PICKS = 4
"""Directions chosen for each product with all of them."""
CANDIDATES = 2
"""Times as many directions are looked at again, exactly, before each choice between two such products."""
BUFFER = 2**26
"""Numbers held at a time, about: the chosen directions of some rows and their products."""


@torch.no_grad()
def pursue(
    x: Float[Tensor, "batch d"],
    directions: Float[Tensor, "width d"],
    k: int | Int[Tensor, " batch"],
    *,
    fit: Fit = "least_squares",
    picks: int = PICKS,
    signed: bool = False,
) -> RaggedCodes:
    """Codes c ≥ 0 with at most `k` entries a row that bring c D close to x, by greedy choice.

    With `picks=1`, `fit="least_squares"` is orthogonal matching pursuit with codes that are not negative, but for the
    last digits of the fit, and `fit="gradient"` is gradient pursuit (Blumensath and Davies 2008; of dictionaries:
    inference-time optimisation in Smith et al. 2024, Progress Update #1). With more picks, a product with all
    directions finds twice as many candidates, from which that many are chosen one after the other, each by what the
    earlier ones have left. In the end all codes are the least squares of what
    was chosen.

    Directions are chosen by cosine, so that their lengths do not matter. Where the processor multiplies bfloat16 in
    hardware and x is float32, candidates are found by such products; what is chosen among them, and the codes, are in
    the precision of x.

    Args:
        x: what is to be explained.
        directions: rows of D; one of length zero is never chosen.
        k: most entries of every row, or of each.
        fit: how codes of all chosen directions are fitted after each choice: by least squares (to three digits with one
            pick; with more, by one sweep for each such product), or by one step down the gradient.
        picks: directions chosen for each product.
        signed: codes may be negative, too.

    Returns:
        Entries that are not zero. A row has fewer than `k` where no direction would bring it closer.

    Raises:
        InputError: sizes that do not fit, `k` above the number of directions, or an unknown fit.
    """
    limits = _checked(x, directions, k, fit, picks)
    norms = directions.norm(dim=1)
    units = directions / norms.clamp_min(torch.finfo(norms.dtype).tiny).unsqueeze(1)
    lowered = units.to(torch.bfloat16) if x.dtype == torch.float32 and has_fast_bf16(x.device) else units
    sweep = partial(descend_, sweeps=1) if picks > 1 else descend_
    update = {"least_squares": sweep, "gradient": gradient_step_}[fit]
    found, order = [], limits.argsort()
    for rows in _chunks(limits[order], x.shape[1], CANDIDATES * picks):
        most = limits[order[rows]]
        chosen = _Chosen(x[order[rows]], units, int(most.max()), CANDIDATES * picks, signed)
        for number in range(chosen.k):
            if number % picks == 0:
                chosen.offer(lowered)
            chosen.pick(most > number, begin=picks > 1)
            if (number + 1) % picks == 0:
                update(*chosen.problem(), signed=signed)
        solve_(*chosen.problem(), signed=signed)
        indices, _, codes = chosen.indices[:, : chosen.k], *chosen.problem()[1:]
        found.append((indices, codes / norms[indices]))
    return _joined(found, order, len(directions))


@torch.no_grad()
def refit(
    x: Float[Tensor, "batch d"], directions: Float[Tensor, "width d"], codes: RaggedCodes, *, signed: bool = False
) -> RaggedCodes:
    """The values c ≥ 0 that bring c D closest to x, where each row keeps to the directions that its codes have.

    What an encoder's codes are worth with their values
    made right tells whether it errs in which features it finds, or in how large it finds them (shrinkage).

    Returns:
        Entries that are not zero.

    Raises:
        InputError: sizes that do not fit.
    """
    counts = codes.offsets.diff()
    _checked(x, directions, counts, "least_squares", 1)
    if codes.width != len(directions) or len(counts) != len(x):
        raise InputError(
            f"codes of {len(counts)} rows and width {codes.width}",
            expected=f"{len(x)} rows and width {len(directions)}, as the vectors and directions have",
        )
    if not len(codes.columns):
        return codes
    found, order = [], counts.argsort()
    for rows in _chunks(counts[order], x.shape[1]):
        own, count = x[order[rows]], counts[order[rows]].unsqueeze(1)
        slot = torch.arange(int(count.max()), device=x.device)
        places = torch.where(slot < count, codes.offsets[order[rows]].unsqueeze(1) + slot, 0)
        indices = torch.where(slot < count, codes.columns[places], -1)
        atoms = directions[indices] * (slot < count).unsqueeze(2)
        fitted = codes.values[places].to(x.dtype) * (slot < count)
        solve_(torch.bmm(atoms, atoms.mT), _times(atoms, own), fitted, signed=signed)
        found.append((indices, fitted))
    return _joined(found, order, codes.width)


class _Chosen:
    """The directions chosen for some rows so far, with their products; behind them, candidates for the next choices."""

    def __init__(self, x: Float[Tensor, "rows d"], units: Float[Tensor, "width d"], k: int, more: int, signed: bool):
        rows, slots = len(x), k + more
        self.x, self.units, self.k, self.signed, self.count = x, units, k, signed, 0
        self.indices = torch.full((rows, slots), -1, device=x.device)
        self.atoms = x.new_zeros(rows, slots, x.shape[1])
        self.gram = x.new_zeros(rows, slots, slots)
        self.dots, self.codes = x.new_zeros(rows, slots), x.new_zeros(rows, slots)
        self.taken = torch.zeros(rows, slots, dtype=torch.bool, device=x.device)
        self.row = torch.arange(rows, device=x.device)
        self.rounding = 8 * torch.finfo(x.dtype).eps * x.norm(dim=1)

    def problem(self) -> tuple[Tensor, Tensor, Tensor]:
        """Gram matrix, products with x, and codes (to be changed in place) of what is chosen."""
        n = self.count
        return self.gram[:, :n, :n], self.dots[:, :n], self.codes[:, :n]

    def offer(self, lowered: Float[Tensor, "width d"]) -> None:
        """Puts the directions nearest to what is left behind those that are chosen, and multiplies them with all."""
        n, k = self.count, self.k
        left = self.x - torch.bmm(self.codes[:, None, :n], self.atoms[:, :n]).squeeze(1)
        most = min(self.indices.shape[1] - k, len(lowered))
        products = product_in_parts(left.to(lowered.dtype), lowered.mT)
        nearest = torch.cat([largest_of_rows(part.abs() if self.signed else part, most) for part in products])
        places = slice(k, k + most)
        self.indices[:, places] = nearest
        new = self.units.index_select(0, nearest.flatten()).view(*nearest.shape, -1)
        self.atoms[:, places] = new
        self.gram[:, places, :n] = torch.bmm(new, self.atoms[:, :n].mT)
        self.gram[:, places, places] = torch.bmm(new, new.mT)
        self.dots[:, places] = _times(new, self.x)
        self.taken[:, places] = (nearest.unsqueeze(2) == self.indices[:, None, :n]).any(2)

    def pick(self, wanted: Bool[Tensor, " rows"], begin: bool) -> None:
        """Chooses the candidate nearest to what is left of each row that is wanted, if it would bring it closer; its
        code begins as what it explains by itself, or at zero."""
        n, k = self.count, self.k
        near = self.dots[:, k:] - torch.bmm(self.gram[:, k:, :n], self.codes[:, :n].unsqueeze(2)).squeeze(2)
        near = torch.where(self.taken[:, k:], 0 if self.signed else -torch.inf, near)
        best, place = (near.abs() if self.signed else near).max(1)
        if begin:
            self.codes[:, n] = near.gather(1, place.unsqueeze(1)).squeeze(1)
        chosen, place = wanted & (best > self.rounding), place + k
        for of_slots in (self.indices, self.atoms, self.dots):
            of_slots[:, n] = of_slots[self.row, place]
        products = self.gram[self.row, place]
        products[:, n] = self.gram[self.row, place, place]
        self.gram[:, n] = products
        self.gram[:, :, n] = products
        self.taken[self.row, place] = True
        self._forget(~chosen)
        self.count += 1

    def _forget(self, rows: Bool[Tensor, " rows"]) -> None:
        """Leaves the newest place of some rows empty."""
        n = self.count
        self.indices[rows, n] = -1
        places = slice(n, n + 1)
        for emptied in (
            self.atoms[:, n],
            self.dots[:, places],
            self.codes[:, places],
            self.gram[:, n],
            self.gram[:, :, n],
        ):
            emptied[rows] = 0


def _times(atoms: Float[Tensor, "rows k d"], x: Float[Tensor, "rows d"]) -> Float[Tensor, "rows k"]:
    return torch.bmm(atoms, x.unsqueeze(2)).squeeze(2)


def _chunks(limits: Int[Tensor, " batch"], d: int, more: int = 0) -> Iterator[slice]:
    """Rows at a time, whose limits rise: as many as their directions and products fit into the buffer."""
    slots, start = limits + more, 0
    while start < len(limits):
        rows = torch.arange(1, len(limits) - start + 1, device=limits.device)
        fitting = int((rows * slots[start:] * (slots[start:] + d) <= BUFFER).sum())
        yield slice(start, start + max(fitting, 1))
        start += max(fitting, 1)


def _joined(found: Sequence[tuple[Tensor, Tensor]], order: Int[Tensor, " batch"], width: int) -> RaggedCodes:
    """Entries that are not zero of chunks of rows, in the rows' own order again."""
    counts = torch.cat([(values != 0).sum(1) for _, values in found])
    columns = torch.cat([indices[values != 0] for indices, values in found])
    kept = torch.cat([values[values != 0] for _, values in found])
    first, place = F.pad(counts.cumsum(0), (1, 0)), order.argsort()
    offsets = F.pad(counts[place].cumsum(0), (1, 0))
    shift = (first[place] - offsets[:-1]).repeat_interleave(counts[place])
    entries = torch.arange(len(columns), device=columns.device) + shift
    return RaggedCodes(offsets, columns[entries], kept[entries], width)


def _checked(
    x: Tensor, directions: Tensor, k: int | Int[Tensor, " batch"], fit: str, picks: int
) -> Int[Tensor, " batch"]:
    """The most entries of each row."""
    if x.ndim != 2 or directions.ndim != 2 or x.shape[1] != directions.shape[1] or not len(x):
        raise InputError(
            f"vectors of shape {list(x.shape)} and directions of shape {list(directions.shape)}",
            expected="[batch, d] and [width, d], and at least one vector",
        )
    if fit not in get_args(Fit) or picks < 1:
        raise InputError(f"fit {fit!r}, {picks} picks", expected=f"one of {', '.join(get_args(Fit))}, and at least 1")
    limits = torch.as_tensor(k, device=x.device).expand(len(x))
    if int(limits.min()) < 0 or int(limits.max()) > len(directions):
        raise InputError(f"k = {int(limits.max())}", expected=f"0 to {len(directions)}, as there are directions")
    return limits
