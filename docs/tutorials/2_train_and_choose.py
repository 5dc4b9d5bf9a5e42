# %% [markdown]
# # Train several dictionaries, and choose one
#
# Which sparse autoencoder should one train? Every paper has its own protocol, and every protocol a knob for sparsity.
# The usual way to find out is to train several on the same activations and to look at the trade-off: how few features
# describe an activation, and how much is lost. Here four protocols (TopK, arXiv 2406.04093; BatchTopK, 2412.06410;
# JumpReLU, 2407.14435; L1 as in Anthropic's April 2024 update) learn at two sparsities each, all on one stream of a
# small language model's activations. You learn to read the figures, choose one dictionary, save it and load it, and
# then the same as one command.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import torch

import monosema as ms
from monosema.config import load_yaml
from monosema.recipes import recipes

# %% [markdown]
# ## The stream
#
# A *hook point* is a place in a model, here the residual stream behind layer 2 of the embedded model `tiny`. `Contexts`
# cuts the text into rows of 128 tokens, `MixedContexts` takes them from all over the text, and `ModelSource` runs the
# model on them and shuffles the activations, so that a batch has tokens of many documents. The model is run no deeper
# than needed.

# %%
model = ms.load_model("tiny")
point = "resid_post.2"
text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", 128, repeat=True), window=2**18)
source = ms.ModelSource(model, text, [point], batch_size=512, buffer_rows=2**14)
d = source.widths[point]
print(f"activations of size {d}")

# %% [markdown]
# ## Eight learners
#
# A *recipe* is a published protocol with its defaults. Those of the TopK family are given `k`, the number of active
# features, or L0. The others have a penalty. Its coefficient (`sparsity`) is in units of the recipe's own, and which L0
# it leads to is seen afterwards: those below were found by trying. Or `target_l0` has the coefficient found while
# training. `lr` is chosen by recipe, width, batch and length.

# %%
wanted = {
    "topk few": recipes["topk"](k=16),
    "topk many": recipes["topk"](k=48),
    "batch_topk few": recipes["batch_topk"](k=16),
    "batch_topk many": recipes["batch_topk"](k=48),
    "jumprelu few": recipes["jumprelu"](target_l0=16),
    "jumprelu many": recipes["jumprelu"](target_l0=48),
    "april_l1 few": recipes["april_l1"](sparsity=1.2),
    "april_l1 many": recipes["april_l1"](sparsity=0.6),
}
spec = ms.Spec.autoencoder(point, d=d, width=512)
sample = source.sample(8192)
learners = {name: ms.Learner(spec, recipe, sample, steps=180, batch_size=512) for name, recipe in wanted.items()}

# %% [markdown]
# `train` gives every learner the same batches. Whoever wants to know how it goes is an *observer*, anything with this
# method:


# %%
class Curves:
    """Keeps what every step tells of every dictionary."""

    def __init__(self):
        self.steps = []

    def on_step(self, step, metrics):
        """One step is done."""
        self.steps.append(metrics)

    def of(self, name, figure):
        """One figure of one dictionary, step by step."""
        return [metrics[name][figure] for metrics in self.steps]


curves = Curves()
ms.train(source, learners, observers=[curves])

# %%
colours = {"topk": "tab:blue", "batch_topk": "tab:orange", "jumprelu": "tab:green", "april_l1": "tab:purple"}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for name, recipe in wanted.items():
    style = {"color": colours[recipe.name], "linestyle": "-" if name.endswith("few") else "--"}
    thousands = [tokens / 1000 for tokens in curves.of(name, "tokens")]
    axes[0].plot(thousands, curves.of(name, "fve"), label=name, **style)
    axes[1].plot(thousands, curves.of(name, "l0"), **style)
axes[0].set(title="reconstruction of each batch", xlabel="tokens (thousands)", ylabel="variance explained", ylim=(0, 1))
axes[1].set(title="sparsity", xlabel="tokens (thousands)", ylabel="active features per token", yscale="log")
figure.legend(loc="outside right center")

assert abs(curves.of("jumprelu many", "l0")[-1] / 48 - 1) < 0.2

