"""The weights of a layer's MLP, neuron by neuron, in whatever way a family names and turns them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monosema.models.lens import LENS
from monosema.models.names import base_prefix, config_of

if TYPE_CHECKING:
    from monosema.models.loaded import LoadedModel

_LARGE = 64.0  # times a unit vector's largest possible entry: beside it, a norm's epsilon is small


@dataclass(frozen=True, eq=False)
class MLPWeights:
    """What each neuron of an MLP reads and writes, as the model stores it."""

    reads: Mapping[str, Float[Tensor, "neurons d"]]
    """Input weights; of a gated MLP those of `gate` and those of `up`, else all under the name ""."""
    writes: Float[Tensor, "neurons d"]
    """Output weights."""
    before: nn.Module | None
    """The norm through which the MLP is given the stream."""
    after: nn.Module | None
    """The norm through which what it writes is added to the stream."""


def mlp_weights(model: "LoadedModel", layer: int) -> MLPWeights | None:
    """The weights of a layer's MLP; None where it is none that the family names, as a mixture of experts.

    Args:
        model: of a family.
        layer: one that it has.
    """
    if model.family is LENS:
        return _of_lens(model.module, layer)
    parts = None if model.family is None else model.family.mlp
    if parts is None:
        return None
    prefix = base_prefix(model.module)

    def module(template: str | None) -> nn.Module | None:
        return None if template is None else _at(model.module, prefix + template.format(L=layer))

    reads = {name: _by_neuron(module(template), reads=True) for name, template in parts.reads.items()}
    writes = _by_neuron(module(parts.writes), reads=False)
    found = {name: weight for name, weight in reads.items() if weight is not None}
    if writes is None or len(found) < len(reads):
        return None
    return MLPWeights(found, writes, module(parts.before), module(parts.after))


@torch.no_grad()
def through_norm(norm: nn.Module | None, rows: Float[Tensor, "some d"]) -> Float[Tensor, "some d"]:
    """What a norm makes of directions, up to a positive factor for each: its weights times them, centred if it centres.

    A norm divides all that it is given by one number, which depends on the token; that is the factor.
    """
    if norm is None:
        return rows
    weight = next(norm.parameters(), rows)
    unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    large = (_LARGE * rows.shape[1] ** 0.5 * unit).to(weight)
    return (norm(large) - norm(torch.zeros_like(large))).to(rows)


def _of_lens(module: Any, layer: int) -> MLPWeights | None:
    block = module.blocks[layer]
    mlp = getattr(block, "mlp", None)
    inputs, gate, outputs = (getattr(mlp, name, None) for name in ("W_in", "W_gate", "W_out"))
    if not isinstance(inputs, Tensor) or not isinstance(outputs, Tensor) or inputs.ndim != 2:
        return None
    reads = {"": inputs.mT} if gate is None else {"gate": gate.mT, "up": inputs.mT}
    before = getattr(block, "ln2", None)
    return MLPWeights(
        {name: weight.detach() for name, weight in reads.items()},
        outputs.detach(),
        before if isinstance(before, nn.Module) else None,
        getattr(block, "ln2_post", None),
    )


def _at(module: nn.Module, path: str) -> nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def _by_neuron(module: nn.Module | None, *, reads: bool) -> Float[Tensor, "neurons d"] | None:
    """The weight of a projection to neurons, or from them, with a row for each neuron."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        return None
    turned = type(module).__name__ == "Conv1D"  # GPT-2's, [in, out], where nn.Linear has [out, in]
    return (weight if reads != turned else weight.mT).detach()


def layer_of(model: "LoadedModel", name: str, kind: str) -> int:
    """The layer of a hook point of some kind."""
    assert model.family is not None  # else it would have no kind
    layers, point = range(model.family.layers(config_of(model.module))), model.point(name)
    return next(layer for layer in layers if model.point(f"{kind}.{layer}") == point)
