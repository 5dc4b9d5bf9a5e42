"""A model that reads text as a source of activations."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from monosema.activations.ahead import ContextsAhead
from monosema.activations.contexts import Contexts
from monosema.activations.filters import Keep
from monosema.activations.mixing import MixedContexts
from monosema.activations.model_rows import ModelRows, Pass, only
from monosema.activations.shuffle import ShuffleBuffer
from monosema.device import keep_freed_memory
from monosema.errors import InputError
from monosema.progress import progress
from monosema.streams import SideStream

if TYPE_CHECKING:
    from monosema.models import Readable


class ModelSource:
    """Batches of a model's activations on a text, mixed by a shuffling buffer; a `Source`.

    The model reads `context_batch` contexts at a time, all hook points in one pass and no deeper than the last of them.
    The buffer lies where the model does; when half of it has been used, it is filled up and shuffled again. A text that
    is not repeated ends with the last full batch. On a GPU the model is ahead of that: while whoever takes the batches
    works on one, it reads what will go where they were, on a stream of its own, and a thread has cut the text into
    tokens; the batches are the same. From then on this process keeps memory that it frees, see
    `device.keep_freed_memory`.

    Args:
        model: what reads, or two models.
        contexts: what it reads.
        points: hook points, by any of their names; batches are keyed by the names given.
        batch_size: rows in a batch.
        buffer_rows: rows that the buffer holds, in the model's type; `bytes` says what that takes.
        context_batch: contexts in one forward pass.
        seed: of the shuffling.
        keep: which tokens' activations are left out.
        ahead: whether to read before the buffer is to be filled; by default where the model is on a GPU.

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
        self._tokens_per_pass = self._contexts_per_pass * contexts.length
        ahead = model.device.type == "cuda" if ahead is None else ahead
        filling = buffer_rows // 2 // self._tokens_per_pass + 1  # passes, about
        self._text = ContextsAhead(contexts, self._contexts_per_pass, model.device, depth=filling if ahead else 0)
        self._ahead, self._side = ahead, SideStream(model.device)
        self._coming: Pass | None = None
        self._side.uses(self._buffer.tensors)
        self._tokens_begun = 0

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
        elif self._ahead:
            self._read_ahead()
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
        self._side.join()
        self._coming = None
        self._buffer.load_state_dict(state["buffer"])
        self._text.load_state_dict(state["contexts"])
        self.tokens_read = self._tokens_begun = state["tokens_read"]
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
        while self._read():
            advance(self._arrive())
        self._side.join()
        if self._buffer.aside:
            self._buffer.shuffle()
        self._text.settle()
        self.tokens_read = self._tokens_begun

    def _read_ahead(self) -> None:
        """Has the model read, one pass at a time, as long as there is room for it beside the one on its way."""
        while self._buffer.free >= (1 if self._coming is None else 2) * self._tokens_per_pass and self._read():
            pass

    def _read(self) -> bool:
        """Begins a pass of the model, when the one before has arrived; whether there was room for it, and text."""
        self._arrive()
        gave_nothing = not self._buffer.aside and self._text.passes_taken > self._text.passes + 1  # nor would the next
        if self._buffer.free < self._tokens_per_pass or gave_nothing:
            return False
        text = self._text.take()
        if text.ids is None:
            return False
        with self._side.behind():
            self._coming = self._reader.begin(text.ids, text.begins, self._tokens_begun // text.ids.shape[1])
        self._tokens_begun += text.ids.numel()
        return True

    def _arrive(self) -> int:
        """Puts the rows of the pass on its way into free slots, those that are kept; how many."""
        if self._coming is None:
            return 0
        coming, self._coming = self._coming, None
        rows, kept = coming.end()
        with self._side.behind():
            self._buffer.set_aside(only(kept, rows))
        return int(kept.sum())


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
