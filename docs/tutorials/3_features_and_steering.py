# %% [markdown]
# # Find a feature, look at it, steer with it
#
# A dictionary is worth as much as what can be done with its features. Here you keep every activation of every feature
# on a text, search for the feature that stands for something (without asking a language model), look at it on a page,
# and then test what it does: take it out of the running model, and put more of it in. Steering by a dictionary's
# direction is activation addition (Turner et al. 2023, arXiv 2308.10248) with directions that were found; the controls
# are the point of this tutorial, since *any* large enough vector changes what a model writes.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import monosema as ms
from monosema.analysis.dose import dose_response
from monosema.analysis.steering import Steer, generate, steering
from monosema.dashboard import StoreProvider, write_page
from monosema.features import build_features, feature_text
from monosema.recipes import recipes

# %% [markdown]
# ## A dictionary
#
# Trained as in the last tutorial, a little wider: 1,024 features of the residual stream behind layer 2 of the embedded
# model, which has read Python's standard library.

# %%
model, point = ms.load_model("tiny"), "resid_post.2"
text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", 128, repeat=True), window=2**18)
source = ms.ModelSource(model, text, [point], batch_size=512, buffer_rows=2**14)
spec = ms.Spec.autoencoder(point, d=256, width=1024)
learner = ms.Learner(spec, recipes["batch_topk"](k=32), source.sample(8192), steps=250, batch_size=512)
ms.train(source, {"batch_topk": learner})
dictionary = learner.finished()
dictionary.metadata |= {"name": "batch_topk", "model": "tiny", "text": "tiny:train", "context": 128}
ms.save(dictionary, "runs/dictionary")

# %% [markdown]
# ## A store of all activations
#
# One pass over held-out text finds where each feature fires and how strongly, and sorts that by feature into Parquet
# files. Everything that shows features reads it: pages, searches, your own scripts.

# %%
heldout = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:heldout", 128), window=2**17)
place = "runs/dictionary/features"
store = build_features(dictionary, model, heldout, place, tokens=49_152, text="tiny:heldout", replace=True)
print(f"{store.index.activations:,} activations of {len(store):,} features on {store.index.counted:,} tokens")

# %% [markdown]
# ## Search
#
# Which feature says that a test's assertion is about to come? That can be asked of the store without any judge. We mark
# the tokens whose *next* token begins with "assert" (in this tokenizer `assertEqual` is one token), and count for each
# feature: of the tokens on which it fires, how many are marked (precision); of the marked, on how many it fires
# (recall).

# %%
ids = np.concatenate(list(store.ids()))
begins = np.array([model.tokenizer.decode([i]).startswith("assert") for i in range(model.vocabulary)])
marked = np.append(begins[ids[1:]], False)
marked[store.index.context - 1 :: store.index.context] = False  # the last token of a context has no next one
print(f"{marked.sum()} of {len(ids):,} tokens are marked")

fires = store.fires(range(store.index.contexts))  # [tokens, features], sparse
both, times = fires.T @ marked, fires.sum(0)
precision, recall = both / np.maximum(times, 1), both / marked.sum()
f1 = 2 * both / (times + marked.sum())

# %%
figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
shown = ax.scatter(recall, precision, s=14, c=np.log10(np.maximum(times, 1) / len(ids)), cmap="viridis")
best = f1.argsort()[::-1][:3]
for feature in best:
    ax.annotate(
        f"{feature}", (recall[feature], precision[feature]), xytext=(-6, 5), textcoords="offset points", ha="right"
    )
ax.set(title="Features as detectors of an assertion that comes next", xlabel="recall", ylabel="precision")
ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
figure.colorbar(shown, label="log₁₀ share of tokens on which it fires")

chosen = int(best[0])
assert f1[chosen] > 0.5
assert f1[chosen] > 5 * marked.mean()

# %% [markdown]
# Nearly all features lie along the bottom. A few are good detectors, and no single one is perfect: dictionaries split
# what we think of as one thing (one feature for all names after `self.`, another for assertions among them), and what
# splits depends on width and seed. We take the one with the best F1 (the harmonic mean of the two). What else is known
# of it?

