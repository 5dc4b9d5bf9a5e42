"""What a model makes of contexts: rows of activations, and which of them are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.activations.contexts import Position
from monosema.activations.filters import Keep, from_position, norm_limit, not_special, within_norm
from monosema.errors import InputError
from monosema.models import read
from monosema.streams import on_its_way, sent

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
            ids: contexts, on the CPU.
            begins: where in the text each begins, for errors.
            number: how many contexts of the text came before.

        Returns:
            The rows where the model is, and what is kept on the CPU.

        Raises:
            InputError: a token that would be kept has activations that are NaN or infinite.
        """
        return self.begin(ids, begins, number).end()

    def begin(self, ids: Int[Tensor, "batch position"], begins: Sequence[Position], number: int) -> "Pass":
        """Begins what `of` does. A GPU goes on with it by itself; what is wrong is found at the `end`."""
        rows = {point: x.flatten(0, 1) for point, x in read(self.model, ids, self.points).items()}
        wanted = from_position(ids, self.keep.first_position)
        if not self.keep.special_tokens:
            wanted = wanted & not_special(ids, self.model.special_ids)
        wanted = wanted.flatten()
        totals = torch.stack([x.sum().float() for x in rows.values()])
        kept = self._within_norm(rows, wanted) if self.keep.max_norm is not None and wanted.any() else wanted
        (kept, totals), made = on_its_way([kept, totals])
        return Pass(rows, ids, begins, number, wanted, kept, totals, made)

    def _within_norm(self, rows: dict[str, Tensor], wanted: Bool[Tensor, "rows"]) -> Bool[Tensor, "rows"]:
        norms = {point: torch.linalg.vector_norm(x.float(), dim=1) for point, x in rows.items()}
        kept = sent(wanted, self.model.device)
        if not self.norm_limits:  # the median of the first pass is good enough for all
            assert self.keep.max_norm is not None
            self.norm_limits = {p: norm_limit(norms[p][kept], self.keep.max_norm) for p in self.points}
        for point in self.points:
            kept = kept & within_norm(norms[point], self.norm_limits[point])
        return kept


@dataclass(frozen=True)
class Pass:
    """What a model makes of contexts; on a GPU it may be at it still."""

    rows: dict[str, Float[Tensor, "rows d"]]
    ids: Int[Tensor, "batch position"]
    begins: Sequence[Position]
    number: int
    """How many contexts of the text came before."""
    wanted: Bool[Tensor, "rows"]
    """Which rows would be kept by their tokens."""
    kept: Bool[Tensor, "rows"]
    """Which of these are within the norm, too."""
    totals: Float[Tensor, "points"]
    """The sum of each hook point's activations; not finite where one of them is not."""
    made: torch.cuda.Event | None
    """When `kept` and `totals` have come from a GPU."""

    def end(self) -> tuple[dict[str, Float[Tensor, "rows d"]], Bool[Tensor, "rows"]]:
        """Waits, and gives the rows and which of them are kept.

        Raises:
            InputError: a token that would be kept has activations that are NaN or infinite.
        """
        if self.made is not None:
            self.made.synchronize()
        if not self.totals.isfinite().all():  # which the sum of finite numbers may be, too: it tells when to look
            for point, x in self.rows.items():
                self._refuse_broken(point, x)
        return self.rows, self.kept

    def _refuse_broken(self, point: str, x: Float[Tensor, "rows d"]) -> None:
        broken = (self.wanted & ~x.isfinite().all(dim=1).cpu()).nonzero()
        if not len(broken):
            return  # finite values whose sum is not, or values that are left out
        context, position = divmod(int(broken[0]), self.ids.shape[1])
        raise InputError(
            f"NaN or infinite activations at {point!r}: position {position} (token "
            f"{int(self.ids[context, position])}) of context {self.number + context}, which begins at "
            f"{self.begins[context]} of the text",
            expected="finite activations",
            hint="load the model in a wider type (dtype='float32' or 'bfloat16') and see if its weights are finite",
        )


def only(kept: Bool[Tensor, "rows"], rows: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rows that are kept, where they are; which ones are said on the CPU."""
    if kept.all():
        return rows
    index = kept.nonzero()[:, 0]  # index_select is several times faster than a mask
    return {point: x.index_select(0, sent(index, x.device)) for point, x in rows.items()}
