"""The recipes' equations, transcribed in float64 without any of the library's arithmetic."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary, JumpReLU, Spec
from monosema.recipes import Moment, Recipe
from monosema.recipes.april_l1 import AprilL1Recipe
from monosema.recipes.batch_topk import BatchTopKRecipe
from monosema.recipes.entropy import EntropyRecipe
from monosema.recipes.gated import GatedRecipe
from monosema.recipes.gated_anneal import GatedAnnealRecipe
from monosema.recipes.gated_ri_l1 import GatedRiL1Recipe
from monosema.recipes.hierarchical_topk import HierarchicalTopKRecipe
from monosema.recipes.jumprelu import JumpReLURecipe
from monosema.recipes.jumprelu_tanh import JumpReLUTanhRecipe
from monosema.recipes.l1 import L1Recipe
from monosema.recipes.matryoshka import MatryoshkaRecipe
from monosema.recipes.p_anneal import PAnnealRecipe
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
    "blocks": {
        "d_in": 6,
        "d_out": 6,
        "wiring": "autoencoder",
        "reads": ("a",),
        "writes": ("a",),
        "encoder": "block_diagonal",
        "decoder": "block_diagonal",
        "blocks": 2,
    },
    "blocks that write everywhere": {
        "d_in": 6,
        "d_out": 4,
        "wiring": "transcoder",
        "reads": ("a",),
        "writes": ("b",),
        "encoder": "block_diagonal",
        "blocks": 2,
    },
}
WIDTH, BATCH = 20, 16
MOMENT = Moment(step=3, steps=100, batch_size=BATCH)  # inside every sparsity warm-up
LATE = Moment(step=60, steps=100, batch_size=BATCH)  # exponents below one, k at its end
# Thresholds and bandwidth so large that many pre-activations lie under the estimator's kernel.
WIDE: dict[str, Any] = {"threshold": 0.2, "bandwidth": 0.5}
RECIPES: list[Recipe] = [
    TopKRecipe(k=4),
    TopKRecipe(k=4, aux=0.5, aux_k=2),
    TopKRecipe(k=4, aux=0.0),
    TopKRecipe(k=2, k_start=9, k_anneal=0.5, aux=0.0),
    TopKRecipe(k=1, k_start=2, multi_topk=1 / 8),
    TopKRecipe(k=4, aux=0.0, ghost=1.0),
    BatchTopKRecipe(k=4, aux=0.5),
    BatchTopKRecipe(k=4, k_start=8),
    MatryoshkaRecipe(k=4, prefixes=(0.25, 0.5, 1.0)),
    MatryoshkaRecipe(k=4, prefixes=(0.1, 1.0), prefix_weights=(3.0, 1.0), aux=0.0),
    HierarchicalTopKRecipe(k=4),
    HierarchicalTopKRecipe(k=5, budgets=(1, 3, 5), aux=0.5),
    L1Recipe(sparsity=0.3),
    L1Recipe(sparsity=0.3, ghost=0.7),
    AprilL1Recipe(),
    AprilL1Recipe(sparsity=0.7, aux=0.5),
    GatedRecipe(sparsity=0.3),
    GatedRecipe(sparsity=0.3, aux=0.5),
    GatedRiL1Recipe(sparsity=0.3),
    GatedRiL1Recipe(sparsity=0.3, frozen=True),
    PAnnealRecipe(sparsity=0.3, p_start=0.0, p_stop=1.0),
    GatedAnnealRecipe(sparsity=0.3, p_start=0.0),
    EntropyRecipe(sparsity=0.3),
    JumpReLURecipe(**WIDE, penalty="target", target_l0=5.0),
    JumpReLURecipe(**WIDE, penalty="l0", sparsity=0.3),
    JumpReLURecipe(**WIDE, penalty="l0", sparsity=0.3, aux=0.5),
    JumpReLURecipe(**WIDE, penalty="target", target_l0=5.0, step_kernel="triangle"),
    JumpReLURecipe(**WIDE, penalty="target", target_l0=5.0, step_kernel="gaussian"),
    JumpReLURecipe(**WIDE, penalty="target", target_l0=5.0, step_kernel="epanechnikov", adaptive_bandwidth=0.5),
    JumpReLUTanhRecipe(**WIDE, sparsity=0.3, pre_activation=0.1),
]
KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "rectangle": lambda u: (u.abs() < 0.5).double(),
    "triangle": lambda u: torch.where(u.abs() < 1, 1 - u.abs(), 0.0),
    "gaussian": lambda u: torch.exp(-u * u / 2) / math.sqrt(2 * math.pi),
    "epanechnikov": lambda u: torch.where(u.abs() < 1, 0.75 * (1 - u * u), 0.0),
}


def label(recipe: Recipe) -> str:
    """The recipe, and what of it is not as by default."""
    defaults = type(recipe)()
    return "-".join([recipe.name, *(f"{k}={v}" for k, v in vars(recipe).items() if v != getattr(defaults, k))])


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dictionary_for(recipe: Recipe, wiring: str = "autoencoder") -> Dictionary:
    """A dictionary with random values in every learned parameter, rows of the decoder of any norm."""
    spec = Spec(width=WIDTH, subtracts_input_bias=recipe.subtracts_input_bias, **WIRINGS[wiring])
    dictionary = Dictionary(spec, recipe.activation(WIDTH))
    for seed, (name, parameter) in enumerate(dictionary.named_parameters()):
        if name == "activation.threshold":
            parameter.data.add_(0.1 * random(seed, WIDTH).abs())
        elif parameter.requires_grad:
            parameter.data.copy_(0.5 * random(seed, *parameter.shape))
    if isinstance(dictionary.activation, JumpReLU) and dictionary.activation.per_feature:
        dictionary.activation.bandwidth.uniform_(0.3, 0.9, generator=torch.Generator().manual_seed(50))
    return dictionary


def batch_for(dictionary: Dictionary, seed: int = 100) -> tuple[Tensor, Tensor]:
    x = random(seed, BATCH, dictionary.spec.d_in)
    return x, x if dictionary.spec.reads == dictionary.spec.writes else random(seed + 1, BATCH, dictionary.spec.d_out)


def some_dead() -> Tensor:
    return torch.arange(WIDTH) % 3 == 0


def dense(weight: Tensor) -> Tensor:
    """The matrix with all of its zeros."""
    return torch.block_diag(*weight) if weight.ndim == 3 else weight


class Setting:
    """What every equation begins with: the parameters in float64, z = (x − b) W_enc + b_enc, and a decoder."""

    def __init__(self, recipe: Recipe, dictionary: Dictionary, x: Tensor, y: Tensor, moment: Moment):
        learned = {name: value for name, value in dictionary.named_parameters() if value.requires_grad}
        self.p: Values = {name: value.detach().double().requires_grad_() for name, value in learned.items()}
        self.x, self.y, self.moment, self.dictionary = x.double(), y.double(), moment, dictionary
        centre = (self.p["b_in"] if "b_in" in self.p else self.p["b_dec"]) if recipe.subtracts_input_bias else 0.0
        self.pre = (self.x - centre) @ dense(self.p["W_enc"]) + self.p.get("b_enc", 0.0)
        self.W_dec = dense(self.p["W_dec"])
        self.norms = (self.W_dec**2).sum(1).sqrt()

    def residual(self, f: Tensor, frozen: bool = False) -> Tensor:
        p = {name: value.detach() for name, value in self.p.items()} if frozen else self.p
        skip = self.x @ p["W_skip"] if "W_skip" in p else 0.0
        return self.y - f @ dense(p["W_dec"]) - p["b_dec"] - skip

    def error(self, f: Tensor, frozen: bool = False) -> Tensor:
        return (self.residual(f, frozen) ** 2).sum(1).mean()

    def warmed(self, coefficient: Any, length: float) -> float:
        return coefficient * min(1.0, self.moment.step / self.moment.steps / length)


def expected(
    recipe: Recipe, dictionary: Dictionary, x: Tensor, y: Tensor, dead: Tensor, moment: Moment = MOMENT
) -> tuple[Tensor, Values]:
    """The total loss and its gradients in every learned parameter, in float64."""
    s = Setting(recipe, dictionary, x, y, moment)
    if isinstance(recipe, (JumpReLURecipe, JumpReLUTanhRecipe)):
        return _jumprelu(recipe, s, dead)
    total, f, gate = _LOSSES[type(recipe)](recipe, s)
    total = total + _revival(recipe, s, gate, s.residual(f).detach(), dead)
    return total.detach(), _gradients(total, s.p)


def _topk(recipe: Any, s: Setting):
    f = s.pre.clamp(min=0)
    k = _k(recipe, s.moment)
    kept = f * _largest_of_rows(f, k)
    total = s.error(kept)
    if recipe.multi_topk:
        total = total + recipe.multi_topk * s.error(f * _largest_of_rows(f, 4 * k))
    return total, kept, s.pre


def _batch_topk(recipe: Any, s: Setting):
    f = s.pre.clamp(min=0)
    kept = f * _largest(f, _k(recipe, s.moment) * len(f))
    return s.error(kept), kept, s.pre


def _matryoshka(recipe: MatryoshkaRecipe, s: Setting):
    _, kept, _ = _batch_topk(recipe, s)
    ends = [round(fraction * WIDTH) for fraction in recipe.prefixes]
    weights = recipe.prefix_weights or [1.0] * len(ends)
    n = len(s.p["W_dec"]) if s.p["W_dec"].ndim == 3 else 1
    place = n * (torch.arange(WIDTH) % (WIDTH // n))  # a prefix has the first features of every block
    errors = [s.error(torch.where(place < end, kept, 0.0)) for end in ends]
    return sum(w * e for w, e in zip(weights, errors, strict=True)) / sum(weights), kept, s.pre


def _hierarchical(recipe: HierarchicalTopKRecipe, s: Setting):
    f = s.pre.clamp(min=0)
    budgets = recipe.budgets or range(1, recipe.k + 1)
    total = sum(s.error(f * _largest_of_rows(f, j)) for j in budgets) / len(budgets)
    return total, f * _largest_of_rows(f, recipe.k), s.pre


def _l1(recipe: L1Recipe, s: Setting):
    f = s.pre.clamp(min=0)
    return s.error(f) + s.warmed(recipe.sparsity, recipe.sparsity_warmup) * f.sum(1).mean(), f, s.pre


def _april(recipe: AprilL1Recipe, s: Setting):
    f = s.pre.clamp(min=0)
    coefficient = 5.0 if recipe.sparsity == "auto" else recipe.sparsity
    return s.error(f) + s.warmed(coefficient, recipe.sparsity_warmup) * (f * s.norms).sum(1).mean(), f, s.pre


def _gated(recipe: Any, s: Setting):
    gate = s.pre + s.p["activation.b_gate"]
    f = torch.where(gate > 0, (s.p["activation.r_mag"].exp() * s.pre + s.p["activation.b_mag"]).clamp(min=0), 0.0)
    opened = gate.clamp(min=0)
    norms, frozen = 1.0, True
    if isinstance(recipe, GatedRiL1Recipe):
        norms, frozen = (s.norms.detach() if recipe.frozen else s.norms), recipe.frozen
    power = _powers(recipe, s.moment, opened) if isinstance(recipe, GatedAnnealRecipe) else opened
    penalty = s.warmed(recipe.sparsity, recipe.sparsity_warmup) * (power * norms).sum(1).mean()
    return s.error(f) + penalty + s.error(opened, frozen=frozen), f, gate


def _p_anneal(recipe: PAnnealRecipe, s: Setting):
    f = s.pre.clamp(min=0)
    penalty = s.warmed(recipe.sparsity, recipe.sparsity_warmup) * _powers(recipe, s.moment, f).sum(1).mean()
    return s.error(f) + penalty, f, s.pre


def _entropy(recipe: EntropyRecipe, s: Setting):
    f = s.pre.clamp(min=0)
    share = f / f.sum(1, keepdim=True)
    entropy = -torch.where(f > 0, share * torch.where(f > 0, share, 1.0).log(), 0.0).sum(1).mean()
    return s.error(f) + s.warmed(recipe.sparsity, recipe.sparsity_warmup) * entropy, f, s.pre


_LOSSES: dict[type, Callable] = {
    TopKRecipe: _topk,
    BatchTopKRecipe: _batch_topk,
    MatryoshkaRecipe: _matryoshka,
    HierarchicalTopKRecipe: _hierarchical,
    L1Recipe: _l1,
    AprilL1Recipe: _april,
    GatedRecipe: _gated,
    GatedRiL1Recipe: _gated,
    GatedAnnealRecipe: _gated,
    PAnnealRecipe: _p_anneal,
    EntropyRecipe: _entropy,
}


def _jumprelu(recipe: Any, s: Setting, dead: Tensor) -> tuple[Tensor, Values]:
    """θ has no true gradient: its pseudo-derivatives (equations 11 and 12 of the paper) are written out by hand."""
    assert isinstance(s.dictionary.activation, JumpReLU)
    eps = s.dictionary.activation.bandwidth.double()
    learned = s.p["activation.threshold"]
    theta = learned.detach()
    on = (s.pre > theta).double()
    f = s.pre * on
    loss = s.error(f)
    kernel = KERNELS[recipe.step_kernel]((s.pre.detach() - theta) / eps)
    by_step = torch.zeros(WIDTH, dtype=torch.float64)  # what reaches θ through H(π − θ) alone
    if isinstance(recipe, JumpReLUTanhRecipe):
        coefficient = s.warmed(recipe.sparsity, recipe.sparsity_warmup)
        loss = loss + coefficient * torch.tanh(recipe.tanh_scale * s.norms * f).sum(1).mean()
    else:
        l0 = on.sum(1).mean()
        coefficient = s.warmed(1.0 if recipe.sparsity == "auto" else recipe.sparsity, recipe.sparsity_warmup)
        penalty, slope = l0, 1.0
        if recipe.penalty == "target":
            penalty, slope = (l0 / recipe.target_l0 - 1) ** 2, 2 * (l0 / recipe.target_l0 - 1) / recipe.target_l0
        loss = loss + coefficient * penalty
        by_step = coefficient * slope * (-kernel / eps).sum(0) / len(f)
    (by_code,) = torch.autograd.grad(loss, f, retain_graph=True)
    total = loss + _revival(recipe, s, s.pre, s.residual(f).detach(), dead)
    if isinstance(recipe, JumpReLUTanhRecipe):
        total = total + recipe.pre_activation * ((learned - s.pre).clamp(min=0) * s.norms).sum(1).mean()
    gradients = _gradients(total, s.p)
    gradients["activation.threshold"] = (
        gradients["activation.threshold"] + (-(theta / eps) * kernel * by_code).sum(0) + by_step
    )
    return total.detach(), gradients


def _revival(recipe: Recipe, s: Setting, gate: Tensor, error: Tensor, dead: Tensor) -> Tensor | float:
    if recipe.aux:
        return recipe.aux * auxk(gate, s.W_dec, error, dead, recipe.aux_k or s.y.shape[1] // 2)
    return recipe.ghost * ghost(gate, s.W_dec, error, dead) if recipe.ghost else 0.0


def auxk(pre: Tensor, W_dec: Tensor, error: Tensor, dead: Tensor, k: int) -> Tensor:
    """‖e − ê‖² / ‖e − ē‖², dense."""
    candidates = pre.masked_fill(~dead, -torch.inf)
    mask = _largest_of_rows(candidates, k) & dead
    explained = torch.where(mask, pre.clamp(min=0), 0.0) @ W_dec
    return ((error - explained) ** 2).sum() / ((error - error.mean(0)) ** 2).sum()


def ghost(pre: Tensor, W_dec: Tensor, error: Tensor, dead: Tensor) -> Tensor:
    """The ghost's distance from the residual, times the constant that makes it as large as the main error."""
    made = torch.where(dead, pre.exp(), 0.0) @ W_dec
    halved = made * (error.norm(dim=1) / (2 * made.norm(dim=1))).detach()[:, None]
    distance = ((error - halved) ** 2).sum(1).mean()
    return distance * ((error**2).sum(1).mean() / distance).detach()


def _k(recipe: Any, moment: Moment) -> int:
    if recipe.k_start is None:
        return recipe.k
    done = min(1.0, moment.step / moment.steps / recipe.k_anneal)
    return recipe.k_start - int((recipe.k_start - recipe.k) * done)


def _powers(recipe: Any, moment: Moment, f: Tensor) -> Tensor:
    """f^p, with p falling from 1 in equal steps; below 0.001 the chord from zero."""
    stage = min(int(moment.step / moment.steps / recipe.p_stop * recipe.p_steps), recipe.p_steps)  # p_start is 0 here
    p = 1 - (1 - recipe.p_end) * stage / recipe.p_steps
    return torch.where(f > 1e-3, f.clamp(min=1e-3) ** p, f / 1e-3 * 1e-3**p)


def _gradients(total: Tensor, p: Values) -> Values:
    gradients = torch.autograd.grad(total, list(p.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(p, gradients, strict=True))


def _largest_of_rows(values: Tensor, k: int) -> Tensor:
    """Marks the k largest of each row, by sorting."""
    return values.argsort(1, descending=True).argsort(1) < k


def _largest(values: Tensor, k: int) -> Tensor:
    return _largest_of_rows(values.flatten()[None], k).view_as(values)