# %%
print(feature_text(store, chosen, examples=5, window=(12, 4)))
promoted = [pair["text"] for pair in store.feature(chosen).promotes]
assert any(token.startswith("assert") for token in promoted)

# %% [markdown]
# - **promotes** and **suppresses**: what its direction adds to the logits by itself, past all later layers. We searched
#   by where it *fires*; that it also *promotes* the tokens that come next is independent evidence.
# - **similar**: features whose directions have the largest cosines with it. **together** and **apart**: those that fire
#   on the same tokens more often, and less often, than by chance.
# - The examples are the strongest ones, which flatter every feature. Weak activations tell more about where it ends:

# %%
where = store.activations(chosen)
order = where.values.argsort()
for name, part in (("weakest", order[: len(order) // 4]), ("strongest", order[-len(order) // 4 :])):
    print(f"{name} quarter: {marked[where.tokens[part]].mean():.0%} before an assertion")
    for i in part[:: len(part) // 4][:3]:
        print(f"   {where.values[i]:6.2f}  {''.join(store.place(where.tokens[i], 8, 1).texts)!r}")

# %% [markdown]
# Searching by text works, too: `store.search("assert")` has the features with that text in or around their examples, or
# among the tokens that they move. And every part of a store is a Parquet file for pandas, polars or DuckDB.
#
# ## A page
#
# The same as one HTML file that opens anywhere, for some features. It adds what removing the feature changes at each
# token of its examples. `monosema serve runs/dictionary` serves it with all features, prompts and steering.

# %%
similar = [pair["feature"] for pair in store.feature(chosen).similar[:2]]
page = write_page("runs/page.html", StoreProvider(store, dictionary, model), [chosen, *similar])
print(f"{page}: {page.stat().st_size / 1000:.0f} kB")
assert Path("runs/page.html").exists()

# %% [markdown]
# ## Take it out
#
# `steering` is a context in which the model runs with features changed. What the dictionary does not reconstruct is
# left as it is, so that nothing changes but the feature. `ablate` removes it. If the feature is what the model uses,
# the next token becomes less likely where an assertion follows, and nothing changes elsewhere. Beside it: the three
# best detectors at once. Controls are three other features that fire most often on the same tokens, and three that fire
# as often anywhere.

# %%
contexts = torch.from_numpy(store.contexts_ids(range(24)))
before = torch.from_numpy(marked).view(-1, store.index.context)[:24, :-1]


def log_probability(features):
    """Of the next token at each position, without some features."""
    with steering(model, dictionary, [Steer(int(feature), mode="ablate") for feature in features]), torch.no_grad():
        logs = model.logits(contexts).float().log_softmax(-1)
    return logs[:, :-1].gather(2, contexts[:, 1:, None]).squeeze(2)


others = [feature for feature in both.argsort()[::-1] if feature not in best]  # those that fire there most often first
as_often = [min(others, key=lambda one: abs(times[one] - times[each])) for each in best]
removed = {"the feature": [chosen], "the three detectors": best}
removed |= {"three others that fire there": others[:3], "three that fire as often": as_often}

plain = log_probability([])
effects = {name: log_probability(features) - plain for name, features in removed.items()}
print("change of the next token's log-probability (nats)   before an assertion   elsewhere")
for name, effect in effects.items():
    print(f"{name:50s} {effect[before].mean():+20.3f} {effect[~before].mean():+11.3f}")

together = effects["the three detectors"]
assert together[before].mean() < effects["three others that fire there"][before].mean() - 0.3
assert abs(together[~before].mean()) < 0.1

# %% [markdown]
# Alone, the best detector does next to nothing; without all three the model no longer expects an assertion, and is
# disturbed nowhere else. Other features of the same tokens are no substitute. So features stand in for each other:
# remove sets, and never conclude from one feature's small effect that the model does not use what it stands for.
#
# ## Put more of it in
#
# `Steer(feature, value)` adds value × direction at every token. Units are those of the code, so that the largest
# activation on the text (`high`) is a natural yardstick.

# %%
high = store.feature(chosen).high
prompt = model.tokenizer.encode("class Reader:\n    def read(self):\n        self.")
for strength in (0, 0.25, 0.5, 1, 2, 3):
    with steering(model, dictionary, [Steer(chosen, strength * high)]):
        written = model.tokenizer.decode(generate(model, prompt, tokens=24))
    print(f"{strength:4} × its largest: {written!r}")

# %% [markdown]
# A method that reads becomes a test. Much more of it, and the text falls apart. Does that show that the direction
# *means* assertions? Not yet: any direction of that length might break the model, and any broken model writes
# something.
#
# ## Dose and response, beside random directions
#
# `dose_response` adds the direction with several strengths, and random directions of the same norm with the same
# strengths. It tells the log-probability of the tokens that the feature promotes, and the cross-entropy of the text:
# what one gets, and what one pays.

# %%
strengths = [-1, -0.5, 0, 0.5, 1, 1.5, 2]
responses = dose_response(dictionary, model, contexts[:16], chosen, [s * high for s in strengths], controls=3)
figure, axes = plt.subplots(1, 3, figsize=(8, 3.2), layout="constrained")
lines = {"the feature": ("tokens", "cross_entropy"), "random": ("random_tokens", "random_cross_entropy")}
for (name, figures), style in zip(lines.items(), ("o-", "s--"), strict=True):
    gained, paid = ([getattr(response, figure) for response in responses] for figure in figures)
    axes[0].plot(strengths, gained, style, label=name)
    axes[1].plot(strengths, paid, style)
    axes[2].plot(paid[2:], gained[2:], style)
axes[0].set(title="its tokens", xlabel="strength / largest activation", ylabel="change of log-probability (nats)")
axes[1].set(title="the text", xlabel="strength / largest activation", ylabel="change of cross-entropy (nats)")
axes[2].set(
    title="gain for its price", xlabel="change of cross-entropy (nats)", ylabel="change of log-probability (nats)"
)
axes[0].legend()

by = dict(zip(strengths, responses, strict=True))
assert by[1].tokens > by[1].random_tokens + 1
assert by[-1].tokens < 0

# %% [markdown]
# The middle figure is sobering: as far as the text as a whole goes, the feature's direction costs as much as a random
# one. The left one shows what is its own. A random direction raises the same tokens, too, since a confused model
# spreads its predictions over everything, rare tokens included; and it does so in either sense, while the feature's own
# effect changes its sign with the strength. On the right both are set against each other: for what one pays in
# cross-entropy, the feature moves its tokens several times as far.
#
# ## What to be careful about
#
# - The tokens that are measured are those that the direction promotes *directly*: that they move is no surprise, how
#   far and at what price is. Give `tokens=` of your own for an independent measure.
# - Strengths beyond the largest activation are off the data. What happens there says little about what the feature does
#   when the model itself uses it.
# - Directions are compared with random ones of the same norm in the *residual stream*. A stricter control is another
#   feature's direction, since those, unlike random ones, lie where activations vary.
# - One feature, one prompt and greedy text are an anecdote. [Doing things with features](../analysis.md#steering) has
#   medians over twenty features.
# - Features that *fire* where something comes next and features that *write* it need not be the same.
#
# ## Try
#
# - Search for another thing: tokens inside brackets, ` None`, the first token of a line. Which F1 can one feature have?
# - Steer with the second detector, or with both (`[Steer(a, …), Steer(b, …)]`). With `mode="clamp"`.
# - Replace the random directions by other features: `dose_response` for each of them with `tokens=` of this one.
# - Open `runs/page.html`. Then `monosema serve runs/dictionary`, and steer there.
#
# ## On
#
# [Looking at features](../features.md) says what every figure of the page means, and what lies in the store. [Doing
# things with features](../analysis.md) goes on: what causes a prediction, what a feature reads, what it is called.
