"""The scale and the centre of activations."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.errors import InputError


def rms_norm(x: Float[Tensor, "rows d"]) -> float:
    """The root of the mean squared norm of the rows, √(1/n Σᵢ ‖xᵢ‖²), accumulated in float64.

    Raises:
        InputError: there are no rows, all are zero, or some are not finite.
    """
    norm = torch.linalg.vector_norm(x.detach(), dtype=torch.float64).item() / math.sqrt(max(len(x), 1))
    if not math.isfinite(norm) or norm == 0:
        kind = "no activations" if not len(x) else "only zeros" if norm == 0 else "NaN or infinity in the activations"
        raise InputError(
            f"{kind} to take the scale of, in a sample of shape {list(x.shape)}",
            expected="finite activations that are not all zero",
            hint="is this the hook point that you meant?",
        )
    return norm


def geometric_median(
    x: Float[Tensor, "rows d"], *, tolerance: float = 1e-6, max_steps: int = 1000
) -> Float[Tensor, "d"]:
    """The point with the least sum of distances to the rows, by Weiszfeld's algorithm as Vardi and Zhang corrected it.

    Stops when a step is shorter than `tolerance` times the mean distance to the rows, or after `max_steps`.

    Raises:
        InputError: there are no rows.

    Reference: Vardi and Zhang, "The multivariate L1-median and associated data depth", PNAS 2000, equation 2.6.
    """
    if not len(x):
        raise InputError("no rows to take the geometric median of", expected="at least one row")
    x = x.detach() if x.dtype == torch.float64 else x.detach().float()
    median = x.mean(dim=0)
    spread = _distances(x, median).mean()
    if spread == 0:
        return x[0].clone()
    for _ in range(max_steps):
        distances = _distances(x, median)
        here = distances <= torch.finfo(x.dtype).eps * spread
        weights = torch.where(here, 0, 1 / distances)
        others = weights @ x / weights.sum()
        # Rows at the iterate itself hold it there against the others' pull, by as much as their number.
        pull = weights.sum() * torch.linalg.vector_norm(others - median)
        held = (here.sum() / pull.clamp_min(torch.finfo(x.dtype).tiny)).clamp_max(1)
        step = (1 - held) * (others - median)
        median = median + step
        if torch.linalg.vector_norm(step) <= tolerance * distances.mean():
            break
    return median


def _distances(x: Float[Tensor, "rows d"], point: Float[Tensor, "d"]) -> Float[Tensor, "rows"]:
    return torch.cdist(x, point[None], compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
