"""Steering: features set, added to, scaled or removed while the model runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.splice import Edit, splice
from monosema.models import replacing

if TYPE_CHECKING:
    from monosema.models import LoadedModel

Mode = Literal["add", "clamp", "scale", "ablate"]


@dataclass(frozen=True)
class Steer:
    """What is done to one feature's code at every token: + value, = value, × value, or = 0."""

    feature: int
    value: float = 0.0
    """In units of the code (as `features.high` of a feature store), of `scale` a factor; `ablate` has none."""
    mode: Mode = "add"

    def __post_init__(self):
        if self.mode not in get_args(Mode):
            raise InputError(f"mode {self.mode!r}", expected=f"one of {', '.join(get_args(Mode))}")
        if not abs(self.value) < float("inf"):
            raise InputError(f"a value of {self.value}", expected="a finite number")


def steering_edit(steers: Sequence[Steer]) -> Edit:
    """The function of dense codes that applies all of them, one after the other."""

    def edit(codes: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        codes = codes.clone()
        for steer in steers:
            own = codes[..., steer.feature]
            if steer.mode == "add":
                own += steer.value
            elif steer.mode == "scale":
                own *= steer.value
            else:
                own.fill_(steer.value if steer.mode == "clamp" else 0.0)
        return codes

    return edit


@contextmanager
def steering(model: "LoadedModel", dictionary: Dictionary, steers: Sequence[Steer]) -> Iterator[None]:
    """While inside, the model runs with features steered; what the dictionary does not reconstruct stays as it is.

    So a model with no steers, or with `Steer(feature, 1.0, "scale")`, is the model itself, up to rounding, and
    `Steer(feature, v)` adds v times the feature's direction at every token, as in activation addition (Turner et al.
    2023, arXiv 2308.10248).

    Args:
        model: what runs, `model.logits` or `generate`.
        dictionary: in evaluation mode, on the model's device; one that `splice` takes.
        steers: what is done to which features.

    Raises:
        InputError: the dictionary does not have a feature, or is a crosscoder.
    """
    for steer in steers:
        if not 0 <= steer.feature < dictionary.spec.width:
            raise InputError(
                f"feature {steer.feature}", expected=f"0 to {dictionary.spec.width - 1}, as the dictionary has"
            )
    with replacing(model, splice(dictionary, steering_edit(steers), keep_error=True)):
        yield


@torch.no_grad()
def generate(
    model: "LoadedModel", prompt: Sequence[int], tokens: int, *, temperature: float = 0.0, seed: int = 0
) -> list[int]:
    """Tokens that the model writes after a prompt, one by one; inside `steering`, steered ones.

    The whole context is read again for each, so that every position is steered as in one pass.

    Args:
        model: predicts the next token.
        prompt: token ids, at least one.
        tokens: how many to write, fewer where the model's context is full.
        temperature: of sampling; at 0 the most probable token is taken.
        seed: of sampling.

    Raises:
        InputError: there is no prompt, or the model does not predict the next token.
    """
    if not prompt or tokens < 1 or temperature < 0:
        raise InputError(
            f"a prompt of {len(prompt)} tokens, {tokens} to write at temperature {temperature}",
            expected="at least one of each, and a temperature of 0 or more",
        )
    draw, ids = torch.Generator().manual_seed(seed), list(prompt)
    most = len(prompt) + tokens if model.max_context is None else min(len(prompt) + tokens, model.max_context)
    while len(ids) < most:
        logits = model.logits(torch.tensor([ids]))[0, -1].float().cpu()
        if temperature == 0:
            ids.append(int(logits.argmax()))
        else:
            ids.append(int(torch.multinomial((logits / temperature).softmax(0), 1, generator=draw)))
    return ids[len(prompt) :]
