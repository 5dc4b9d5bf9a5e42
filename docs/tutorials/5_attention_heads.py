# %% [markdown]
# # One block for each attention head
#
# Dictionaries of attention layers are mostly trained on what all heads write together, or on their outputs side by side
# ([Kissane et al. 2024](https://arxiv.org/abs/2406.17759)), and afterwards one asks which head a feature belongs to. It
# can be had the other way round: with one block of features for each head, a feature belongs to its head by
# construction. Here you train such a dictionary beside a dense one, see what the blocks cost, find out what each head's
# features read, and from where.

# %%
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F

import monosema as ms
from monosema.analysis import (
    head_shares,
    logit_effects,
    middling_features,
    render_example,
    source_attribution,
    token_strings,
    top_examples,
)
from monosema.evaluation import table_rows
from monosema.recipes import recipes

# %% [markdown]
# ## Dense, and in blocks
#
# `attn_z.2` holds the outputs of the 8 heads of layer 2 side by side, 32 numbers each, before the output projection
# mixes them. `blocks=8` cuts encoder and decoder into eight: only the blocks are stored, so the dictionary has an
# eighth of the weights. All features still compete in one code: 20 of 1,024 are active on a token, of whichever heads.

# %%
model = ms.load_model("tiny", dtype="float32")
point, heads, width = "attn_z.2", model.heads, 1024
text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", 256, repeat=True), window=2**19)
source = ms.ModelSource(model, text, [point], batch_size=1024, buffer_rows=2**14)
sample, steps = source.sample(8192), 100
learners = {
    name: ms.Learner(
        ms.Spec.autoencoder(point, source.widths[point], width, blocks=blocks),
        recipes["topk"](k=20), sample, steps=steps, batch_size=1024,
    )
    for name, blocks in (("dense", 1), ("blocks", heads))
}  # fmt: skip
ms.train(source, learners, steps)
dictionaries = {name: learner.finished() for name, learner in learners.items()}

# %%
heldout = ms.take_contexts(ms.Contexts(model.tokenizer, "tiny:heldout", 256), tokens=8192)
found = ms.evaluate(dictionaries, model, heldout[:16])
print(table_rows({name: one.metrics for name, one in found.items()}))
print({name: f"{sum(p.numel() for p in own.parameters()):,} parameters" for name, own in dictionaries.items()})

assert abs(found["dense"].metrics.fve - found["blocks"].metrics.fve) < 0.1
assert found["blocks"].metrics.ce_recovered > 0.7

# %% [markdown]
# At the same L0 and with an eighth of the weights, blocks explain nearly as much after this short run. In longer ones
# the dense dictionary pulls ahead by some points ([Attention heads](../heads.md)): what it can write to several heads
# with one feature takes several here. Do dense features write to several heads at all? Of each, the share of its
# strongest head:

# %%
share = head_shares(dictionaries["dense"], model, range(width)).amax(1)
figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
ax.hist(share[found["dense"].density > 0], bins=40, range=(1 / heads, 1), color="tab:blue")
ax.axvline(1 / heads, color="black", ls=":", label="all heads alike")
ax.set(title="Dense features: how much of the direction is one head's", ylabel="features")
ax.set_xlabel("share of the strongest head in the decoder row's norm")
_ = ax.legend()

# %% [markdown]
# Few live in one head, so which head a feature belongs to has no clean answer. (They also start spread over all heads,
# and this is a short run.)
#
# ## How active is each head, and how much does it matter?
#
# In blocks, L0 can be counted by head. Whether what a head's features say is *used* is another question. So we remove
# all features of one head while the model runs, keep everything else as it is (`keep_error`), and see by how much the
# loss rises.

# %%
blocks = dictionaries["blocks"]
l0 = found["blocks"].metrics.l0_per_block
ids = heldout[:8]


