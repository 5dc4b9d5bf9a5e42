"""A dictionary in the place of what it reconstructs, while a model runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError

if TYPE_CHECKING:
    from monosema.models import Replacement

Edit = Callable[[Float[Tensor, "*batch width"]], Float[Tensor, "*batch width"]]


def hook_points(dictionary: Dictionary) -> tuple[str, str]:
    """What a dictionary reads and what it writes: a hook point each, or several as the expression `a & b`.

    Raises:
        InputError: it names none.
    """
    spec = dictionary.spec
    if not spec.reads or not spec.writes:
        raise InputError(
            f"a dictionary that reads {list(spec.reads)} and writes {list(spec.writes)}",
            expected="hook points on each side",
            hint="name them in its spec",
        )
    return " & ".join(spec.reads), " & ".join(spec.writes)


def splice(
    dictionary: Dictionary,
    edit: Edit | None = None,
    keep_error: bool = False,
    untouched: Bool[Tensor, "batch position"] | None = None,
) -> "list[Replacement]":
    """Replaces what flows at the hook points that the dictionary writes by decode(edit(encode(x))).

    Of cross-layer features each layer is replaced when the model gets there, by what the features of the layers up to
    it write, which have read what flows on there: `replacing(model, splice(dictionary))` is the replacement model.

    Args:
        dictionary: an autoencoder, or a transcoder whose prediction takes the place of its target; on the model's
            device, in evaluation mode.
        edit: changes the codes: sets a feature, scales it, ablates it. By default they stay as they are.
        keep_error: add what the dictionary does not reconstruct, target − decode(encode(x)), so that nothing changes
            but what `edit` does.
        untouched: True where the model's own activation flows on, as at special tokens.

    Returns:
        A replacement for each hook point written.

    Raises:
        InputError: the dictionary reads or writes no hook point; or it reads several to write each of them, as a
            crosscoder does, which would have to know what the model has not computed yet; and, in `replacing`, if it
            was trained on a model whose weights were treated otherwise (`metadata["model_preprocessing"]`).
    """
    from monosema.models import PREPROCESSING, Replacement

    spec = dictionary.spec
    reads, writes = hook_points(dictionary)
    trained_on = dictionary.metadata.get(PREPROCESSING)
    if spec.cross_layer:
        return [
            Replacement(
                point,
                _Written(dictionary, edit, keep_error, untouched, at=layer, sizes=spec.sizes_in),
                reads=(*spec.reads[: layer + 1], point),
                trained_on=trained_on,
            )
            for layer, point in enumerate(spec.writes)
        ]
    if len(spec.writes) > 1:
        raise InputError(
            f"a dictionary of {reads} in a model that runs",
            expected="one that writes one hook point, or cross-layer features",
            hint="evaluate() replaces what a crosscoder writes by what it makes of a pass without it",
        )
    seen = (writes,) if reads == writes else (reads, writes)
    return [Replacement(writes, _Written(dictionary, edit, keep_error, untouched), reads=seen, trained_on=trained_on)]


class _Written:
    """What flows on at a hook point, from what the dictionary reads up to there, and the model's own activation."""

    def __init__(
        self,
        dictionary: Dictionary,
        edit: Edit | None,
        keep_error: bool,
        untouched: Bool[Tensor, "batch position"] | None,
        *,
        at: int = 0,
        sizes: tuple[int, ...] = (),
    ):
        self.dictionary, self.edit, self.keep_error, self.untouched = dictionary, edit, keep_error, untouched
        self.at, self.sizes = at, sizes

    def __call__(self, *activations: Float[Tensor, "*batch _"]) -> Float[Tensor, "*batch d"]:
        *others, target = activations
        read = others or [target]  # an autoencoder reads what it writes
        # Later layers are not known yet. Whatever their features would do, these write nothing here.
        x = F.pad(torch.cat(read, -1), (0, sum(self.sizes[len(read) :])))
        codes = self.dictionary.encode(x)
        out = self._decoded(codes if self.edit is None else self.edit(codes), x)
        if self.keep_error:
            out = out + (target - self._decoded(codes, x))
        return out if self.untouched is None else torch.where(self.untouched.unsqueeze(-1), target, out)

    def _decoded(self, codes: Float[Tensor, "*batch width"], x: Float[Tensor, "*batch d_in"]) -> Tensor:
        out = self.dictionary.decode(codes, x)
        return out.split(self.dictionary.spec.sizes_out, -1)[self.at] if self.sizes else out
