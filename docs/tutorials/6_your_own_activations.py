# %% [markdown]
# # Your own activations
#
# Nothing in dictionary learning is about language. Here there is no language model at all: a small network learns to
# read handwritten digits (they come with scikit-learn, 1,797 images of 8 × 8 pixels), a dictionary learns from one of
# its layers, and you look at its features as pictures, put the dictionary into the network, take features out and put
# them in. The same steps take any PyTorch module, and the second half of them any array of vectors, wherever it came
# from. Vision models were among the first to be taken apart like this (Gorton 2024, arXiv 2406.03662; Olah et al. 2020,
# Zoom In).

# %%
from collections import OrderedDict

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

import monosema as ms
from monosema.analysis.steering import Steer, steering
from monosema.recipes import recipes

# %% [markdown]
# ## A network
#
# Two hidden layers of 64 units. Images are shifted by a pixel and get a little noise, so that the network has to learn
# shapes; later this also makes many activations of few images. A third of the images is never trained on.

# %%
digits = load_digits()
images, labels = torch.tensor(digits.images, dtype=torch.float32) / 16, torch.tensor(digits.target)
generator = torch.Generator().manual_seed(0)
train, test = torch.randperm(len(images), generator=generator).split([1200, 597])


def varied(images):
    """The images, shifted by up to a pixel, with noise."""
    shift = torch.randint(-1, 2, (2,), generator=generator).tolist()
    return (images.roll(shift, (1, 2)) + 0.05 * torch.randn(images.shape, generator=generator)).clamp(0, 1)


torch.manual_seed(0)
layers = OrderedDict(flat=nn.Flatten(), first=nn.Linear(64, 64), relu=nn.ReLU())
layers |= OrderedDict(second=nn.Linear(64, 64), relu2=nn.ReLU(), out=nn.Linear(64, 10))
network = nn.Sequential(layers)
adam = torch.optim.Adam(network.parameters(), lr=3e-3)
for _ in range(1500):
    batch = train[torch.randint(len(train), (128,), generator=generator)]
    F.cross_entropy(network(varied(images[batch])), labels[batch]).backward()
    adam.step()
    adam.zero_grad()

# %% [markdown]
# ## Read a layer
#
# `load_model` takes any module. A hook point is the path of one of its modules, as in `named_modules()`: `relu` is what
# that module returns, `relu:in` would be what it is given. `read` runs the network just as far as that.

# %%
model, point = ms.load_model(network), "relu"


def accuracy():
    """The share of the test images that the network, as it is just then, reads correctly."""
    return (model.run(images[test]).argmax(1) == labels[test]).float().mean().item()


print([name for name, _ in network.named_modules() if name])
print(f"{accuracy():.1%} of the test images are read correctly")
hidden = ms.read(model, images[test], [point])[point]
print(f"activations of shape {list(hidden.shape)}")
assert accuracy() > 0.88

# %% [markdown]
# A wrong name is answered with the nearest ones:

# %%
try:
    ms.read(model, images[test], ["relu3"])
except ms.InputError as error:
    print(error)

# %% [markdown]
# ## Train a dictionary
#
# 30 versions of each training image give 36,000 vectors. `TensorSource` deals them out in batches, in a new order in
# each epoch; its rows are called by the hook point, so that the dictionary knows where it belongs. 64 units, twice as
# many features, six of which are active at a time.

# %%
rows = torch.cat([ms.read(model, varied(images[train]), [point])[point] for _ in range(30)])
source = ms.TensorSource({point: rows}, batch_size=512)
spec = ms.Spec.autoencoder(point, d=64, width=128)
learner = ms.Learner(spec, recipes["topk"](k=6), source.sample(8192), steps=800, batch_size=512)
ms.train(source, {"topk": learner})
dictionary = learner.finished()
dictionary.metadata |= {"name": "digits"}
ms.save(dictionary, "runs/digits/dictionary")

# %%
metrics = ms.evaluate_rows(dictionary, hidden).metrics
centred = hidden - hidden.mean(0)
variances = torch.linalg.svdvals(centred).square()
print(f"on test images: variance explained {metrics.fve:.1%} by {metrics.l0:.0f} features, {metrics.alive:.0%} alive")
print(f"six principal components explain {variances[:6].sum() / variances.sum():.1%}")
assert metrics.fve > variances[:6].sum() / variances.sum()

# %% [markdown]
# Six features of 128 explain more than six principal components, since each image chooses its own six. (That is no
# miracle: an image's code also says *which*.) There is no cross-entropy to compare with, but there is something better,
# what the network is for. `splice` puts the dictionary in the layer's place:

