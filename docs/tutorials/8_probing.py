# %% [markdown]
# # Sparse probing
#
# If a feature stands for something, then whether that is there should be readable off this one feature. A *k-sparse
# probe* is a linear classifier that may use $k$ of them ([Gurnee et al. 2023](https://arxiv.org/abs/2305.01610); as a
# benchmark of dictionaries, [SAEBench](https://arxiv.org/abs/2503.09532)). It is a test with a right answer, and easy
# to get wrong. Here you probe a dictionary for things that Python itself knows about Python code, beside four things
# that every such figure needs beside it: raw channels, principal components, a dense probe and a dictionary that has
# learned nothing. Then you look at which features were chosen, see how a careless split flatters, and ask whether the
# model *uses* what the probe found.

# %%
import ast
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

import monosema as ms
from monosema.analysis import render_example, top_examples
from monosema.analysis.probing import (
    KINDS,
    ProbeOptions,
    Space,
    characters_of_tokens,
    cross_validate,
    encoded,
    label_of,
    pooled,
    python_labels,
    read_rows,
    tasks_of,
    token_places,
    untrained_like,
)
from monosema.recipes import recipes
from monosema.tiny import documents

# %% [markdown]
# ## A dictionary
#
# 2,048 features for the residual stream after layer 2, of which 32 are active on a token. The run is short; the figures
# of a longer one are in [Probing](../analysis.md#probing).

# %%
model, point = ms.load_model("tiny", dtype="float32"), "resid_post.2"
text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", 256, repeat=True), window=2**19)
source = ms.ModelSource(model, text, [point], batch_size=1024, buffer_rows=2**14)
spec = ms.Spec.autoencoder(point, d=256, width=2048)
learner = ms.Learner(spec, recipes["topk"](k=32), source.sample(8192), steps=80, batch_size=1024)
ms.train(source, {"topk": learner}, 80)
dictionary = learner.finished()

# %% [markdown]
# ## Labels for free
#
# Neither model nor dictionary has seen the held-out files. Of each we take two pieces of 255 tokens. Python's tokeniser
# and parser say of every character what it is: the kind of token, whether it is in a docstring, and how many blocks it
# is in. A token is what its first character is that is not space. Your own labels take this place: one for each token,
# or, further below, one for each document.

# %%
rng, pieces, keep, labels, files = np.random.default_rng(0), [], [], [], []
for number, document in enumerate(islice(documents("heldout"), 42)):
    known = python_labels(document.text)
    if known is None:  # some files of Python's own tests are no Python
        continue
    ids, places = token_places(model.tokenizer, document.text)
    for start in rng.integers(1, max(len(ids) - 255, 2), 2):
        piece = slice(start, start + 255)
        pieces.append(ids[piece])
        keep.append(np.arange(8, len(ids[piece])))  # the first few tokens have no context
        labels.append(known.at(characters_of_tokens(document.text, places[piece][8:])))
        files.append(np.full(len(keep[-1]), number))
kind, docstring, depth = (
    np.concatenate([getattr(own, name) for own in labels]) for name in ("kind", "docstring", "depth")
)
files = np.concatenate(files)
print(f"{len(files):,} tokens of {len(set(files.tolist()))} files, {docstring.mean():.0%} of them in docstrings")

# %% [markdown]
# ## What is read
#
# The same tokens in four forms. Codes are scaled by the norms of their decoder rows, so that they are in the units of
# the activations. The untrained dictionary is as wide and as sparse as ours and has random directions: what it can do
# is done by width and sparsity alone.

# %%
x = read_rows(model, point, pieces, keep)
untrained = untrained_like(dictionary, x)
spaces = {
    "codes": Space(encoded(dictionary, x)),
    "untrained codes": Space(encoded(untrained, x)),
    "principal components": Space(x.numpy(), principal=True, whole=False),
    "raw channels": Space(x.numpy()),
}

# %% [markdown]
# ## Probes
#
# A task is a class against everything else, balanced, so that chance is 50 %. Folds are made of whole files. The $k$
# columns are those whose means over the two classes differ most *on the training folds*; logistic regression reads
# them. The last probe of each space reads all of its columns: on the raw channels, that is the usual dense probe.

# %%
wanted = {
    "in a docstring": tasks_of(label_of("docstring", docstring), files, most=800, folds=4)[0],
    "a keyword": tasks_of(label_of("keyword", kind == KINDS.index("keyword")), files, most=800, folds=4)[0],
    "four blocks deep": tasks_of(label_of("deep", depth >= 4), files, most=800, folds=4)[0],
}
options = ProbeOptions(ks=(1, 2, 5, 20, 100), cs=(0.001, 0.1))
scores = {name: cross_validate(spaces, task, options) for name, task in wanted.items()}

