"""Reading activations from a model, and running it no further than needed."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.errors import InputError
from monosema.models.expressions import names_in, parsed
from monosema.models.flow import attach
from monosema.models.hook_points import HookPoint
from monosema.models.loaded import LoadedModel
from monosema.models.pair import Readable


class _AllCaptured(BaseException):
    """Ends a forward pass that has nothing left to yield; not an Exception, so that no model's handler swallows it."""


def read(model: Readable, inputs: Tensor, points: Sequence[str]) -> dict[str, Float[Tensor, "batch position d"]]:
    """The activations at `points` in one forward pass, which stops when the last of them has been computed.

    The keys are the names as they were asked for. Of two models each makes a pass, no deeper than its own last point. A
    module that runs several times in a pass is read at its first run. No gradients flow through what is read; inside
    `replacing`, what is read is what flows on.

    Args:
        model: what is read, or two models.
        inputs: what the model takes, `[batch, position]` token ids for a language model.
        points: names of hook points, or sums and joined activations of several: `a + b`, `a & b`.

    Raises:
        InputError: no point is asked for, there is no such point, or the model does not run it on these inputs.
    """
    if isinstance(points, str) or not points:
        raise InputError(f"hook points {points!r}", expected="a list with at least one name")
    wanted: dict[LoadedModel, dict[str, HookPoint]] = {}
    for name in names_in(points):
        owned = model.owner(name)
        assert owned is not None  # a single hook point has one
        owner, local = owned
        wanted.setdefault(owner, {})[name] = owner.point(local)
    found: dict[str, Tensor] = {}
    for owner, own in wanted.items():
        with torch.no_grad():
            found |= {name: activation.detach() for name, activation in captured(owner, inputs, own).items()}
    return {expression: parsed(expression).of(found) for expression in points}


def captured(model: LoadedModel, inputs: Tensor, wanted: Mapping[str, HookPoint]) -> dict[str, Tensor]:
    """The activations at hook points of one model, in one pass, with what gradients need where they are recorded."""
    found: dict[HookPoint, Tensor] = {}
    missing = set(wanted.values())

    def capture(point: HookPoint, activation: Tensor) -> None:
        if point in missing:
            # A copy, because a model may go on to add to the tensor in place.
            found[point] = activation.clone()
            missing.remove(point)
        if not missing:
            raise _AllCaptured

    with ExitStack() as hooks:
        for point in set(wanted.values()):
            hooks.callback(attach(model.module, point, partial(capture, point)).remove)
        with suppress(_AllCaptured):
            model.run(inputs)
    for name, point in wanted.items():
        if point in missing:
            raise InputError(
                f"hook point {name!r} was not reached: {model.name} does not call the module '{point.path}'",
                expected="a module that takes part in the forward pass of these inputs",
            )
    return {name: found[point] for name, point in wanted.items()}


def width_of(model: Readable, point: str, inputs: Tensor | None = None) -> int:
    """The dimension of the activations at `point`, found by running the model on one token, or on `inputs`.

    Raises:
        InputError: there is no such point, or the model has no vocabulary and no `inputs` are given.
    """
    if inputs is None:
        if model.vocabulary is None:
            raise InputError(
                f"{model.name}, without a vocabulary to take a token from",
                expected="inputs that the model can run on",
            )
        inputs = torch.zeros(1, 1, dtype=torch.long)
    return read(model, inputs, [point])[point].shape[-1]
