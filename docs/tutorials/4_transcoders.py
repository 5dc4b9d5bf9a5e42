# %% [markdown]
# # Transcoders: what an MLP computes
#
# An autoencoder on an MLP's output says what the MLP wrote. It does not say *why*: between what went in and what came
# out lies a nonlinear layer of 1,024 neurons. A **transcoder** ([Dunefsky et al.
# 2024](https://arxiv.org/abs/2406.11944)) is trained to predict the output from the *input*, so it is a wide, sparse
# MLP that stands for the dense one, and what makes one of its features fire is one product with one vector. Here you
# train a transcoder for an MLP and an autoencoder on its output, put both into the model, follow a feature back to the
# tokens that it reads, and draw a small circuit of two layers.

# %%
import matplotlib.pyplot as plt
import torch

import monosema as ms
from monosema.analysis import (
    de_embedding,
    feature_direction,
    middling_features,
    render_example,
    through_mlp,
    through_norm,
    token_strings,
    top_examples,
)
from monosema.analysis.attended import head_sources
from monosema.analysis.feeding import feeding_features
from monosema.analysis.linearise import agreement
from monosema.analysis.stream_parts import at_part, stream_parts
from monosema.circuits import attribution_graph, scores
from monosema.evaluation import evaluate_together, table_rows
from monosema.recipes import recipes

# %% [markdown]
# ## Three dictionaries on one stream
#
# `mlp_in.1` is what the MLP of layer 1 is given (behind its norm), `mlp_out.1` what it adds to the residual stream. We
# read both, and those of layer 0, in one pass of the model. All dictionaries learn from the same batches: a transcoder
# for each of the two MLPs, and an autoencoder of the second one's output, all as wide (1,024) and as sparse (32 of them
# active). Gradients and exact sums follow later, so the model computes in float32, also where 16 bits would be faster.

# %%
model = ms.load_model("tiny", dtype="float32")
points = ["mlp_in.0", "mlp_out.0", "mlp_in.1", "mlp_out.1"]
text = ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", 256, repeat=True), window=2**19)
source = ms.ModelSource(model, text, points, batch_size=1024, buffer_rows=2**14)
specs = {
    "transcoder 0": ms.Spec.transcoder("mlp_in.0", "mlp_out.0", d_in=256, d_out=256, width=1024),
    "transcoder 1": ms.Spec.transcoder("mlp_in.1", "mlp_out.1", d_in=256, d_out=256, width=1024),
    "autoencoder 1": ms.Spec.autoencoder("mlp_out.1", d=256, width=1024),
}
sample, steps = source.sample(8192), 100
learners = {
    name: ms.Learner(spec, recipes["topk"](k=32), sample, steps=steps, batch_size=1024) for name, spec in specs.items()
}
ms.train(source, learners, steps)
dictionaries = {name: learner.finished() for name, learner in learners.items()}

# %% [markdown]
# ## In the MLP's place
#
# `evaluate` puts each into the model: the autoencoder gives back the MLP's output as it reconstructs it, a transcoder
# replaces the MLP altogether. `% CE Recovered` is the share of the damage to the next-token loss, compared with an MLP
# that writes zeros, which is undone.

# %%
heldout = ms.take_contexts(ms.Contexts(model.tokenizer, "tiny:heldout", 256), tokens=8192)
found = ms.evaluate(dictionaries, model, heldout[:16])
print(table_rows({name: one.metrics for name, one in found.items()}))

assert found["autoencoder 1"].metrics.fve > found["transcoder 1"].metrics.fve > 0.4
assert found["transcoder 1"].metrics.ce_recovered > 0.6 < found["transcoder 0"].metrics.ce_recovered

# %% [markdown]
# The autoencoder explains more of the output than the transcoder of the same MLP. That comparison is unfair: it has
# *seen* the output, and only has to compress it; the transcoder has to compute it. Ask instead what is left of the
# model. A dictionary can also be put there by hand. `splice` says what is replaced by what, and `replacing` does it;
# here for both transcoders, so that neither MLP runs.

# %%
both = {name: dictionaries[name] for name in ("transcoder 0", "transcoder 1")}
prompt = torch.tensor([model.tokenizer("for i in range(10):\n    if i ==")["input_ids"]])
with ms.replacing(model, [*ms.splice(both["transcoder 0"]), *ms.splice(both["transcoder 1"])]):
    replaced = model.logits(prompt)[0, -1].softmax(-1)
