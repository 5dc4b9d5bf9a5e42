"""A model that reads text as a source of activations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.activations.contexts import Contexts, Position
from monosema.activations.filters import Keep, from_position, norm_limit, not_special, within_norm
from monosema.activations.mixing import MixedContexts
from monosema.activations.shuffle import ShuffleBuffer
from monosema.device import keep_freed_memory
from monosema.errors import InputError
from monosema.models import read
from monosema.progress import progress

if TYPE_CHECKING:
    from monosema.models import LoadedModel


class ModelSource:
    """Batches of a model's activations on a text, mixed by a shuffling buffer; a `Source`.

    The model reads `context_batch` contexts at a time, all hook points in one pass and no deeper than the last of them.
    The buffer lies where the model does; when half of it has been used, it is filled up and shuffled again. A text that
    is not repeated ends with the last full batch. From then on this process keeps memory that it frees, see
    `device.keep_freed_memory`.

    Args:
        model: what reads.
        contexts: what it reads.
        points: hook points, by any of their names; batches are keyed by the names given.
        batch_size: rows in a batch.
        buffer_rows: rows that the buffer holds, in the model's type; `bytes` says what that takes.
        context_batch: contexts in one forward pass.
        seed: of the shuffling.
        keep: which tokens' activations are left out.

    Raises:
        InputError: a hook point that is unknown or none, contexts longer than the model takes, a buffer too small for
            two batches or two contexts; while iterating, a text that is empty or too short for one batch, activations
            that are NaN or infinite.
    """

    def __init__(
        self,
        model: "LoadedModel",
        contexts: Contexts | MixedContexts,
        points: Sequence[str],
        *,
        batch_size: int = 4096,
        buffer_rows: int = 2**18,
        context_batch: int = 16,
        seed: int = 0,
        keep: Keep | None = None,
    ):
        self.model, self.contexts, self.batch_size = model, contexts, batch_size
        self.keep = keep or Keep()
        self.points = list(dict.fromkeys(points))
        _check(model, contexts.length, points, batch_size, buffer_rows, context_batch, self.keep)
        keep_freed_memory()
        one_token = read(model, torch.zeros(1, 1, dtype=torch.long), self.points)
        self.widths = {point: x.shape[-1] for point, x in one_token.items()}
        self.tokens_read = 0
        self._buffer = ShuffleBuffer(buffer_rows, one_token, seed=seed)
        # Every pass but a text's last is of this size, so that a filling ends with less than one pass of free slots.
        self._contexts_per_pass = min(context_batch, buffer_rows // 2 // contexts.length)
        self._norm_limits: dict[str, float] = {}

    @property
    def bytes(self) -> int:
        """The memory that the buffer takes, in bytes."""
        return self._buffer.bytes

    @property
    def passes(self) -> int:
        """How many times the text has been read to its end."""
        return self.contexts.passes

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch d"]]]:
        return self

    def __next__(self) -> dict[str, Float[Tensor, "batch d"]]:
        if not self.tokens_read:
            self._fill_first()
        elif self._buffer.held <= self._buffer.rows // 2:
            self._fill()
        if self._buffer.held < self.batch_size:
            raise StopIteration
        return self._buffer.take(self.batch_size)

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """The next rows, `rows` of them or as many as the buffer holds; consumes nothing."""
        if not self.tokens_read:
            self._fill_first()
        return self._buffer.peek(min(rows, self._buffer.held))

    def state_dict(self) -> dict[str, Any]:
        """The place in the text, the rows in the buffer and their order, and the norms that are kept."""
        return {
            "contexts": self.contexts.state_dict(),
            "buffer": self._buffer.state_dict(),
            "tokens_read": self.tokens_read,
            "norm_limits": dict(self._norm_limits),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where `state` was taken.

        Raises:
            InputError: the state is of other hook points or a larger buffer; while iterating, of another text.
        """
        self._buffer.load_state_dict(state["buffer"])
        self.contexts.load_state_dict(state["contexts"])
        self.tokens_read = state["tokens_read"]
        self._norm_limits = dict(state["norm_limits"])

    def _fill_first(self) -> None:
        with progress("filling the buffer", self._buffer.rows, "tokens") as bar:
            self._fill(bar.advance)
        tokens, held = self.contexts.tokens_in_text, self._buffer.held
        if held < self.batch_size or (tokens is not None and tokens < self.batch_size):
            raise InputError(
                f"a text of {self.tokens_read if tokens is None else tokens} tokens, of which {held} were kept",
                expected=f"at least one batch of {self.batch_size}, in full contexts of {self.contexts.length}",
                hint="give more text, a smaller batch or shorter contexts",
            )

    def _fill(self, advance: Callable[[int], None] = lambda rows: None) -> None:
        """Reads until the buffer is full or the text ends, and shuffles; tells `advance` of the rows as they come."""
        held, passes = self._buffer.held, self.passes
        while self._buffer.free >= self._contexts_per_pass * self.contexts.length:
            begins, contexts = self._next_contexts()
            if not contexts:
                break
            rows = self._rows(torch.stack(contexts), begins)
            self._buffer.add(rows)
            advance(len(rows[self.points[0]]))
            if self._buffer.held == held and self.passes > passes + 1:
                break  # a whole pass over the text gave no row at all, and neither would the next
        if self._buffer.held > held:
            self._buffer.shuffle()

    def _next_contexts(self) -> tuple[list[Position], list[Int[Tensor, "length"]]]:
        begins: list[Position] = []
        contexts: list[Tensor] = []
        while len(contexts) < self._contexts_per_pass:
            begin = self.contexts.position
            context = next(self.contexts, None)
            if context is None:
                break
            begins.append(begin)
            contexts.append(context)
        return begins, contexts

    def _rows(self, ids: Int[Tensor, "batch position"], begins: list[Position]) -> dict[str, Float[Tensor, "rows d"]]:
        """The activations of the tokens that are kept, in the model's type."""
        rows = {point: x.flatten(0, 1) for point, x in read(self.model, ids, self.points).items()}
        norms = {point: torch.linalg.vector_norm(x.float(), dim=1) for point, x in rows.items()}
        kept = from_position(ids, self.keep.first_position)
        if not self.keep.special_tokens:
            kept = kept & not_special(ids, self.model.special_ids)
        kept = kept.flatten().to(self.model.device)
        for point, x in rows.items():
            if (kept & ~norms[point].isfinite()).any():
                self._refuse_broken(point, x, kept, ids, begins)
        self.tokens_read += ids.numel()
        if self.keep.max_norm is not None and kept.any():
            if not self._norm_limits:  # the median of the first pass is good enough for all
                self._norm_limits = {p: norm_limit(norms[p][kept], self.keep.max_norm) for p in self.points}
            for point in self.points:
                kept = kept & within_norm(norms[point], self._norm_limits[point])
        return rows if kept.all() else _only(kept, rows)

    def _refuse_broken(self, point: str, x: Tensor, kept: Tensor, ids: Tensor, begins: list[Position]) -> None:
        broken = (kept & ~x.isfinite().all(dim=1)).nonzero()
        if not len(broken):
            return  # finite values whose squares are not: an outlier, but no error
        context, position = divmod(int(broken[0]), ids.shape[1])
        raise InputError(
            f"NaN or infinite activations at {point!r}: position {position} (token {int(ids[context, position])}) of "
            f"context {self.tokens_read // ids.shape[1] + context}, which begins at {begins[context]} of the text",
            expected="finite activations",
            hint="load the model in a wider type (dtype='float32' or 'bfloat16') and see if its weights are finite",
        )