def loss() -> float:
    return F.cross_entropy(model.logits(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()


def loss_without(head: int) -> float:
    def edit(codes: torch.Tensor) -> torch.Tensor:
        kept = codes.unflatten(-1, (heads, -1)).clone()
        kept[..., head, :] = 0
        return kept.flatten(-2)

    with ms.replacing(model, ms.splice(blocks, edit=edit, keep_error=True)):
        return loss()


as_it_is = loss()
rises = [loss_without(head) - as_it_is for head in range(heads)]
figure, axes = plt.subplots(1, 2, figsize=(7, 2.8), layout="constrained")
measured = {"active features per token (L0)": l0, "rise of the loss (nats)": rises}
for ax, (label, values) in zip(axes, measured.items(), strict=True):
    ax.bar(range(heads), values, color="tab:blue")
    ax.set(xlabel="head of layer 2", ylabel=label, xticks=range(heads))
figure.suptitle("Features of each head: how many, and what the model loses without them")
assert max(l0) > 2 * sorted(l0)[heads // 2]

# %% [markdown]
# Heads are far from alike: one has a large part of all active features, and it need not be the one that matters most.
# An L0 of 20 for the layer is several for one head and about one for others. Where an L0 of hundreds is reported for a
# dictionary in blocks, look at it head by head before comparing.
#
# ## Where do they read from?
#
# The output of a head at a token is a sum over source tokens: pattern times values. So a feature's pre-activation is
# one too, and `source_attribution` gives the terms (direct feature attribution). We take, of each head, 32 places at
# which one of its features fires, in contexts of 64 tokens, and ask how far back the sources lie that speak for it.

# %%
short = heldout.reshape(-1, 64)
by_head = blocks.encode(ms.read(model, short, [point])[point]).unflatten(-1, (heads, -1))
strongest, which = by_head.max(-1)
generator = torch.Generator().manual_seed(0)
places = []
for head in range(heads):
    own = (strongest[:, 32:, head] > 0).nonzero()
    for row, column in own[torch.randperm(len(own), generator=generator)[:32]].tolist():
        places.append((row, column + 32, head * width // heads + int(which[row, column + 32, head]), head))
rows, positions, features, of_head = (list(column) for column in zip(*places, strict=True))
given = source_attribution(blocks, model, short[rows], positions, features)
own = given.heads[range(len(places)), of_head]

# The terms add up to what the encoder computes from z. Other heads have no part in it, as the blocks are zero there.
assert torch.allclose(given.sources, own)
z = ms.read(model, short, [point])[point][rows, positions]
exact = blocks.preactivations(z) - blocks.preactivations(torch.zeros_like(z))  # without biases
assert torch.allclose(own.sum(1), exact[range(len(places)), features], atol=1e-3)

# %%
ranges = [(0, 0), (1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 63)]
back = torch.tensor(positions)[:, None] - torch.arange(64)
speaks = own.clamp(min=0) / own.clamp(min=0).sum(1, keepdim=True)
shares = torch.stack([(speaks * ((back >= a) & (back <= b))).sum(1) for a, b in ranges], dim=1)
table = torch.stack([shares[torch.tensor(of_head) == head].mean(0) for head in range(heads)])
figure, ax = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
shown = ax.imshow(table, cmap="viridis", vmin=0, vmax=1, aspect="auto")
ax.set_xticks(range(len(ranges)), [f"{a}" if a == b else f"{a}–{b}" for a, b in ranges])
ax.set(
    title="Where each head's features read from", xlabel="tokens back", ylabel="head of layer 2", yticks=range(heads)
)
figure.colorbar(shown, label="share of what speaks for a feature")
previous = int(table[:, 1].argmax())
assert table[previous, 1] > 0.5

# %% [markdown]
# One head stands out: nearly all that its features read is one token back. It is a *previous-token head*, and its
# features should be named after the token before. Let us look at some of them beside some of a head that reads from
# farther away. The token on which a feature fires is between « and »; behind the arrow are the source tokens that speak
# most for it, and before the examples the tokens whose logits it raises directly.

# %%
far = int((table[:, 5:].sum(1)).argmax())
density = found["blocks"].density


def show(head: int, n: int) -> None:
    first = head * width // heads
    chosen = [first + own for own in middling_features(density[first : first + width // heads], n)]
    effects = logit_effects(blocks, model, chosen, n=4)
    for number, (feature, examples) in enumerate(
        top_examples(blocks, model, short, chosen, n=3, window=(10, 1)).items()
    ):
        raised = [model.tokenizer.decode([token]) for token in effects.top_tokens[number].tolist()]
        print(f"\nhead {head}, feature {feature}, on {density[feature]:.2%} of tokens, raises {raised}")
        at = [example.position for example in examples]
        contexts = short[[example.context for example in examples]]
        read = source_attribution(blocks, model, contexts, at, [feature] * len(at)).heads[:, head]
        for example, ids, sources in zip(examples, contexts, read, strict=True):
            tokens = token_strings(model.tokenizer, ids.tolist())
            top = [i for i in sources.topk(2).indices.tolist() if sources[i] > 0]
            most = [f"{tokens[i]!r} ({example.position - i} back)" for i in top]
            print(render_example(example), " ← ", ", ".join(most))


show(previous, 4)

# %%
show(far, 3)

# %% [markdown]
# In the first list the strongest source is one back, and the same token, or one of the same kind, for all examples of a
# feature. In the second it is often the token itself, with others from several places before.
#
# That a head looks one token back does not say yet that its features *tell* which token was there. If they do, the
# token before predicts their codes better than the token itself does. The prediction is the mean code after each token,
# from one half of the text; how much of the variance does it explain in the other half? Of each head, the median over
# features that fire on 1 % of the tokens or more:

# %%
codes = by_head.flatten(-2)[:, 1:].flatten(0, 1)
half = len(codes) // 2
often = (codes > 0).float().mean(0) > 0.01


def predicted_by(tokens: torch.Tensor) -> torch.Tensor:
    mean = codes[:half].mean(0)
    sums = torch.zeros(model.vocabulary, width).index_add_(0, tokens[:half], codes[:half])
    counts = tokens[:half].bincount(minlength=model.vocabulary)[:, None]
    means = (sums + 4 * mean) / (counts + 4)  # of rare tokens, nearly the mean of all
    return 1 - (codes[half:] - means[tokens[half:]]).square().sum(0) / (codes[half:] - mean).square().sum(0)


of_tokens = {
    "the token before": predicted_by(short[:, :-1].flatten()),
    "the token itself": predicted_by(short[:, 1:].flatten()),
}
medians = {
    name: [own[kept].median().item() for own, kept in zip(values.chunk(heads), often.chunk(heads), strict=True)]
    for name, values in of_tokens.items()
}
figure, ax = plt.subplots(figsize=(6.5, 2.8), layout="constrained")
for offset, (name, values) in zip((-0.2, 0.2), medians.items(), strict=True):
    ax.bar([head + offset for head in range(heads)], values, 0.4, label=name)
ax.axhline(0, color="black", lw=0.8)
ax.set(title="What predicts a feature's code?", xlabel="head of layer 2", xticks=range(heads))
ax.set_ylabel("variance explained,\nother half of the text")
ax.legend()
assert medians["the token before"][previous] == max(medians["the token before"])

# %% [markdown]
# The head that looks one token back is the one whose features know that token. For most other heads neither token says
# much: what they bring comes from further away, or from more than one place. (Below zero the prediction is worse than
# none: four thousand tokens to learn from are few, for both predictions alike.)
#
# ## What to be careful about
#
# - Attribution to sources takes the attention pattern as given. *Why* a head looks where it looks (its queries and
#   keys) is not in it.
# - "Feature of head 3" is what we asked for, by setting blocks to zero. It does not show that the model keeps heads
#   apart: what several heads write together comes out as several features, one in each head. `monosema heads` counts
#   how often that happens.
# - Removing a head's features one head at a time says nothing of heads that stand in for each other.
# - A hundred steps is short. [Attention heads](../heads.md) has ten dictionaries trained longer, with other recipes and
#   other starts, at one L0.
#
# ## Try
#
# - `k=40` for the blocks: how much L0 do they need to explain as much as the dense dictionary with 20?
# - Write elsewhere: `site: attn_z.2, target: attn_out.2, blocks: heads` in a run's YAML reads by head and writes into
#   the stream. Or take a single head, `ms.Spec.autoencoder("attn_z.2.7", 32, 256)`.
# - `monosema train --site attn_z.2 --blocks heads --recipe topk --k 20 --width 2048 --out runs/heads`, then `monosema
#   heads runs/heads`: a page of what each head does, how many topics it has, and which features other heads repeat.
# - Is there a previous-token head in the other layers? In which layer would you look for induction heads?
#
# ## On
#
# [Attention heads](../heads.md) and [Wirings](../wirings.md#a-block-for-each-head); [Looking at
# features](../features.md) shows source positions on the page of a feature. From a head's source back to the stream and
# on, through MLPs, goes [Linearising an MLP](../analysis.md#linearising-an-mlp).