# %%
with ms.replacing(model, ms.splice(dictionary)):
    print(f"with the dictionary in the layer's place: {accuracy():.1%}")
    assert accuracy() > 0.8
with ms.replacing(model, [ms.Replacement(point, lambda x: hidden.mean(0).expand_as(x))]):
    print(f"with the layer's mean in its place: {accuracy():.1%}")

# %% [markdown]
# ## Look at features
#
# For each feature: on the left the mean of the test images, weighted by the feature's activation, less the mean of all
# images (blue is more ink than usual, red is less), then the ten images on which it is strongest. The features are
# spread from those that are about a single digit to those that are about none.

# %%
codes = dictionary.encode(hidden)
of_digit = codes.T @ F.one_hot(labels[test], 10).float()  # [feature, digit]
purity, digit = (of_digit / of_digit.sum(1, keepdim=True).clamp_min(1e-9)).max(1)
live = ((codes > 0).sum(0) >= 12).nonzero().squeeze(1)  # on at least 12 test images
ranked = live[purity[live].argsort(descending=True)]
shown = ranked[torch.linspace(0, len(ranked) - 1, 8).long()].tolist()

figure, axes = plt.subplots(8, 11, figsize=(7.6, 6), layout="constrained")
for row, feature in zip(axes, shown, strict=True):
    weights = codes[:, feature] / codes[:, feature].sum()
    typical = torch.einsum("i,ixy->xy", weights, images[test]) - images[test].mean(0)
    row[0].imshow(typical, cmap="RdBu", vmin=-0.5, vmax=0.5)
    row[0].set_ylabel(f"{feature}", rotation=0, ha="right", va="center")
    for ax, i in zip(row[1:], codes[:, feature].topk(10).indices, strict=True):
        ax.imshow(images[test][i], cmap="gray_r")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
figure.suptitle("Features of the first layer, and the images on which they are strongest")

for feature in shown:
    print(f"feature {feature:3d}: {purity[feature]:4.0%} of its activation is on the digit {digit[feature]}")

# %% [markdown]
# Some features are one way of writing a digit (digits have several), some are a stroke or a gap in a certain place that
# several digits share, and the last ones are hard to name. Are features more about single digits than the 64 units are?
# And would any 128 directions do?


# %%
def purities(x):
    """The share of the activation on the most frequent digit, for columns that are active on 12 images or more."""
    x = x[:, (x > 0).sum(0) >= 12]
    per_digit = x.T @ F.one_hot(labels[test], 10).float()
    return (per_digit / per_digit.sum(1, keepdim=True)).max(1).values.sort(descending=True).values


random = torch.randn(64, 128, generator=generator)
projected = (centred @ random).relu()
threshold = projected.quantile(1 - 6 / 128, dim=0)  # as sparse as the features
kinds = {"features": codes, "units": hidden, "random directions, as sparse": projected * (projected > threshold)}
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for (name, x), style in zip(kinds.items(), ("-", "--", ":"), strict=True):
    found = purities(x)
    ax.plot(
        torch.linspace(0, 100, len(found)).tolist(), found.tolist(), style, label=f"{name} (mean {found.mean():.2f})"
    )
ax.set(title="How much about one digit", xlabel="per cent of the features, purest first", ylabel="share on one digit")
ax.set_ylim(0, 1)
ax.legend()

assert purities(codes).mean() > purities(hidden).mean()

# %% [markdown]
# Features are far purer than units. But much of that comes from being sparse: random directions that fire as rarely are
# not so far behind. Without that control the comparison with units would have said too much.
#
# ## Take a feature out
#
# `steering` runs the network with features changed; what the dictionary leaves unexplained stays. We take a feature
# that is active often and mostly on one digit, and remove it from all images on which it is active.

# %%
chosen = int((of_digit.max(1).values * purity).argmax())
target, active = int(digit[chosen]), codes[:, chosen] > 0
plain = model.run(images[test]).log_softmax(1).detach()
with steering(model, dictionary, [Steer(chosen, mode="ablate")]), torch.no_grad():
    change = model.run(images[test]).log_softmax(1) - plain

print(f"feature {chosen}, the digit {target}: active on {active.sum()} images")
print(
    "change of each digit's log-probability:",
    " ".join(f"{i}: {x:+.1f}" for i, x in enumerate(change[active].mean(0).tolist())),
)
assert change[active].mean(0).argmin() == target
assert change[~active].abs().max() < 1e-3

