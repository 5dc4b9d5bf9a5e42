"""The recipes' equations, transcribed in float64 without any of the library's arithmetic."""

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary, JumpReLU, Spec
from monosema.recipes import Moment, Recipe
from monosema.recipes.april_l1 import AprilL1Recipe
from monosema.recipes.batch_topk import BatchTopKRecipe
from monosema.recipes.jumprelu import JumpReLURecipe
from monosema.recipes.topk import TopKRecipe

Values = dict[str, Tensor]

WIRINGS = {
    "autoencoder": {"d_in": 6, "d_out": 6, "wiring": "autoencoder", "reads": ("a",), "writes": ("a",)},
    "transcoder": {"d_in": 6, "d_out": 4, "wiring": "transcoder", "reads": ("a",), "writes": ("b",)},
    "transcoder with skip": {
        "d_in": 6,
        "d_out": 4,
        "wiring": "transcoder",
        "reads": ("a",),
        "writes": ("b",),
        "skip": True,
    },
}
WIDTH, BATCH = 20, 16
MOMENT = Moment(step=3, steps=100, batch_size=BATCH)  # inside every sparsity warm-up
# Thresholds and bandwidth so large that many pre-activations lie under the estimator's rectangle.
RECIPES: list[Recipe] = [
    TopKRecipe(k=4),
    TopKRecipe(k=4, aux=0.5, aux_k=2),
    TopKRecipe(k=4, aux=0.0),
    BatchTopKRecipe(k=4, aux=0.5),
    AprilL1Recipe(),
    JumpReLURecipe(threshold=0.2, bandwidth=0.5, target_l0=5.0),
    JumpReLURecipe(threshold=0.2, bandwidth=0.5, target_l0=None, l0=0.3),
]


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dictionary_for(recipe: Recipe, wiring: str = "autoencoder") -> Dictionary:
    """A dictionary with random values in every parameter, rows of the decoder of any norm."""
    spec = Spec(width=WIDTH, subtracts_input_bias=recipe.subtracts_input_bias, **WIRINGS[wiring])
    dictionary = Dictionary(spec, recipe.activation(WIDTH))
    for seed, (name, parameter) in enumerate(dictionary.named_parameters()):
        if name == "activation.threshold":
            parameter.data.add_(0.1 * random(seed, WIDTH).abs())
        else:
            parameter.data.copy_(0.5 * random(seed, *parameter.shape))
    return dictionary


def batch_for(dictionary: Dictionary, seed: int = 100) -> tuple[Tensor, Tensor]:
    x = random(seed, BATCH, dictionary.spec.d_in)
    return x, x if dictionary.spec.reads == dictionary.spec.writes else random(seed + 1, BATCH, dictionary.spec.d_out)


def some_dead() -> Tensor:
    return torch.arange(WIDTH) % 3 == 0


def expected(recipe: Recipe, dictionary: Dictionary, x: Tensor, y: Tensor, dead: Tensor) -> tuple[Tensor, Values]:
    """The total loss and its gradients in every parameter, in float64."""
    p = {name: value.detach().double().requires_grad_() for name, value in dictionary.named_parameters()}
    x, y = x.double(), y.double()
    centre = (p["b_in"] if "b_in" in p else p["b_dec"]) if recipe.subtracts_input_bias else torch.zeros(()).double()
    pre = (x - centre) @ p["W_enc"] + p["b_enc"]
    skip = x @ p["W_skip"] if "W_skip" in p else 0
    if isinstance(recipe, JumpReLURecipe):
        assert isinstance(dictionary.activation, JumpReLU)
        return _jumprelu(recipe, p, pre, y, skip)
    if isinstance(recipe, AprilL1Recipe):
        f = pre.clamp(min=0)
        norms = (p["W_dec"] ** 2).sum(1).sqrt()
        penalty = (f * norms).sum(1).mean() * recipe.l1 * _warm_up(recipe.sparsity_warmup)
        total = ((y - f @ p["W_dec"] - p["b_dec"] - skip) ** 2).sum(1).mean() + penalty
    else:
        assert isinstance(recipe, (TopKRecipe, BatchTopKRecipe))
        f = pre.clamp(min=0)
        f = f * (_largest_of_rows(f, recipe.k) if isinstance(recipe, TopKRecipe) else _largest(f, recipe.k * len(f)))
        error = y - f @ p["W_dec"] - p["b_dec"] - skip
        total = (error**2).sum(1).mean()
        if recipe.aux:
            total = total + recipe.aux * auxk(pre, p["W_dec"], error.detach(), dead, recipe.aux_k or y.shape[1] // 2)
    return total.detach(), _gradients(total, p)


def auxk(pre: Tensor, W_dec: Tensor, error: Tensor, dead: Tensor, k: int) -> Tensor:
    """‖e − ê‖² / ‖e − ē‖², dense."""
    candidates = pre.masked_fill(~dead, -torch.inf)
    mask = _largest_of_rows(candidates, k) & dead
    explained = torch.where(mask, pre.clamp(min=0), 0.0) @ W_dec
    return ((error - explained) ** 2).sum() / ((error - error.mean(0)) ** 2).sum()


def _jumprelu(recipe: JumpReLURecipe, p: Values, pre: Tensor, y: Tensor, skip) -> tuple[Tensor, Values]:
    """θ has no true gradient: its pseudo-derivatives (equations 11 and 12 of the paper) are written out by hand."""
    theta, eps = p.pop("activation.threshold").detach(), recipe.bandwidth
    on = (pre > theta).double()
    f = pre * on
    error = ((y - f @ p["W_dec"] - p["b_dec"] - skip) ** 2).sum(1).mean()
    l0 = on.sum(1).mean()
    weight = recipe.l0 * _warm_up(recipe.sparsity_warmup)
    if recipe.target_l0 is None:
        penalty, slope = l0, 1.0
    else:
        penalty, slope = (l0 / recipe.target_l0 - 1) ** 2, 2 * (l0 / recipe.target_l0 - 1) / recipe.target_l0
    kernel = ((pre.detach() - theta).abs() < eps / 2).double()
    (by_code,) = torch.autograd.grad(error, f, retain_graph=True)
    threshold = (-(theta / eps) * kernel * by_code).sum(0) + weight * slope * (-kernel / eps).sum(0) / len(y)
    return (error + weight * penalty).detach(), {**_gradients(error, p), "activation.threshold": threshold}


def _gradients(total: Tensor, p: Values) -> Values:
    gradients = torch.autograd.grad(total, list(p.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(p, gradients, strict=True))


def _warm_up(length: float) -> float:
    return min(1.0, MOMENT.step / MOMENT.steps / length)


def _largest_of_rows(values: Tensor, k: int) -> Tensor:
    """Marks the k largest of each row, by sorting."""
    return values.argsort(1, descending=True).argsort(1) < k


def _largest(values: Tensor, k: int) -> Tensor:
    return _largest_of_rows(values.flatten()[None], k).view_as(values)
