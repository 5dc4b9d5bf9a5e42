"""Draws the figures of the pages on concepts and on recipes, from dictionaries that it trains: docs/images/.

    python scripts/concept_figures.py                 # all: some ten minutes on two cores
    python scripts/concept_figures.py directions      # or: recipes, codes, directions

`directions`: how much random directions interfere. `codes`: what one activation of the embedded model is made of.
`recipes`: for each recipe what its codes do in a world whose features are known.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import monosema as ms
from monosema.evaluation.known_truth import match_features
from monosema.recipes import recipes
from monosema.recipes.batch_topk import BatchTopKRecipe
from monosema.synthetic import Magnitudes, SyntheticConfig, SyntheticSource, World

IMAGES = Path(__file__).parent.parent / "docs" / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#7a7a7a"

WORLD = SyntheticConfig(features=256, d=64, probabilities=0.02, magnitudes=Magnitudes(1.0, spread=1.0))
L0 = 5.12
"""How many features fire at a time in that world."""
STEPS, BATCH, SHOWN = 1500, 2048, 4000
REVIVED = {"aux": 0.25, "dead_after": 50_000}
SETTINGS: dict[str, dict[str, Any]] = {
    "topk": {"k": 5},
    "batch_topk": {"k": 5, **REVIVED},
    "matryoshka": {"k": 5, **REVIVED},
    "hierarchical_topk": {"k": 5},
    "jumprelu": {"target_l0": L0, "lr": 0.02, "threshold": 0.1, "bandwidth": 0.03, **REVIVED},
    "jumprelu_tanh": {"target_l0": L0, **REVIVED},
    "april_l1": {"target_l0": L0, "sparsity_warmup": 0.5},
    "gated": {"target_l0": L0, "lr": 0.01},
}
"""What helps where there are just as many features as in the world (docs/synthetic.md); else an L0 of the world's."""


def draw_recipes() -> None:
    """Trains every recipe on one stream, and draws a picture of each."""
    world = World(WORLD)
    source = SyntheticSource(world, BATCH, seed=0)
    spec, sample = ms.Spec.autoencoder("synthetic", d=WORLD.d, width=WORLD.features), source.sample(16_384)
    learners = {
        name: ms.Learner(
            spec, recipes[name](**SETTINGS.get(name, {"target_l0": L0})), sample, steps=STEPS, batch_size=BATCH
        )
        for name in sorted(recipes)
    }
    ms.train(source, learners, STEPS)
    batch, codes = SyntheticSource(world, SHOWN, seed=-1).next_with_codes()
    for name, learner in learners.items():
        save(recipe_picture(learner.finished(), world, batch["synthetic"], codes.to_dense()), f"recipes/{name}")