figure, axes = plt.subplots(1, 3, figsize=(8, 3.2), layout="constrained", sharey=True)
styles = {"codes": "o-", "untrained codes": "s:", "principal components": "^--", "raw channels": "v-."}
colors = dict(zip(spaces, ("tab:blue", "tab:grey", "tab:orange", "tab:brown"), strict=True))
for ax, (name, found) in zip(axes, scores.items(), strict=True):
    for space, own in found.items():
        curve = [score for score in own if score.k is not None]
        ax.plot(
            [score.k for score in curve],
            [np.mean(score.accuracy) for score in curve],
            styles[space],
            color=colors[space],
            label=space,
        )
    ax.axhline(np.mean(found["raw channels"][-1].accuracy), color="black", lw=0.8, label="dense probe")
    ax.set(xscale="log", title=name, xlabel="k: columns that the probe reads", ylim=(0.48, 1))
axes[0].set_ylabel("balanced accuracy (chance: 0.5)")
axes[0].legend(fontsize=7, loc="lower right")
accuracy = {
    name: {space: [np.mean(one.accuracy) for one in own] for space, own in found.items()}
    for name, found in scores.items()
}
for found in accuracy.values():
    assert found["codes"][3] > found["untrained codes"][3]  # k = 20
    assert found["codes"][-1] > found["raw channels"][-1] - 0.08  # all columns
one = {space: own[0] for space, own in accuracy["four blocks deep"].items()}
assert one["codes"] > max(one["raw channels"], one["untrained codes"])

# %% [markdown]
# Read it in this order.
#
# - **Codes against untrained codes**, at small $k$: that is what training added. Note how well a random dictionary does
#   at large $k$, and that it, too, comes near the dense probe when it may use everything. A probe on all features says
#   little about features.
# - **Codes against raw channels and principal components.** On depth the best feature tells more than the best channel;
#   as $k$ grows, components catch up and tell more than as many features. On keywords they do so nearly from the start.
#   A dictionary is no better basis for everything; it is one for what its features stand for.
# - **All codes against the dense probe** says how much the codes have lost: more on depth here than on the other two.
#
# ## Which features?
#
# The choice is made anew in each fold, without the fold that is tested. If folds agree, then one feature is meant.

# %%
heldout = ms.take_contexts(ms.Contexts(model.tokenizer, "tiny:heldout", 256), tokens=6144)
first = {}
for name, found in scores.items():
    (single,) = (score for score in found["codes"] if score.k == 1)
    first[name], folds = Counter(own[0] for own in single.columns).most_common(1)[0]
    print(f"\n{name}: feature {first[name]} in {folds} of {len(single.columns)} folds, accuracy in each", end=" ")
    print(*(f"{value:.0%}" for value in single.accuracy))
    for example in top_examples(dictionary, model, heldout, [first[name]], n=4, window=(16, 3))[first[name]]:
        print(render_example(example))

# %% [markdown]
# Where folds choose different features, or accuracy differs much between them, no single feature stands for the label.
# Look at the examples: what a feature stands for is often narrower (a colon at some depth, the first words of a
# docstring), and others have to tell the rest. It may even be something else: that a token is ` =` says that it is no
# keyword, which is worth as much to a probe.
#
# ## How to fool oneself
#
# Two controls. First, the same probes on labels that were shuffled: whatever is above chance now is luck, and says how
# far to trust the figures above. Second, the folds. Tokens of one file know each other. Let us tell whether a file is
# in `test`, the largest package, once with whole files in a fold, once with tokens drawn as if each were by itself:

# %%
task, quick = wanted["a keyword"], ProbeOptions(ks=(20,), cs=(0.001, 0.1))
luck = replace(task, y=np.random.default_rng(1).permutation(task.y))
for score in cross_validate({"codes": spaces["codes"]}, luck, quick)["codes"]:
    print(f"shuffled labels, {score.k or 'all'} codes: {np.mean(score.accuracy):.1%}")
    assert abs(np.mean(score.accuracy) - 0.5) < 0.12

names = [document.path.split("/")[0] for document in islice(documents("heldout"), 42)]
is_test = label_of("test", [names[number] == "test" for number in files])
honest, leaky = (tasks_of(is_test, groups, most=800, folds=4)[0] for groups in (files, np.arange(len(files))))
told = []
for how, task in (("whole files in a fold", honest), ("tokens drawn one by one", leaky)):
    few, dense = cross_validate({"raw channels": spaces["raw channels"]}, task, quick)["raw channels"]
    told.append(np.mean(dense.accuracy))
    print(f"{how}: 20 channels {np.mean(few.accuracy):.0%}, dense probe {told[-1]:.0%}")
assert told[1] > told[0] + 0.02

# %% [markdown]
# The second line is not wrong as a number, it answers another question: "is this token from one of those files that I
# have seen?"
#
# ## Does the model use it?
#
# A probe is a correlation. The model may never look at what the probe reads. So we remove the feature for depth while
# the model runs, and see what happens to the loss, on tokens that are four blocks deep and on all others; and, as a
# control, the same for features that fire as often.

