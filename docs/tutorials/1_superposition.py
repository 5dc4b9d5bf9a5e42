# %% [markdown]
# # Superposition, and out of it again
#
# Sparse autoencoders are an answer to a question: how can a network know more things than it has neurons? Elhage et al.
# 2022 ([Toy Models of Superposition](https://transformer-circuits.pub/2022/toy_model/index.html)) built the smallest
# network in which that happens. Here you train it, look at its weights as its inputs become sparse, take it apart with
# a dictionary and check the dictionary against the truth, which is known for once. Then the same is done to a neuron of
# a language model, where nobody knows the truth. You need PyTorch and no knowledge of autoencoders.

# %%
import matplotlib.pyplot as plt
import torch

import monosema as ms
from monosema.analysis import neuron_parts, render_example, top_examples
from monosema.evaluation.known_truth import cosine_table, match_features
from monosema.recipes import recipes
from monosema.synthetic import ToyConfig, train_toy

# %% [markdown]
# ## A network that has too little room
#
# The input x has n *features*: numbers that are zero with probability 1 − p, else uniform between 0 and 1. The network
# squeezes them through d < n dimensions and has to give them back:
#
#     h = Wᵀ x        x′ = ReLU(W h + b)        W: [n, d]
#
# Row i of W is the direction in which the network writes feature i. (The paper's W is the transpose of this one.) We
# call p the density. `train_toy` trains one model for each density, all in one batch. First five features in a plane,
# where they can be drawn.

# %%
config = ToyConfig(features=5, d=2, densities=(1.0, 0.3, 0.05), steps=800, lr=0.03, restarts=2)
plane = train_toy(config)

figure, axes = plt.subplots(1, 3, figsize=(8, 3), layout="constrained", sharex=True, sharey=True)
for ax, W, density in zip(axes, plane.W, config.densities, strict=True):
    for i, (x, y) in enumerate(W.tolist()):
        ax.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": f"C{i}", "lw": 2})
    ax.set(title=f"density {density:g}", xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), xlabel="dimension 0", aspect="equal")
    ax.set_ylabel("dimension 1" if density == 1 else "")

# %% [markdown]
# Each arrow is a row of W. A feature matters a little less to the loss than the one before it (`importance`). Where all
# are there at once (density 1), the first two have a direction of their own, and the others have next to none: they are
# guessed by their mean. Where features are rare, all five are there, as far apart as the plane allows. They interfere,
# since their directions are not orthogonal; but two of them are seldom there together, and the ReLU and the bias cut
# off what interferes a little. That is superposition.

# %%
print("features represented:", dict(zip(config.densities, plane.represented(), strict=True)))
assert plane.represented()[0] == 2
assert plane.represented()[-1] == 5

# %% [markdown]
# ## From dense to sparse
#
# Now twenty features in five dimensions. The upper row shows W, one line for each feature; the lower one W Wᵀ, whose
# entry i, j says how much feature j is seen where feature i is read.

# %%
densities = (1.0, 0.3, 0.1, 0.03)
toys = train_toy(ToyConfig(features=20, d=5, densities=densities, steps=1500, restarts=2))

figure, axes = plt.subplots(2, len(densities), figsize=(8, 5), layout="constrained", height_ratios=(1, 1))
for column, (W, density) in enumerate(zip(toys.W, densities, strict=True)):
    axes[0, column].imshow(W.numpy(), cmap="RdBu", vmin=-1.2, vmax=1.2, aspect="auto")
    shown = axes[1, column].imshow((W @ W.T).numpy(), cmap="RdBu", vmin=-1.2, vmax=1.2)
    axes[0, column].set(title=f"density {density:g}", xticks=[], yticks=[], xlabel="dimension")
    axes[1, column].set(xticks=[], yticks=[], xlabel="feature")
axes[0, 0].set_ylabel("W: feature")
axes[1, 0].set_ylabel("W Wᵀ: feature")
figure.colorbar(shown, ax=axes, shrink=0.6, label="weight")

print("density   features represented   dimensions for each")
for density, count, each in zip(densities, toys.represented(), toys.dimensions_per_feature(), strict=True):
    print(f"{density:7g} {count:22d} {each:21.2f}")
assert toys.represented()[0] == 5
assert toys.represented()[-1] >= 13