# %% [markdown]
# The TopK family has its L0 from the first step on. With `target_l0`, JumpReLU begins dense; a controller raises the
# penalty, overshoots, and swings into the L0 that was asked for. L1 with a fixed coefficient goes where it will. Ninety
# thousand tokens are few for all of them: published dictionaries have seen a thousand to a hundred thousand times as
# many.
#
# ## What is measured
#
# Held-out text is text that neither the model nor the dictionaries have seen; `MixedContexts` takes it from many files,
# for a single one is no sample. `finished` makes a dictionary that takes raw activations (learners scale and rotate
# them for themselves).

# %%
text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:heldout", 128), window=2**17)
heldout = ms.take_contexts(text, tokens=3072)
dictionaries = {name: learner.finished() for name, learner in learners.items()}
evaluations = ms.evaluate(dictionaries, model, heldout)
found = {name: evaluation.metrics for name, evaluation in evaluations.items()}

print("dictionary         L0   variance explained   CE recovered   alive   shrinkage")
for name, m in found.items():
    print(f"{name:15s} {m.l0:5.1f} {m.fve:20.3f} {m.ce_recovered:14.3f} {m.alive:7.1%} {m.reconstruction_bias:11.3f}")

# %% [markdown]
# - **L0**: mean number of active features for each token. `batch_topk` has a threshold in place of the batch when it is
#   used, so that its L0 on other text is not exactly `k`.
# - **Variance explained** (FVE): 1 − squared error / variance. Predicting the mean scores 0.
# - **CE recovered**: the dictionary's output takes the activation's place in the running model. 1 if the model predicts
#   the next token as well as before, 0 if as badly as with zeros. It weighs errors by what they do to the model, which
#   variance explained does not.
# - **Alive**: features that fire on at least one held-out token. It depends on how many tokens that are.
# - **Shrinkage** (`reconstruction_bias`): Σ‖x̂‖² / Σ x·x̂. Below 1, reconstructions are too short: an L1 penalty pays
#   for small codes as it pays for few.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
for ax, figure_name, label in zip(axes, ("fve", "ce_recovered"), ("variance explained", "CE recovered"), strict=True):
    for recipe, colour in colours.items():
        both = [found[f"{recipe} {how_many}"] for how_many in ("few", "many")]
        ax.plot([m.l0 for m in both], [getattr(m, figure_name) for m in both], "o-", color=colour, label=recipe)
    ax.set(xlabel="L0: active features per token", ylabel=label, title=f"{label}, held-out text")
axes[0].legend()

assert all(found[f"{recipe} many"].fve > found[f"{recipe} few"].fve for recipe in colours)
assert found["batch_topk few"].ce_recovered > found["april_l1 few"].ce_recovered

# %% [markdown]
# Up and to the left is better: more explained by fewer features. Compare curves at the same L0, never points at
# different ones. An L1 penalty is behind here for two reasons. One is shrinkage, whose cost the table shows. The other
# is in the next figure: how often features fire.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained", sharey=True)
for ax, how_many in zip(axes, ("few", "many"), strict=True):
    for recipe, colour in colours.items():
        density = evaluations[f"{recipe} {how_many}"].density
        never = f"{(density == 0).double().mean():.0%} never"
        logs = density[density > 0].log10().tolist()
        ax.hist(logs, bins=30, range=(-4, 0), histtype="step", color=colour, label=f"{recipe}, {never}")
    ax.set(title=f"{how_many} active features", xlabel="log₁₀ share of tokens on which a feature fires")
    ax.legend(loc="upper left", fontsize=8)
axes[0].set_ylabel("features")

assert found["april_l1 few"].reconstruction_bias < 0.97 < found["batch_topk few"].reconstruction_bias
assert found["april_l1 few"].alive < found["batch_topk few"].alive