original = model.logits(prompt)[0, -1].softmax(-1)
for token in original.topk(5).indices.tolist():
    text = repr(model.tokenizer.decode([token]))
    print(f"{text:10} {original[token]:6.1%} with the MLPs, {replaced[token]:6.1%} with transcoders")

together = evaluate_together(both, model, heldout[:16])
print(f"\ncross-entropy {together.ce_clean:.2f} with the MLPs, {together.ce_spliced:.2f} with transcoders", end="")
print(f", {together.ce_zero:.2f} with zeros")
assert together.ce_spliced - together.ce_clean < 0.2 * (together.ce_zero - together.ce_clean)

# %% [markdown]
# ## A feature that tells two colons apart
#
# What can be done with a transcoder that an autoencoder cannot? Take the token `):`. Here it ends the head of a class,
# or that of a method: the token is the same, and what should follow is not. Which feature of transcoder 1 differs most,
# on average over some of each?

# %%
transcoder, autoencoder = dictionaries["transcoder 1"], dictionaries["autoencoder 1"]
prompts = {
    "class": ["class A(Base):", "import os\n\n\nclass Path(object):", "class TestRead(unittest.TestCase):"],
    "method": [
        "class A:\n    def f(self):",
        "class B:\n\n    def read(self, n):",
        "class C(B):\n    def __init__(self, x):",
    ],
}


def codes_at_the_end(prompt: str) -> torch.Tensor:
    ids = torch.tensor([model.tokenizer(prompt)["input_ids"]])
    return transcoder.encode(ms.read(model, ids, ["mlp_in.1"])["mlp_in.1"][0, -1])


codes = {name: torch.stack([codes_at_the_end(prompt) for prompt in own]) for name, own in prompts.items()}
feature = int((codes["class"].mean(0) - codes["method"].mean(0)).argmax())
for name, values in codes.items():
    print(f"feature {feature} after a {name}'s head:", *(f"{value:.1f}" for value in values[:, feature]))
for example in top_examples(transcoder, model, heldout, [feature], n=6, window=(14, 3))[feature]:
    print(render_example(example))
assert codes["class"][:, feature].min() > codes["method"][:, feature].max() + 1

# %% [markdown]
# The places of held-out text where it is strongest, with the token between « and », were not used to choose it. The
# first ones should be ends of class heads. (Others are a lesson, too: a feature is rarely about one thing alone.)
#
# ## Why it fires
#
# The feature's pre-activation is `W_enc[:, feature] · mlp_in + bias`. Only a norm lies between `mlp_in.1` and the
# residual stream, and for one token a norm is a scale. So the feature is a *direction in the residual stream*, and the
# stream is a sum of what each part before has added: the embedding, layer 0's attention and MLP, layer 1's attention.
# The product with each says how much it contributed. We look at the first prompt of each kind.

# %%
ids = {name: torch.tensor(model.tokenizer(own[0])["input_ids"]) for name, own in prompts.items()}
ways, parts = {}, {}
for name, own in ids.items():
    _, read = feature_direction(transcoder, model, own, len(own) - 1, feature)
    ways[name] = through_norm(model, own, read)
    parts[name] = stream_parts(model, own, ways[name]) | {"biases": ways[name].constant}
    assert abs(sum(parts[name].values()) - read.value) < 1e-3  # nothing is left over

figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
for offset, (name, color) in zip((-0.2, 0.2), (("class", "tab:blue"), ("method", "tab:orange")), strict=True):
    ax.bar([i + offset for i in range(5)], list(parts[name].values()), 0.4, label=f"after a {name}'s head", color=color)
ax.axhline(0, color="black", lw=0.8)
ax.set(title=f"What feature {feature} is made of at `):`", ylabel="part of the pre-activation")
ax.set_xticks(range(5), ["embedding", "attention 0", "MLP 0", "attention 1", "biases"])
ax.legend()
difference = {point: parts["class"][point] - parts["method"][point] for point in parts["class"]}
assert max(difference, key=lambda point: difference[point]) == "attn_out.1"

# %% [markdown]
# The MLP of layer 0 gives about the same in both: it has seen the same token. What tells the prompts apart is the
# attention of layer 1. Which tokens does the direction point at? Products with embeddings say little in this model,
# since its first MLP rewrites them; *effective* embeddings have that MLP's part added.

