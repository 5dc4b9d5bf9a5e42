"""How a layer's attention attends: which positions each head looks at, and the values that it finds there."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.overrides import TorchFunctionMode

from monosema.errors import InputError
from monosema.models import read
from monosema.models.lens import LENS

if TYPE_CHECKING:
    from monosema.models import LoadedModel

_PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__)
_TOLERANCE = 1e-3  # relative difference from the model's own result; more in 16 bits, by their rounding


class Attention(NamedTuple):
    """How one position of each context attends; of each head, `z = Σ_src pattern[src] values[src]`."""

    pattern: Float[Tensor, "context heads position"]
    values: Float[Tensor, "context heads position d_head"]


@torch.no_grad()
def attention_at(
    model: "LoadedModel", point: str, ids: Int[Tensor, "context position"], positions: Int[Tensor, " context"]
) -> Attention:
    """How the attention behind `attn_z.L`, or one head of it, attends at one position of each context.

    The model runs up to that hook point. The last attention that it has computed then is the one that is meant: a call
    of PyTorch's `scaled_dot_product_attention`, or, where a model makes the pattern itself, the product of pattern and
    values. A model of TransformerLens has hooks at both. Query heads that share keys and values get copies of them.

    Returns:
        In float32 or better, computed from what the model's attention was given. Their product is the activation at
        the hook point, up to rounding; this is checked.

    Raises:
        InputError: attention is computed in another way.
    """
    return attention_in(model, point, partial(read, model, ids), positions)


def attention_in(
    model: "LoadedModel",
    point: str,
    run: Callable[[Sequence[str]], dict[str, Float[Tensor, "context position _"]]],
    positions: Int[Tensor, " context"],
) -> Attention:
    """The same in a pass that `run` makes, which returns the activations at hook points; with their gradients, if any.

    Raises:
        InputError: attention is computed in another way.
    """
    place = model.point(point)
    hooks = [f"{place.path.rpartition('.')[0]}.{name}" for name in ("hook_pattern", "hook_v")]
    if model.family is LENS and {*hooks} <= dict(model.module.named_modules()).keys():
        pattern, values, z = run([*hooks, point]).values()
        last = _Product(pattern, values.transpose(1, 2))
    else:
        with _Watch() as watch:
            z = run([point])[point]
        last = watch.last
    own = z[torch.arange(len(z)), positions.to(z.device)]
    if last is not None:
        found = last.at(positions.to(z.device))
        if place.columns is not None:
            head = place.columns[0] // found.values.shape[-1]
            found = Attention(*(x[:, head : head + 1] for x in found))
        if _makes(found, own):
            return found
    raise InputError(
        f"{model.name}, whose attention at {point!r} is not computed in a way that is known here",
        expected="scaled_dot_product_attention, or the product of a pattern and values",
        hint="load it with attn_implementation='sdpa' or 'eager'",
    )


def _makes(found: Attention, z: Float[Tensor, "context d"]) -> bool:
    """Whether pattern times values is what the model has at the hook point."""
    product = torch.einsum("nhs,nhse->nhe", *found).flatten(1)
    if product.shape != z.shape:
        return False
    tolerance = max(_TOLERANCE, 4 * torch.finfo(z.dtype).eps)
    return bool((product - z).norm() <= tolerance * z.norm())


class Scaled(NamedTuple):
    """The arguments of `scaled_dot_product_attention`, under its names."""

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    def at(self, positions: Int[Tensor, " context"]) -> Attention:
        """What they make of one position of each context."""
        pattern = self.patterns(positions.unsqueeze(1)).squeeze(2)
        return Attention(pattern, _for_heads(self.value, pattern.shape[1]))

    def patterns(
        self, positions: Int[Tensor, "context some"] | None = None
    ) -> Float[Tensor, "context heads some position"]:
        """What some positions of each context attend to, or all, in float32 or better."""
        contexts, heads, length, d_head = self.query.shape
        if positions is None:
            positions = torch.arange(length, device=self.query.device).expand(contexts, -1)
        rows = torch.arange(contexts, device=self.query.device).unsqueeze(1)
        query = _wide(self.query[rows, :, positions])  # [context, some, heads, d_head]
        scores = torch.einsum("nqhe,nhse->nhqs", query, _for_heads(self.key, heads))
        scores = scores * (d_head**-0.5 if self.scale is None else self.scale)
        if self.is_causal:
            later = torch.arange(scores.shape[3], device=scores.device) > positions[:, None, :, None]
            scores = scores.masked_fill(later, -torch.inf)
        if self.attn_mask is not None:
            shape = (contexts, heads, length, self.key.shape[2])
            mask = self.attn_mask.broadcast_to(shape)[rows, :, positions].transpose(1, 2)
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        return scores.softmax(-1)


class _Product(NamedTuple):
    """The last of what a model does that makes its patterns itself."""

    pattern: Tensor
    value: Tensor

    def at(self, positions: Int[Tensor, " context"]) -> Attention:
        """Its row of one position of each context."""
        pattern = _wide(self.pattern[torch.arange(len(positions)), :, positions])
        return Attention(pattern, _for_heads(self.value, pattern.shape[1]))


class _Watch(TorchFunctionMode):
    """Keeps the arguments of the last attention that is computed inside."""

    def __init__(self):
        super().__init__()
        self.last: Scaled | _Product | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            call = Scaled(*args, **kwargs)
            self.last = call if call.query.ndim == 4 else None
        elif func in _PRODUCTS and len(args) == 2 and all(x.ndim == 4 for x in args):
            self.last = _Product(*args)
        return func(*args, **kwargs)


def _for_heads(x: Float[Tensor, "context own position d"], heads: int) -> Float[Tensor, "context heads position d"]:
    """Keys or values for each query head."""
    return _wide(x).repeat_interleave(heads // x.shape[1], dim=1)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