# %% [markdown]
# Its own digit becomes less likely, others more. (Their changes are larger: the probability of a digit that was read
# with certainty has little room.) Images on which the feature was not active are read exactly as before.
#
# ## Put it in
#
# Added to images of *other* digits, more and more of it: when does the network read them as the feature's digit? Beside
# it random directions of the same norm, and other features, whose norm is the same, too.

# %%
high = codes[:, chosen].max().item()
others = images[test][labels[test] != target]
strengths = [0, 0.5, 1, 1.5, 2, 3]
direction = dictionary.W_dec[chosen]
random = F.normalize(torch.randn(20, 64, generator=generator), dim=1) * direction.norm()
features = dictionary.W_dec[live[live != chosen]][:20]


@torch.no_grad()
def read_as_target(added):
    """The share of other digits' images that are read as the target with a vector added."""
    with ms.replacing(model, [ms.Replacement(point, lambda x: x + added)]):
        return (model.run(others).argmax(1) == target).float().mean().item()


own = [read_as_target(s * high * direction) for s in strengths]
by_random = np.array([[read_as_target(s * high * one) for s in strengths] for one in random])
by_features = np.array([[read_as_target(s * high * one) for s in strengths] for one in features])

# %%
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
ax.plot(strengths, own, "o-", color="tab:blue", zorder=3, label=f"feature {chosen}")
for name, shares, colour in (
    ("random directions", by_random, "tab:grey"),
    ("other features", by_features, "tab:orange"),
):
    ax.plot(strengths, shares.T, "-", color=colour, alpha=0.3, linewidth=1)
    ax.plot(strengths, shares.mean(0), "--", color=colour, label=f"mean of 20 {name}")
ax.set(xlabel="strength / the feature's largest activation", ylabel=f"read as {target}", ylim=(-0.02, 1.02))
ax.set_title(f"Images of other digits, read as {target}")
ax.legend()

assert own[-1] > by_random[:, -1].mean() + 0.25

# %% [markdown]
# The feature goes there, and most other directions do not. Most, not all: every thin line is one direction, and here
# and there a random one does it. There are ten answers only, and a network that is pushed hard has to end in one of
# them. Other features lead there, too, if they are about the same digit. A single random direction would have been no
# control.
#
# ## Vectors alone
#
# If there is no network at hand, only its activations, a file is enough: `.npy`, `.safetensors`, `.pt`, `.parquet` or
# `.arrow`. Hold out by *image*: with one row in twenty (the default) versions of the same image would be on both sides,
# and the figures too good.

# %%
np.save("runs/digits/rows.npy", rows.numpy())
np.save("runs/digits/heldout.npy", hidden.numpy())
config = ms.RunConfig(
    activations="runs/digits/rows.npy",
    heldout="runs/digits/heldout.npy",
    tokens=102_400,
    dictionaries=(ms.DictionaryConfig(recipes["topk"](k=6), site=point, width=128, name="topk"),),
)
result = ms.run(config, "runs/digits/run", overwrite=True)
print(f"variance explained {result.metrics['topk'].fve:.1%}")
assert result.metrics["topk"].fve > 0.7

# %% [markdown]
# On the command line:
#
#     monosema train --activations runs/digits/rows.npy --heldout runs/digits/heldout.npy \
#         --site relu --width 128 --recipe topk --k 6 --tokens 102_400 --out runs/again
#
# Activations that come one batch at a time, from a simulator or a microscope, are an `ms.IterableSource`; what does not
# fit into memory is read from a file as it is needed.
#
# ## What to be careful about
#
# - **The last dimension is the vector.** Rows are `[..., d]`. A convolution has its channels in dimension 1, so that
#   `x.movedim(1, -1)` has one row for each place of each image; to put the dictionary back, give `Replacement` a
#   function that moves them there and back: `lambda x: dictionary(x.movedim(1, -1)).movedim(-1, 1)`.
# - Thirty versions of 1,200 images are not 36,000 images. A dictionary that is too wide for its data learns the images
#   by heart: compare variance explained on training rows and on held-out images.
# - Digits are what *we* know about these images. A feature that is about none of them may still be about something.
# - A vector that is added moves the layer where no image puts it (here even below zero, behind a ReLU).
#
# ## Try
#
# - Read `relu2` instead. Are its features more about digits? How many are alive?
# - Width 512: do features become purer, or do they learn single images?
# - Which feature makes the network take a 3 for an 8? Look at an image that it gets wrong, and at its strongest
#   features.
# - Train a convolution, with the two lines above.
#
# ## On
#
# [Questions](../faq.md) on your own model; [Known truth](../synthetic.md) for vectors whose features are known;
# [Extending](../extending.md) for a source of your own.