def _only(kept: Bool[Tensor, "all"], rows: dict[str, Tensor]) -> dict[str, Tensor]:
    index = kept.nonzero()[:, 0]  # index_select is several times faster than a mask
    return {point: x.index_select(0, index) for point, x in rows.items()}


def _check(
    model: "LoadedModel", length: int, points: Sequence[str], batch: int, buffer: int, context_batch: int, keep: Keep
) -> None:
    if isinstance(points, str) or not points:
        raise InputError(f"hook points {points!r}", expected="a list with at least one name")
    if model.max_context is not None and length > model.max_context:
        raise InputError(
            f"contexts of {length} tokens for {model.name}",
            expected=f"at most {model.max_context}, the longest that the model takes",
        )
    if keep.first_position >= length:
        raise InputError(
            f"contexts of {length} tokens of which those before position {keep.first_position} are left out",
            expected="contexts with positions that are kept",
        )
    if batch < 1 or context_batch < 1:
        raise InputError(f"batches of {batch} rows and {context_batch} contexts", expected="at least 1 of each")
    if buffer < 2 * max(batch, length):
        raise InputError(
            f"a shuffling buffer of {buffer} rows for batches of {batch} rows and contexts of {length} tokens",
            expected=f"at least {2 * max(batch, length)} rows: two batches, and two contexts",
        )