@torch.no_grad()
def recipe_picture(dictionary: ms.Dictionary, world: World, x: Tensor, truth: Tensor) -> Figure:
    """Of a typical feature: what its code is of its pre-activation and of the truth; and how many features fire."""
    dictionary.eval()
    matching = match_features(world.directions, dictionary.W_dec)
    typical = matching.cosine.argsort()[len(matching.cosine) // 2]
    true, learned = matching.true[typical], matching.learned[typical]
    pre, codes = dictionary.preactivations(x)[:, learned], dictionary.encode(x)
    strength = codes[:, learned] * dictionary.decoder_norms()[learned]
    fires = truth[:, true] > 0
    figure, (first, second, third) = plt.subplots(1, 3, figsize=(9, 2.7), layout="constrained")
    for kind, colour, label in ((~fires, GREY, "the true feature is silent"), (fires, BLUE, "it fires")):
        first.plot(pre[kind], codes[kind, learned], ".", color=colour, markersize=4, alpha=0.6, label=label)
    first.set(xlabel="pre-activation", ylabel="code", title="One feature's code")
    first.legend(fontsize=7, loc="upper left")
    _against_truth(second, truth[:, true], strength)
    third.hist([(codes > 0).sum(1), (truth > 0).sum(1)], bins=np.arange(18) - 0.5, color=[BLUE, GREY], density=True)
    third.legend(["codes", "truth"], fontsize=7)
    third.set(
        xlabel="features active", ylabel="share of activations", title=f"L0 {(codes > 0).sum(1).float().mean():.1f}"
    )
    return figure


def _against_truth(axes: Axes, true: Tensor, learned: Tensor) -> None:
    highest = max(true.max().item(), learned.max().item()) * 1.05
    axes.plot([0, highest], [0, highest], color=GREY, linewidth=1)
    axes.plot(true, learned, ".", color=ORANGE, markersize=4, alpha=0.6)
    axes.set(xlabel="true magnitude", ylabel="code × decoder norm", title="Against the truth")


def draw_codes() -> None:
    """What one activation of the embedded model is made of, and how much of it the strongest features explain."""
    model = ms.load_model("tiny")
    text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", 256, repeat=True), window=2**22)
    source = ms.ModelSource(model, text, ["resid_post.2"], batch_size=512)
    spec = ms.Spec.autoencoder("resid_post.2", d=256, width=4096)
    learner = ms.Learner(spec, BatchTopKRecipe(k=32), source.sample(16_384), steps=1000, batch_size=512)
    ms.train(source, {"batch_topk": learner}, 1000)
    save(codes_picture(learner.finished(), next(iter(source))["resid_post.2"].float()), "concepts/codes")


@torch.no_grad()
def codes_picture(dictionary: ms.Dictionary, x: Tensor) -> Figure:
    """The codes of one of these activations, and the variance of all of them that their strongest features explain."""
    codes = dictionary.encode(x)
    figure, (first, second) = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
    row = codes[0].cpu()
    first.bar(np.arange(len(row)), row, width=12, color=BLUE)
    first.set(xlabel="feature", ylabel="code", title=f"One activation: {int((row > 0).sum())} of {len(row)} features")
    kept = [0, 1, 2, 4, 8, 16, 32, 64]
    total = (x - x.mean(0)).square().sum()
    explained = [100 * (1 - (x - dictionary.decode(_strongest(codes, k))).square().sum() / total).item() for k in kept]
    second.plot(kept, explained, "o-", color=ORANGE)
    second.set_xscale("symlog", base=2)
    second.set_xticks(kept, [str(k) for k in kept])
    second.set(xlabel="strongest features kept", ylabel="variance explained (%)", title="512 activations")
    return figure


def _strongest(codes: Tensor, k: int) -> Tensor:
    kept = codes.topk(k, dim=1) if k else None
    return torch.zeros_like(codes) if kept is None else torch.zeros_like(codes).scatter(1, kept.indices, kept.values)


def draw_directions() -> None:
    """Cosines between random directions, and how well one feature is read off while others fire."""
    generator = torch.Generator().manual_seed(0)
    figure, (first, second) = plt.subplots(1, 2, figsize=(9, 2.9), layout="constrained")
    for d, colour in ((16, GREY), (256, BLUE), (4096, ORANGE)):
        directions = F.normalize(torch.randn(1500, d, generator=generator), dim=1)
        cosines = (directions @ directions.T)[torch.triu_indices(1500, 1500, 1).unbind()]
        first.hist(cosines, bins=np.linspace(-1, 1, 161), density=True, histtype="step", color=colour, label=f"d = {d}")
    first.set(xlabel="cosine", ylabel="density", title="Two random directions", xlim=(-0.8, 0.8))
    first.legend(fontsize=8)
    fires = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
    for d, colour in ((64, GREY), (256, BLUE), (1024, ORANGE)):
        second.plot(
            fires, [_misread(d, int(count), generator) for count in fires], "o-", color=colour, label=f"d = {d}"
        )
    second.set(
        xlabel="features that fire at once",
        ylabel="error of the reading",
        title="A feature's magnitude, by its direction",
    )
    second.set_xscale("log", base=2)
    second.legend(fontsize=8)
    save(figure, "concepts/directions")


def _misread(d: int, fires: int, generator: torch.Generator) -> float:
    """Root mean squared error of x · d_1, where x is the sum of so many unit directions, the first of them d_1."""
    directions = F.normalize(torch.randn(400, fires, d, generator=generator), dim=-1)
    return ((directions.sum(1) * directions[:, 0]).sum(1) - 1).square().mean().sqrt().item()


def save(figure: Figure, name: str) -> None:
    path = IMAGES / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    print(path, flush=True)


FIGURES: dict[str, Callable[[], None]] = {"directions": draw_directions, "codes": draw_codes, "recipes": draw_recipes}


def main(names: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which; by default all")
    mpl.use("Agg")
    torch.manual_seed(0)
    for name in parser.parse_args(names).names or FIGURES:
        FIGURES[name]()


if __name__ == "__main__":
    main()