# %%
feature = first["four blocks deep"]
density = np.asarray((spaces["codes"].rows != 0).mean(0)).ravel()
alike = [int(own) for own in np.argsort(np.abs(density - density[feature])) if own != feature][:3]
deep = [own.depth >= 4 for own in labels]
order = sorted((i for i in range(len(pieces)) if len(pieces[i]) == 255), key=lambda i: -deep[i].sum())[:12]
ids = torch.tensor([pieces[i] for i in order])
is_deep = torch.tensor(np.stack([deep[i] for i in order]))[:, :-1]


def losses() -> torch.Tensor:
    logits = model.logits(ids)[:, 8:-1]
    return F.cross_entropy(logits.mT, ids[:, 9:], reduction="none")


def without(removed: int) -> torch.Tensor:
    def edit(codes: torch.Tensor) -> torch.Tensor:
        return codes.index_fill(-1, torch.tensor([removed]), 0)

    with ms.replacing(model, ms.splice(dictionary, edit=edit, keep_error=True)):
        return losses()


as_it_is = losses()
rises = {}
for removed in (feature, *alike):
    change = without(removed) - as_it_is
    rises[removed] = change[is_deep].mean().item(), change[~is_deep].mean().item()
    print(f"without feature {removed:4}: loss", "{:+.4f} on deep tokens, {:+.4f} on others".format(*rises[removed]))
assert rises[feature][0] > 2 * max(rises[feature][1], *(rises[own][0] for own in alike))

# %% [markdown]
# That is much stronger evidence than any accuracy: without it, predictions get worse where the label holds and not
# elsewhere. It could have come out otherwise, and for many a well-read label it does.
#
# ## Documents
#
# Most data sets have a label for each document. Then the tokens of a document are pooled: by the mean, or by the
# largest value. Which functions of the held-out files have a `try` in them?

# %%
functions: dict[bool, list[str]] = {True: [], False: []}
for document in islice(documents("heldout"), 90):
    with suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(document.text)):
            if isinstance(node, ast.FunctionDef) and 3 < node.end_lineno - node.lineno < 20:
                has_try = any(isinstance(part, ast.Try) for part in ast.walk(node))
                lines = document.text.splitlines()[node.lineno - 1 : node.end_lineno]
                functions[has_try].append("\n".join(lines))
each = min(50, len(functions[True]))
chosen = functions[True][:each] + [str(code) for code in rng.choice(functions[False], each, replace=False)]
ids = [model.tokenizer(code)["input_ids"][:128] for code in chosen]
label = label_of("has try", [i < each for i in range(2 * each)])
(task,) = tasks_of(label, np.arange(2 * each), folds=4)

both = [dictionary, untrained]
rows, (codes, chance) = pooled(model, point, ids, [np.arange(len(own)) for own in ids], both, "max")
of_functions = {"codes": Space(codes), "untrained codes": Space(chance), "raw channels": Space(rows)}
options = ProbeOptions(ks=(1, 5, 20), cs=(0.001, 0.1))
print("k:              ", *(f"{k or 'all':>6}" for k in (*options.ks, None)))
for name, own in cross_validate(of_functions, task, options).items():
    print(f"{name:16}", *(f"{np.mean(score.accuracy):6.0%}" for score in own))
    if name == "codes":
        assert np.mean(own[0].accuracy) > 0.85

# %% [markdown]
# With the maximum, one feature should tell nearly all: the one for `try`. Look at the untrained dictionary before you
# are impressed: its best feature of 2,048 does well, too, since a single word is easy to find among so many random
# directions. The mean is a fairer pool where labels are about the whole document.
#
# ## What to be careful about
#
# - **Narrow data.** On text of one kind few features fire at all, and probes on codes see a projection to few
#   dimensions which the data has chosen. `monosema probe` says how many fire, and warns.
# - **Words.** Here a keyword is always the same string, so the token itself gives the label away; a probe of layer 0
#   would do. If the label is to be about meaning, balance the words between the classes.
# - **Choosing k, layer, pool or C by the test folds** is the leak that nobody sees. What is chosen here is chosen
#   inside the training folds.
# - Four folds of some dozens of files: differences of a few points are within the errors.
#
# ## Try
#
# - Take your own labels: `monosema probe runs/demo --labelled reviews.csv --text-column review --label-column stars`
#   (add `--pool max`).
# - Pool by the mean in the last cell. What happens to one feature, and to five?
# - Are the features of depth the same in another layer? Does the one for docstrings pass the test of removal?
# - `monosema probe runs/demo` makes all of the above for four labels, with standard errors in `--json`.
#
# ## On
#
# [Probing](../analysis.md#probing) has these probes on a dictionary of a longer run. The linear direction of a dense
# probe can be steered by, too: [Steering](../analysis.md#steering). What a feature reads, rather than what it
# correlates with, is [Linearising an MLP](../analysis.md#linearising-an-mlp).