# %% [markdown]
# On the left W Wᵀ is the identity on the five most important features and zero elsewhere. To the right more and more
# features have a diagonal entry; a dark red one off the diagonal is a pair that shares a line, one of them pointing one
# way and one the other. Look at a *column* of W in the upper row: it is what a single neuron of the hidden layer
# responds to. With dense features it mixes a few, with sparse ones nearly all. Neurons are the wrong place to look for
# meaning, and directions are the right one. But which?
#
# ## A dictionary finds the directions
#
# A sparse autoencoder (a dictionary) is trained on the hidden vectors h alone. It writes each as a sum of few of its
# own directions, with positive weights: h ≈ b + Σⱼ fⱼ dⱼ. It knows neither x nor W. `topk` keeps the k largest fⱼ of
# each vector; we let it have as many as there are features in a usual input, but not more than the five dimensions,
# since five directions explain anything there. It gets 40 directions, since nobody would know that there are 20
# features.

# %%
dictionaries, metrics, matchings = {}, {}, {}
for density, W in zip(densities, toys.W, strict=True):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(100_000, 20, generator=generator) * (torch.rand(100_000, 20, generator=generator) < density)
    source = ms.TensorSource({"hidden": x @ W}, batch_size=1024)
    recipe = recipes["topk"](k=min(max(round(20 * density), 1), 5))
    spec = ms.Spec.autoencoder("hidden", d=5, width=40)
    learner = ms.Learner(spec, recipe, source.sample(16_384), steps=400, batch_size=1024)
    ms.train(source, {"topk": learner})
    dictionaries[density] = learner.finished()
    metrics[density] = ms.evaluate_rows(dictionaries[density], x @ W).metrics

# %% [markdown]
# Were the right directions found? The features that the network represents are matched with the learned ones, one to
# one, so that the cosines add up to the most. Their mean is called MCC: 1 if every direction was found. In so few
# dimensions random directions have high cosines, too, so they are the control.

# %%
controls = {}
for density, W, norms in zip(densities, toys.W, toys.norms(), strict=True):
    truth = W[norms > 0.5]
    matchings[density] = match_features(truth, dictionaries[density].W_dec)
    controls[density] = match_features(truth, torch.randn(40, 5, generator=torch.Generator().manual_seed(2)))

figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
ax.plot(densities, [matchings[p].mcc for p in densities], "o-", label="dictionary: MCC with the truth")
ax.plot(densities, [controls[p].mcc for p in densities], "s:", color="grey", label="random directions: MCC")
ax.plot(densities, [metrics[p].fve for p in densities], "^--", label="dictionary: variance explained")
ax.set(xscale="log", xlabel="density of the features", ylabel="share", ylim=(0, 1.05), title="Found, and explained")
ax.invert_xaxis()
ax.legend()

assert matchings[0.03].mcc > 0.95
assert matchings[1.0].mcc < 0.9 < metrics[1.0].fve

# %% [markdown]
# Two lessons. Where features are sparse, a dictionary that was told nothing finds them almost exactly. And **variance
# explained is no evidence that it did**: it is best on the left, where the dictionary has five entries for five
# dimensions and explains everything by directions that mean nothing. Sparse features are what dictionary learning
# assumes.
#
# ## A neuron, taken apart
#
# A neuron is one entry of the hidden vector. Where the truth is known, so is what makes it vary: feature i contributes
# xᵢ W[i, neuron], and as features are independent, the variances of these contributions add up to the neuron's. With a
# dictionary, `neuron_parts` shares out the variance among *learned* features: each one's share is its covariance with
# the neuron, such that all shares sum to the variance explained. Do the two agree?

# %%
density, neuron = 0.03, 0
W = toys.W[densities.index(density)]
x = torch.rand(50_000, 20, generator=generator) * (torch.rand(50_000, 20, generator=generator) < density)
parts = neuron_parts(dictionaries[density], x @ W, neuron)
true_shares = (x * W[:, neuron]).var(0) / (x @ W)[:, neuron].var()
nearest = cosine_table(W, dictionaries[density].W_dec).argmax(0)  # the true feature that each learned one means
found_shares = torch.zeros(20, dtype=torch.float64).index_add(0, nearest, parts.shares)

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.bar([i - 0.2 for i in range(20)], true_shares.tolist(), 0.4, label="truth")
ax.bar([i + 0.2 for i in range(20)], found_shares.tolist(), 0.4, label="dictionary")
ax.set(title=f"What neuron {neuron} of the toy model is made of", xlabel="feature", xticks=range(20))
ax.set_ylabel("share of the neuron's variance")
ax.legend()
print(f"the dictionary explains {parts.explained:.1%} of the neuron's variance")
assert torch.corrcoef(torch.stack([true_shares.double(), found_shares]))[0, 1] > 0.9

# %% [markdown]
# They do. The shares that are missing are those of inputs with two features at once, of which a dictionary with k = 1
# sees one.
#
# ## A neuron of a language model
#
# The embedded model `tiny` has read Python's standard library. Its MLP of layer 2 has 1,024 neurons; a dictionary is
# trained on them as above, with the model's activations on text as the source. Any module's path is a hook point.