# %%
for effective in (False, True):
    along = de_embedding(model, ways["class"], n=8, effective=effective)
    names = [model.tokenizer.decode([token]) for token in along.top_tokens[0].tolist()]
    print("effective embeddings:" if effective else "embeddings:          ", names)

# %% [markdown]
# And where did attention look? `head_sources` takes what a layer's attention gave to the direction apart by head and
# source token; the numbers of each picture add up to the bar above.

# %%
shapes = {"width_ratios": [len(own) for own in ids.values()]}
figure, axes = plt.subplots(1, 2, figsize=(7, 3.4), layout="constrained", gridspec_kw=shapes)
given = {name: head_sources(model, own, at_part(model, own, ways[name], "attn_out.1")) for name, own in ids.items()}
most = max(own.abs().max() for own in given.values())
for ax, (name, own) in zip(axes, ids.items(), strict=True):
    assert abs(given[name].sum() - parts[name]["attn_out.1"]) < 0.3  # attention's own bias is in the bar alone
    shown = ax.imshow(given[name], cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    tokens = [repr(token)[1:-1] for token in token_strings(model.tokenizer, own.tolist())]
    ax.set_xticks(range(len(own)), tokens, rotation=60, ha="right")
    ax.set(title=name, xlabel="source token", ylabel="head of layer 1")
_ = figure.colorbar(shown, ax=axes, label="part of the pre-activation")

# %% [markdown]
# Blue speaks for the feature, red against it. In the class's prompt heads find `class` and the name of the base, and
# bring more than they take. In the method's prompt they find the line break with its indentation, `def` and `(`, and
# for the most part these take away: this does not end the head of a class.
#
# ## From feature to feature
#
# A feature of transcoder 0 writes a direction into the stream, and a feature of transcoder 1 reads one. Their product
# is a connection that is *the same for every input*, up to the norm's scale; times the code at this token it is what
# the one gave to the other. Through an autoencoder's two sides there is no such number.

# %%
feeding = feeding_features(both["transcoder 0"], model, ids["class"], ways["class"])
top = feeding.contributions.topk(2).indices.tolist()
examples = top_examples(both["transcoder 0"], model, heldout, top, n=3, window=(8, 3))
for earlier in top:
    connection, code = feeding.connections[earlier], feeding.codes[earlier]
    print(
        f"feature {earlier} of transcoder 0: connection {connection:+.2f} × code {code:.1f} = {connection * code:+.2f}"
    )
    print("\n".join(map(render_example, examples[earlier])))
print(f"all active ones: {feeding.contributions.sum():.2f}; MLP 0 as a whole: {parts['class']['mlp_out.0']:.2f}")

# %% [markdown]
# ## What an autoencoder can say
#
# A feature of the autoencoder reads the MLP's *output*, so its way back goes through the MLP: by the MLP's gradient at
# one token. That is exact there, and at other tokens another gradient would hold. How well does the direction that one
# token gives predict the feature at all other tokens on which it fires? For twenty features of middling density of each
# kind:

# %%
rows = {
    point: x.flatten(0, 1) for point, x in ms.read(model, heldout, ["mlp_in.1", "mlp_out.1", "resid_mid.1"]).items()
}


def correlations(dictionary: ms.Dictionary) -> list[float]:
    point = dictionary.spec.reads[0]
    fires = dictionary.encode(rows[point])
    counts = (fires > 0).sum(0)
    values = []
    for chosen in middling_features(counts.where(counts >= 20, 0) / len(fires), 20):
        strongest = int(fires[:, chosen].argmax())
        context, position = divmod(strongest, heldout.shape[1])
        _, own = feature_direction(dictionary, model, heldout[context], position, chosen)
        back = own if point == "mlp_in.1" else through_mlp(model, heldout[context], own)
        back = through_norm(model, heldout[context], back)
        others = fires[:, chosen].nonzero().flatten()
        others = others[others != strongest]
        values.append(agreement(own, back, {name: x[others] for name, x in rows.items()}).correlation)
    return sorted(values)


figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
of_both = {"transcoder": correlations(transcoder), "autoencoder, through the MLP": correlations(autoencoder)}
for (name, values), marker in zip(of_both.items(), "os", strict=True):
    ax.plot(range(1, 21), values, marker, label=name)
ax.set(title="Does one token's direction hold at others?", xlabel="feature, worst first", ylabel="correlation")
ax.set(ylim=(-0.1, 1.05), xticks=range(1, 21, 3))
ax.legend(loc="lower right")
medians = [torch.tensor(values).median() for values in of_both.values()]
assert medians[0] > 0.9 > 0.8 > medians[1]

# %% [markdown]
# A transcoder's features have one direction each: what varies is only the norm's scale. The autoencoder's have one for
# every token, which agree somewhat. That is what the lower variance explained buys.
#
# ## A small circuit
#
# For a whole prompt, `attribution_graph` does all of this at once, from the predictions back: nodes are token
# embeddings, active features of both transcoders, what the transcoders miss (*errors*; all of an MLP without a
# transcoder is one), and the likeliest next tokens. Norms' scales and attention patterns are held as they are on this
# prompt, so edges into a node add up to its value.

# %%
graph = attribution_graph(model, both, ids["class"].tolist())
place = (len(ids["class"]) - 1, "transcoder 1", feature)
(ours,) = (number for number, node in enumerate(graph.nodes) if (node.position, node.site, node.index) == place)
logits = [number for number, node in enumerate(graph.nodes) if node.kind == "logit"]


def name_of(number: int) -> str:
    node = graph.nodes[number]
    token = repr(model.tokenizer.decode([graph.tokens[node.position]]))
    if node.kind == "logit":
        return f"next token {model.tokenizer.decode([node.index])!r} ({node.value:.0%})"
    what = {
        "feature": f"feature {node.index} of {node.site}",
        "error": f"error of {node.site}",
        "embedding": "embedding",
    }
    return f"{what[node.kind]} at {token}"


for target in (logits[0], ours):
    print(f"into {name_of(target)}:")
    for number in graph.edges[target].abs().topk(8).indices.tolist():
        print(f"   {graph.edges[target, number]:+6.2f}  from {name_of(number)}")
print(f"\nshare of the influence on the predictions that is no error: {scores(graph).replacement:.0%}")

# %% [markdown]
# About half of the influence is errors here: two short transcoders, and two MLPs without one. A circuit says how the
# *replacement* computes; how much of the model that is stands in the last line. So test what it says in the model
# itself. We take the feature away where it fires, keep all else, errors too, and look at the logits (less their mean,
# as in the graph):


# %%
def without(codes: torch.Tensor) -> torch.Tensor:
    kept = codes.clone()
    kept[..., feature] = 0
    return kept


before = model.logits(ids["class"][None])[0, -1]
with ms.replacing(model, ms.splice(transcoder, edit=without, keep_error=True)):
    after = model.logits(ids["class"][None])[0, -1]
change = (before - before.mean()) - (after - after.mean())
for number in logits:
    edge, total = graph.edges[number, ours], change[graph.nodes[number].index]
    print(f"{name_of(number):32} edge {edge:+.2f}, all that it adds {total:+.2f}")

# %% [markdown]
# The edge is the direct effect; what it adds in all has passed through later layers, too. Where the two disagree, later
# layers are part of the story.
#
# ## What to be careful about
#
# - A transcoder is another function than the MLP. Wherever you say what the model does, look at the error's part as
#   well, and remove features in the model, not in the graph alone.
# - After so short a run about half of a transcoder's features fire on no held-out token. `monosema train --config
#   configs/transcoders.yaml` trains one for each of the four MLPs, on more tokens; [wirings](../wirings.md) says how
#   far that gets.
# - The prompts were chosen to show a difference, and the feature as the one with the largest. That makes a story, not a
#   statistic. Held-out examples, and features chosen by chance (as the twenty above), are what keeps one honest.
#
# ## Try
#
# - Give the transcoders `skip=True`, a linear path beside the features ([Paulo et al.
#   2025](https://arxiv.org/abs/2501.18823)). How much more is explained? What do features no longer have to do?
# - Which feature fires after the methods and not after the classes? Where does attention look for it?
# - Follow the way on through a head: `way_back(model, ids["method"], read, ["attn_z.1.7@3"])` of
#   `monosema.analysis.pullback_path`, then `de_embedding` at that position. Or on the command line: `monosema
#   linearise`.
# - `monosema circuit` of a run with all four transcoders writes a page on which the graph is walked through.
#
# ## On
#
# [Wirings](../wirings.md#transcoders) has transcoders, those of several layers and cross-layer ones. [Linearising an
# MLP](../analysis.md#linearising-an-mlp) and [Attribution and circuits](../analysis.md#attribution-and-circuits) say
# what was computed above, and how well it does on many features. The next tutorial looks at attention heads.
