"""Replacing what flows at hook points while a model runs: ablation, steering, a dictionary in the model's place."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from monosema.errors import InputError
from monosema.models.expressions import names_in, parsed
from monosema.models.flow import attach
from monosema.models.hook_points import HookPoint
from monosema.models.loaded import LoadedModel
from monosema.models.preprocessing import check_preprocessing


@dataclass(frozen=True)
class Replacement:
    """What flows on from `write` is `function` of the activations at `reads` (by default of the one at `write`).

    A sum of hook points can be written as well: the last of them, which has to be computed after the others, becomes
    what makes the sum right. The function gets its own copies and returns a tensor of the shape at `write`; its dtype
    is cast to the model's.

    >>> zero = Replacement("attn_out.2", torch.zeros_like)
    >>> transcoder_in_place = Replacement("mlp_out.2", transcoder, reads=("mlp_in.2",))
    """

    write: str
    function: Callable[..., Tensor]
    reads: tuple[str, ...] | None = None
    trained_on: Sequence[str] | None = None
    """How the weights of the model were treated that the function was trained on, where that is known."""


@contextmanager
def replacing(model: LoadedModel, replacements: Sequence[Replacement]) -> Iterator[None]:
    """While inside, every forward pass of `model` flows through `replacements`; gradients pass through them.

    Replacements of one point are applied one after the other, in order. A read sees what flows on at its point: where
    that point is replaced as well, the replaced activation. Everything is undone on leaving, also after an error.

    Raises:
        InputError: there is no such hook point, or `trained_on` says that activations were others there; and, in the
            forward pass, if a point in `reads` runs only after `write`, a function returns something other than a
            tensor of the shape at `write`, or the model never gets to `write`.
    """
    for replacement in replacements:
        check_preprocessing(model, [replacement.write, *(replacement.reads or ())], replacement.trained_on)
    forward = _Pass([_Step.of(model, replacement) for replacement in replacements], model.name)
    with ExitStack() as hooks:
        hooks.callback(model.module.register_forward_pre_hook(forward.begin).remove)
        for point in forward.points:
            hooks.callback(attach(model.module, point, partial(forward.visit, point)).remove)
        hooks.callback(model.module.register_forward_hook(forward.end).remove)
        yield


@dataclass(frozen=True)
class _Step:
    """A replacement whose names have been resolved in a model."""

    name: str
    write: HookPoint
    function: Callable[..., Tensor]
    reads: tuple[tuple[HookPoint, str], ...]

    @classmethod
    def of(cls, model: LoadedModel, replacement: Replacement) -> "_Step":
        *others, _ = _terms(replacement.write)
        expressions = (replacement.write,) if replacement.reads is None else replacement.reads
        names = names_in([*expressions, *others])
        function = replacement.function
        if others or list(expressions) != names:
            function = partial(_written, function, names, expressions, others)
        reads = tuple((model.point(name), name) for name in names)
        return cls(replacement.write, written_at(model, replacement.write), function, reads)

    def apply(self, activation: Tensor, flowing: dict[HookPoint, Tensor]) -> Tensor:
        """What flows on in place of `activation`."""
        new = self.function(*(self._look_up(point, name, activation, flowing) for point, name in self.reads))
        if not isinstance(new, Tensor) or new.shape != activation.shape:
            given = f"shape {tuple(new.shape)}" if isinstance(new, Tensor) else type(new).__name__
            raise InputError(
                f"the function that replaces {self.name!r} returned {given}",
                expected=f"a tensor of shape {tuple(activation.shape)}",
            )
        new = new.to(activation.dtype)
        # The layer holds on to the stream and adds to it later, so the stream itself must change: no module returns it.
        return activation.copy_(new) if self.write.in_stream else new

    def _look_up(self, point: HookPoint, name: str, activation: Tensor, flowing: dict[HookPoint, Tensor]) -> Tensor:
        if point == self.write:
            return activation.clone()
        if point not in flowing:
            raise InputError(
                f"{name!r} has not been computed when {self.name!r} is replaced",
                expected="reads that the model computes before the point that is written",
                hint="exchange the two, or read a point of an earlier layer or module",
            )
        return flowing[point].clone()


class _Pass:
    """A forward pass on its way: what has flowed on at the points that steps read, and which points it has reached."""

    def __init__(self, steps: Sequence[_Step], model: str):
        self.steps, self.model = steps, model
        self.read = {point for step in steps for point, _ in step.reads}
        self.points = list(dict.fromkeys([*self.read, *(step.write for step in steps)]))
        self.flowing: dict[HookPoint, Tensor] = {}
        self.reached: set[HookPoint] = set()

    def begin(self, *_: Any) -> None:
        """Forgets the pass before."""
        self.flowing.clear()
        self.reached.clear()

    def visit(self, point: HookPoint, activation: Tensor) -> Tensor:
        """What flows on from a point that the model has come to."""
        for step in self.steps:
            if step.write == point:
                activation = step.apply(activation, self.flowing)
        self.reached.add(point)
        if point in self.read:  # a copy, because the model may go on to add to the tensor in place
            self.flowing[point] = activation.clone()
        return activation

    def end(self, *_: Any) -> None:
        """Refuses a pass that has left out what was to be replaced."""
        for step in self.steps:
            if step.write not in self.reached:
                raise InputError(
                    f"nothing was replaced at {step.name!r}: {self.model} does not call the module '{step.write.path}'",
                    expected="a module that takes part in the forward pass",
                )


def written_at(model: LoadedModel, write: str) -> HookPoint:
    """The place that changes when a hook point, or a sum of some, is written.

    Raises:
        InputError: there is no such place, or it is none that can be written as one.
    """
    return model.point(_terms(write)[-1])


def _terms(write: str) -> tuple[str, ...]:
    first, *more = parsed(write).sums
    if more or len(set(first)) < len(first):
        raise InputError(
            f"{write!r} to be replaced at once", expected="a hook point, or a sum of different ones", hint="one by one"
        )
    return first


def _written(
    function: Callable[..., Tensor],
    names: Sequence[str],
    expressions: Sequence[str],
    others: Sequence[str],
    *values: Tensor,
) -> Tensor:
    """What the last term becomes: what the function makes of expressions, less the other terms."""
    flowing = dict(zip(names, values, strict=True))
    new = function(*(parsed(expression).of(flowing) for expression in expressions))
    for other in others:
        new = new - flowing[other]
    return new