# %% [markdown]
# A feature that never fires explains nothing and gets no gradient: it is *dead*. The L1 dictionaries lose many in a run
# this short, since the penalty reaches features before they have found anything to say. TopK's recipes have a loss of
# their own for dead features (AuxK). On the right side of the histogram are features that fire on every tenth token or
# more: they are hard to put into words, and many of them are a sign that L0 is too large for the width.
#
# ## Choose, save, load
#
# There is no best dictionary without a purpose. For reading features few at a time, take the sparser ones; for a
# circuit or for steering, where what is missing disturbs, the more faithful ones. We want at most twenty features per
# token, and of those the one that keeps most of the model's predictions.

# %%
sparse = {name: m for name, m in found.items() if m.l0 < 20}
chosen = max(sparse, key=lambda name: sparse[name].ce_recovered)
dictionary = dictionaries[chosen]
dictionary.metadata |= {"name": chosen, "model": "tiny", "text": "tiny:train", "context": 128}
ms.save(dictionary, "runs/chosen")
again = ms.load("runs/chosen")

x = ms.read(model, heldout[:1], [point])[point][0].float()
codes = again.encode(x)
assert torch.equal(codes, dictionary.encode(x))
print(f"{chosen}: codes of shape {list(codes.shape)}, {(codes > 0).sum(1).float().mean():.1f} active per token")
print(sorted(path.name for path in Path("runs/chosen").iterdir()))

# %% [markdown]
# What lies there are a safetensors file and JSON. The metadata say which model and text it belongs to, so that every
# command can use it: `monosema evaluate runs/chosen`, `monosema dashboard runs/chosen`, `monosema steer runs/chosen …`.
#
# ## The same as one command
#
# A run is a YAML file, in which a list of values stands for a dictionary with each. This is the grid above (with what
# was left to defaults, left to defaults).

# %%
Path("runs/grid.yaml").write_text("""\
model: tiny
text: tiny:train
context: 128
tokens: 92_160
dictionaries:
  - {site: resid_post.2, width: 512, recipe: {name: topk, k: [16, 48]}}
  - {site: resid_post.2, width: 512, recipe: {name: batch_topk, k: [16, 48]}}
  - {site: resid_post.2, width: 512, recipe: {name: jumprelu, target_l0: [16, 48]}}
  - {site: resid_post.2, width: 512, recipe: {name: april_l1, sparsity: [1.2, 0.6]}}
""")
config = load_yaml(ms.RunConfig, "runs/grid.yaml")
assert [dictionary.recipe for dictionary in config.dictionaries] == list(wanted.values())
print(len(config.dictionaries), "dictionaries,", config.tokens, "tokens")

# %% [markdown]
# `ms.run(config, "runs/grid")` trains and measures it, and writes dictionaries, figures, curves and a report. So does
# the command line, with the file or without it:
#
#     monosema plan runs/grid.yaml --hardware cpu        # time and memory, before it starts
#     monosema train --config runs/grid.yaml --out runs/grid
#     monosema train --site resid_post.2 --width 512 --recipe topk batch_topk --k 16 48 --out runs/other
#
# ## What to be careful about
#
# - These figures are of one seed, 512 features and 92,160 tokens; differences of a per cent mean nothing here. L1 is
#   further behind than it is in a long run. [Quality](../quality.md) has all recipes at several sparsities, over seeds,
#   with 1.5 million tokens and more.
# - A better trade-off is not a better dictionary in every way: none of these figures says whether features *mean*
#   something, or whether another seed would find them again. The first tutorial shows a dictionary that explains
#   everything and has found nothing.
# - CE recovered is near 1 for mediocre dictionaries, since zeros are a very bad baseline. Look at the difference in
#   nats, too (`ce_diff`).
#
# ## Try
#
# - Double the tokens (`steps=360`). Which recipe gains most?
# - Add `recipes["matryoshka"](k=16)` and `recipes["gated"](target_l0=16)` to the grid.
# - Give one wide dictionary (2,048 features) the same tokens. What happens to `alive`?
# - How much of L1's loss is shrinkage? `monosema pursuit runs/grid` finds the best codes for each decoder.
#
# ## On
#
# [Recipes](../recipes.md) has their equations; [Metrics](../metrics.md) says how every figure is defined and where
# other evaluators differ; [Questions](../faq.md) how wide, how long, how sparse. The next tutorial looks at single
# features.
