"""A model that reads text as a source of activations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.ahead import ContextsAhead
from monosema.activations.contexts import Contexts, Position
from monosema.activations.filters import Keep
from monosema.activations.mixing import MixedContexts
from monosema.activations.model_rows import ModelRows, only
from monosema.activations.shuffle import ShuffleBuffer
from monosema.device import keep_freed_memory
from monosema.errors import InputError
from monosema.progress import progress

if TYPE_CHECKING:
    from monosema.models import Readable


class ModelSource:
    """Batches of a model's activations on a text, mixed by a shuffling buffer; a `Source`.

    The model reads `context_batch` contexts at a time, all hook points in one pass and no deeper than the last of them.
    The buffer lies where the model does; when half of it has been used, it is filled up and shuffled again. A text that
    is not repeated ends with the last full batch. Beside a GPU, a thread reads the text for the next filling meanwhile.
    From then on this process keeps memory that it frees, see `device.keep_freed_memory`.

    Args:
        model: what reads, or two models.
        contexts: what it reads.
        points: hook points, by any of their names; batches are keyed by the names given.
        batch_size: rows in a batch.
        buffer_rows: rows that the buffer holds, in the model's type; `bytes` says what that takes.
        context_batch: contexts in one forward pass.
        seed: of the shuffling.
        keep: which tokens' activations are left out.
        ahead: whether a thread reads text before the model asks for it; by default where the model is on a GPU.

    Raises:
        InputError: a hook point that is unknown or none, contexts longer than the model takes, a buffer too small for
            two batches or two contexts; while iterating, a text that is empty or too short for one batch, activations
            that are NaN or infinite.
    """

    def __init__(
        self,
        model: "Readable",
        contexts: Contexts | MixedContexts,
        points: Sequence[str],
        *,
        batch_size: int = 4096,
        buffer_rows: int = 2**18,
        context_batch: int = 16,
        seed: int = 0,
        keep: Keep | None = None,
        ahead: bool | None = None,
    ):
        self.model, self.contexts, self.batch_size = model, contexts, batch_size
        self.keep = keep or Keep()
        check_contexts(model, contexts.length, context_batch, self.keep)
        _check_buffer(contexts.length, batch_size, buffer_rows)
        keep_freed_memory()
        self._reader = ModelRows(model, points, self.keep)
        self.points, self.widths = self._reader.points, self._reader.widths
        self.tokens_read = 0
        self._buffer = ShuffleBuffer(buffer_rows, self._reader.one_token, seed=seed)
        # Every pass but a text's last is of this size, so that a filling ends with less than one pass of free slots.
        self._contexts_per_pass = min(context_batch, buffer_rows // 2 // contexts.length)
        ahead = model.device.type == "cuda" if ahead is None else ahead
        filling = buffer_rows // 2 // (self._contexts_per_pass * contexts.length) + 1  # passes, about
        self._text = ContextsAhead(contexts, self._contexts_per_pass, model.device, depth=filling if ahead else 0)

    @property
    def bytes(self) -> int:
        """The memory that the buffer takes, in bytes."""
        return self._buffer.bytes

    @property
    def passes(self) -> int:
        """How many times the text has been read to its end."""
        return self._text.passes

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
            "contexts": self._text.state_dict(),
            "buffer": self._buffer.state_dict(),
            "tokens_read": self.tokens_read,
            "norm_limits": dict(self._reader.norm_limits),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where `state` was taken.

        Raises:
            InputError: the state is of other hook points or a larger buffer; while iterating, of another text.
        """
        self._buffer.load_state_dict(state["buffer"])
        self._text.load_state_dict(state["contexts"])
        self.tokens_read = state["tokens_read"]
        self._reader.norm_limits = dict(state["norm_limits"])

    def _fill_first(self) -> None:
        with progress("filling the buffer", self._buffer.rows, "tokens") as bar:
            self._fill(bar.advance)
        tokens, held = self._text.tokens_in_text, self._buffer.held
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
            text = self._text.take()
            if text.ids is None:
                break
            rows = self._rows(text.ids, text.begins)
            self._buffer.add(rows)
            advance(len(rows[self.points[0]]))
            if self._buffer.held == held and self.passes > passes + 1:
                break  # a whole pass over the text gave no row at all, and neither would the next
        if self._buffer.held > held:
            self._buffer.shuffle()

    def _rows(self, ids: Int[Tensor, "batch position"], begins: list[Position]) -> dict[str, Float[Tensor, "rows d"]]:
        """The activations of the tokens that are kept, in the model's type."""
        rows, kept = self._reader.of(ids, begins, self.tokens_read // ids.shape[1])
        self.tokens_read += ids.numel()
        return only(kept, rows)


def check_contexts(model: "Readable", length: int, context_batch: int, keep: Keep) -> None:
    """Refuses contexts that a model cannot read, or of which nothing would be kept.

    Raises:
        InputError: it is so.
    """
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
    if context_batch < 1:
        raise InputError(f"{context_batch} contexts at a time", expected="at least 1")


def _check_buffer(length: int, batch: int, buffer: int) -> None:
    if batch < 1:
        raise InputError(f"batches of {batch} rows", expected="at least 1")
    if buffer < 2 * max(batch, length):
        raise InputError(
            f"a shuffling buffer of {buffer} rows for batches of {batch} rows and contexts of {length} tokens",
            expected=f"at least {2 * max(batch, length)} rows: two batches, and two contexts",
        )
