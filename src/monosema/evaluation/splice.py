"""A dictionary in the place of what it reconstructs, while a model runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError

if TYPE_CHECKING:
    from monosema.models import Replacement


def hook_points(dictionary: Dictionary) -> tuple[str, str]:
    """The one hook point that a dictionary reads and the one that it writes.

    Raises:
        InputError: it names none, or several.
    """
    spec = dictionary.spec
    if len(spec.reads) != 1 or len(spec.writes) != 1:
        raise InputError(
            f"a dictionary that reads {list(spec.reads)} and writes {list(spec.writes)}",
            expected="one hook point on each side",
            hint="name them in its spec",
        )
    return spec.reads[0], spec.writes[0]


def splice(
    dictionary: Dictionary,
    edit: Callable[[Float[Tensor, "*batch width"]], Float[Tensor, "*batch width"]] | None = None,
    keep_error: bool = False,
    untouched: Bool[Tensor, "batch position"] | None = None,
) -> "Replacement":
    """Replaces what flows at the hook point that the dictionary writes by decode(edit(encode(x))).

    Args:
        dictionary: an autoencoder, or a transcoder whose prediction takes the place of its target; on the model's
            device, in evaluation mode.
        edit: changes the codes: sets a feature, scales it, ablates it. By default they stay as they are.
        keep_error: add what the dictionary does not reconstruct, target − decode(encode(x)), so that nothing changes
            but what `edit` does.
        untouched: True where the model's own activation flows on, as at special tokens.

    Raises:
        InputError: the dictionary reads or writes no hook point, or several; and, in `replacing`, if it was trained on
            a model whose weights were treated otherwise (`metadata["model_preprocessing"]`).
    """
    from monosema.models import PREPROCESSING, Replacement

    def flows_on(x: Tensor, target: Tensor) -> Tensor:
        codes = dictionary.encode(x)
        out = dictionary.decode(codes if edit is None else edit(codes), x)
        if keep_error:
            out = out + (target - dictionary.decode(codes, x))
        return out if untouched is None else torch.where(untouched.unsqueeze(-1), target, out)

    reads, writes = hook_points(dictionary)
    trained_on = dictionary.metadata.get(PREPROCESSING)
    if reads == writes:
        return Replacement(writes, lambda x: flows_on(x, x), trained_on=trained_on)
    return Replacement(writes, flows_on, reads=(reads, writes), trained_on=trained_on)