# %%
model = ms.load_model("tiny")
point = "gpt_neox.layers.2.mlp.act"
text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", 128, repeat=True), window=2**17)
source = ms.ModelSource(model, text, [point], batch_size=512, buffer_rows=2**14)
spec = ms.Spec.autoencoder(point, d=1024, width=1024)
learner = ms.Learner(spec, recipes["topk"](k=32), source.sample(4096), steps=100, batch_size=512)
ms.train(source, {"topk": learner})
dictionary = learner.finished()

# %%
text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:heldout", 128), window=2**18)
heldout = ms.take_contexts(text, tokens=8192)
activations = ms.read(model, heldout, [point])[point].flatten(0, 1).float()
found = ms.evaluate_rows(dictionary, activations).metrics
print(f"variance explained {found.fve:.1%}, features active per token {found.l0:.0f}, alive {found.alive:.1%}")
assert found.fve > 0.45

# %% [markdown]
# That is a short run of 51,000 tokens; more tokens and a wider dictionary explain more (`monosema train --site
# gpt_neox.layers.2.mlp.act --width 4096 --tokens 2_000_000`). Now neuron 7. These are places where it is active, from
# the strongest on, with the token itself in « »:

# %%
neuron = 7
for place in activations[:, neuron].topk(120).indices[::12].tolist():
    context, position = divmod(place, heldout.shape[1])
    before = model.tokenizer.decode(heldout[context, max(position - 10, 0) : position])
    token = model.tokenizer.decode(heldout[context, position : position + 1])
    print(f"{activations[place, neuron]:5.2f}  {before!r} «{token!r}»")

# %% [markdown]
# What do they have in common? Perhaps you see one theme, and then others. The features that it is made of:

# %%
parts = neuron_parts(dictionary, activations, neuron)
top = parts.top(4).tolist()
for feature, examples in top_examples(dictionary, model, heldout, top, n=3, window=(10, 3)).items():
    share, density = parts.shares[feature], parts.density[feature]
    print(f"\nfeature {feature}: {share:.1%} of the neuron's variance, active on {density:.1%} of the tokens")
    for example in examples:
        print(render_example(example))
print(f"\nall features together explain {parts.explained:.1%}")

# %% [markdown]
# A feature fires on one kind of place, where the neuron fires on several: the neuron is the sum of these, and of a tail
# of others. (Examples whose first token is marked come from the start of a context, where models have activations of a
# kind of their own.) How long the tail is, for some neurons:

# %%
figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
for i, each in enumerate([7, 250, 500, 750, 1000]):
    shares = neuron_parts(dictionary, activations, each).shares.sort(descending=True).values
    ax.plot(range(1, 1025), shares.cumsum(0).tolist(), label=f"neuron {each}", color=plt.cm.viridis(i / 5))
ax.set(xscale="log", ylim=(0, 1), title="Features that make up a neuron", xlabel="features, largest share first")
ax.set_ylabel("share of the neuron's variance, added up")
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))

assert 0 < parts.shares.max() < 0.9 * parts.explained

# %% [markdown]
# A neuron that one feature owned would jump to its final height at once. Most climb over tens of features: they are in
# superposition. Where a curve falls again at its end, features do harm to that neuron: the dictionary reconstructs all
# 1,024 neurons together, and gains elsewhere.
#
# ## What to be careful about
#
# - Shares are of *variance on this text*, and a share says nothing of what the neuron does to what comes after it.
# - The features are those of one dictionary. Another seed or width finds others for part of them (`monosema compare`),
#   and a wider one splits them further; there is no final list of what a neuron is made of.
# - In the toy model independence of features and their number are known. In a language model neither holds, and
#   variance explained cannot tell, as it could not there.
#
# ## Try
#
# - Give the dictionaries of the toy models width 20, or 10. Does MCC fall? And with width 40: which true features do
#   those learned ones mean that had no partner?
# - Train the dictionaries of the toy models by `recipes["april_l1"](sparsity=0.3)`. Which densities does it find?
# - On the command line: `monosema toy --features 20 --d 5 --out runs/toy`, `monosema synthetic --preset easy --recipe
#   topk batch_topk --k 5` (64 dimensions, 256 features), and, for a dictionary on disk, `monosema neuron runs/demo
#   100`.
# - Find the neuron of layer 2 that comes nearest to having a single feature.
#
# ## On
#
# [Known truth](../synthetic.md) has data whose features are known, in any size. [Recipes](../recipes.md) says what
# `topk` and the others are. The next tutorial trains several of them on one stream and chooses one.
