"""The optimisers that a recipe can ask for, and what is the same for all of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.optim import Optimizer

from monosema.errors import InputError
from monosema.recipes import Recipe

MOMENTUM = 0.95
"""Of Muon, and of signum's averaging."""
AVERAGED_ADAM = 0.9
"""The same of schedule_free's."""


class Optimisers:
    """The optimiser of one dictionary: one or several of PyTorch's kind, stepped as one.

    Raises:
        InputError: the recipe asks for Muon, and a weight to be learned is no matrix.
    """

    def __init__(self, recipe: Recipe, module: nn.Module):
        parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.parts = _BUILD[recipe.optimiser](recipe, parameters)
        self._momentum = {"signum": MOMENTUM, "schedule_free": AVERAGED_ADAM}.get(recipe.optimiser)

    @property
    def averages(self) -> bool:
        """Whether what is trained is not the parameters themselves, but their average."""
        return self._momentum is not None

    def step(self, lr: float) -> None:
        """Updates the parameters by their gradients, at a learning rate."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = lr * group["relative"]
            part.step()

    def parameters(self) -> list[list[Tensor]]:
        """The parameters of each part, in the order in which its state numbers them."""
        return [[p for group in part.param_groups for p in group["params"]] for part in self.parts]

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each part."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: Sequence[dict[str, Any]]) -> None:
        """Goes on from such a state."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
            for parameter, remembered in part.state.items():
                remembered.update({name: _laid_out_like(parameter, value) for name, value in remembered.items()})

    @torch.no_grad()
    def forget_(self, parameter: Tensor, entries: Bool[Tensor, "*shape"]) -> None:
        """Sets what is remembered of some entries of a parameter to what it is at the start: moments to zero."""
        for state in self._states(parameter):
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value[entries] = parameter[entries] if name == "z" else 0.0

    @torch.no_grad()
    def averaged_(self, module: nn.Module, copied: nn.Module) -> None:
        """Writes into a copy of the module the averages of its parameters, from an optimiser that keeps them.

        Such an optimiser takes gradients at y = (1 − m) z + m x; what it was after is x, the average.
        """
        assert self._momentum is not None
        for parameter, target in zip(module.parameters(), copied.parameters(), strict=True):
            for state in self._states(parameter):  # none before the first step
                target.copy_(parameter.lerp(state["z"], 1 - 1 / self._momentum))

    def _states(self, parameter: Tensor) -> Iterator[dict[str, Any]]:
        return (part.state[parameter] for part in self.parts if part.state.get(parameter))


def _laid_out_like(parameter: Tensor, value: Any) -> Any:
    """A moment with its parameter's layout in memory, which fused Adam takes for granted; files may not keep it."""
    if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value


def _groups(recipe: Recipe, parameters: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """The encoder's matrix, and the rest, each with its rate relative to the recipe's."""
    encoder = [p for name, p in parameters.items() if name == "W_enc"]
    rest = [p for name, p in parameters.items() if name != "W_enc"]
    groups = [{"params": encoder, "relative": recipe.encoder_lr}, {"params": rest, "relative": 1.0}]
    return [group for group in groups if group["params"]]


def _adam(recipe: Recipe, parameters: Mapping[str, Tensor]) -> list[Any]:
    return [torch.optim.Adam(_groups(recipe, parameters), betas=recipe.betas, fused=True)]


def _muon(recipe: Recipe, parameters: Mapping[str, Tensor]) -> list[Any]:
    weights = {name: p for name, p in parameters.items() if name.startswith("W_")}
    for name, weight in weights.items():
        if weight.ndim != 2:
            raise InputError(f"optimiser muon with {name} of shape {list(weight.shape)}", expected="matrices")
    rest = {name: p for name, p in parameters.items() if name not in weights}
    muon = torch.optim.Muon(_groups(recipe, weights), momentum=MOMENTUM, weight_decay=0.0)
    return [muon, *_adam(recipe, rest)]


def _signum(recipe: Recipe, parameters: Mapping[str, Tensor]) -> list[Any]:
    from schedulefree import ScheduleFreeWrapper

    descent = torch.optim.SGD(_groups(recipe, parameters))
    descent.register_step_pre_hook(_take_signs)
    wrapper = ScheduleFreeWrapper(descent, momentum=MOMENTUM)
    wrapper.swap = _swap  # its own wants rows that lie together in memory
    wrapper.train()
    return [wrapper]


def _swap(x: Tensor, y: Tensor) -> None:
    held = x.clone()
    x.copy_(y)
    y.copy_(held)


def _take_signs(optimiser: Optimizer, *_: Any) -> None:
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.sign_()


def _schedule_free(recipe: Recipe, parameters: Mapping[str, Tensor]) -> list[Any]:
    from schedulefree import AdamWScheduleFree

    optimiser = AdamWScheduleFree(_groups(recipe, parameters), betas=(AVERAGED_ADAM, recipe.betas[1]))
    optimiser.train()
    return [optimiser]


_BUILD = {"adam": _adam, "muon": _muon, "signum": _signum, "schedule_free": _schedule_free}
