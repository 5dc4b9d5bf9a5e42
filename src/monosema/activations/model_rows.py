"""What a model makes of contexts: rows of activations, and which of them are kept."""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.activations.contexts import Position
from monosema.activations.filters import Keep, from_position, norm_limit, not_special, within_norm
from monosema.device import read_figures
from monosema.errors import InputError
from monosema.models import read

if TYPE_CHECKING:
    from monosema.models import Readable


class ModelRows:
    """A model's activations at some hook points, all from one pass, no deeper than the last of them.

    Args:
        model: what reads.
        points: hook points, by any of their names; rows are keyed by the names given.
        keep: which tokens' activations are left out.

    Raises:
        InputError: a hook point that is unknown, or none.
    """

    def __init__(self, model: "Readable", points: Sequence[str], keep: Keep):
        if isinstance(points, str) or not points:
            raise InputError(f"hook points {points!r}", expected="a list with at least one name")
        self.model, self.keep = model, keep
        self.points = list(dict.fromkeys(points))
        self.norm_limits: dict[str, float] = {}
        """The largest norm that is kept at each hook point; known once contexts were read."""
        self.one_token = read(model, torch.zeros(1, 1, dtype=torch.long), self.points)
        """Activations of the width, the type and the place that all have."""

    @property
    def knows_its_limits(self) -> bool:
        """Whether nothing is left to be decided by the first contexts."""
        return self.keep.max_norm is None or bool(self.norm_limits)

    @property
    def widths(self) -> dict[str, int]:
        """Hook point → d."""
        return {point: x.shape[-1] for point, x in self.one_token.items()}

    def of(
        self, ids: Int[Tensor, "batch position"], begins: Sequence[Position], number: int
    ) -> tuple[dict[str, Float[Tensor, "rows d"]], Bool[Tensor, "rows"]]:
        """The activations of all tokens, context after context, in the model's type, and which of them are kept.

        Args:
            ids: contexts.
            begins: where in the text each begins, for errors.
            number: how many contexts of the text came before.

        Raises:
            InputError: a token that would be kept has activations that are NaN or infinite.
        """
        rows = {point: x.flatten(0, 1) for point, x in read(self.model, ids, self.points).items()}
        kept = from_position(ids, self.keep.first_position)
        if not self.keep.special_tokens:
            kept = kept & not_special(ids, self.model.special_ids)
        kept = kept.flatten().to(self.model.device)
        for (point, x), total in zip(rows.items(), read_figures([x.sum() for x in rows.values()]), strict=True):
            if not isfinite(total):  # which the sum of finite numbers may be, too: this only tells where to look
                _refuse_broken(point, x, kept, ids, begins, number)
        if self.keep.max_norm is not None and kept.any():
            norms = {point: torch.linalg.vector_norm(x.float(), dim=1) for point, x in rows.items()}
            if not self.norm_limits:  # the median of the first pass is good enough for all
                self.norm_limits = {p: norm_limit(norms[p][kept], self.keep.max_norm) for p in self.points}
            for point in self.points:
                kept = kept & within_norm(norms[point], self.norm_limits[point])
        return rows, kept


def only(kept: Bool[Tensor, "rows"], rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rows that are kept."""
    if kept.all():
        return rows
    index = kept.nonzero()[:, 0]  # index_select is several times faster than a mask
    return {point: x.index_select(0, index) for point, x in rows.items()}


def _refuse_broken(point: str, x: Tensor, kept: Tensor, ids: Tensor, begins: Sequence[Position], number: int) -> None:
    broken = (kept & ~x.isfinite().all(dim=1)).nonzero()
    if not len(broken):
        return  # finite values whose sum is not, or values that are left out
    context, position = divmod(int(broken[0]), ids.shape[1])
    raise InputError(
        f"NaN or infinite activations at {point!r}: position {position} (token {int(ids[context, position])}) of "
        f"context {number + context}, which begins at {begins[context]} of the text",
        expected="finite activations",
        hint="load the model in a wider type (dtype='float32' or 'bfloat16') and see if its weights are finite",
    )
