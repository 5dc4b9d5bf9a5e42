# %% [markdown]
# # Dictionaries of other libraries
#
# Many dictionaries are published, by several libraries, each with its own files. The arithmetic is nearly the same in
# all of them, and "nearly" is where results go wrong: whether a bias is subtracted first, how weights are turned,
# whether activations were scaled. Here you look up what has been published, learn what an address is, write one
# dictionary in the forms of SAELens, dictionary_learning and sparsify, read each of them back and check that all four
# are the same. Then you break one, and publish a run (without a network, as a dry run). Nothing here is downloaded.

# %%
import json
import os
import shutil
from collections import Counter
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything is loaded that would ask the hub
os.environ["HF_HOME"] = "runs/an-empty-cache"

import matplotlib.pyplot as plt
import torch
from safetensors.torch import load_file

import monosema as ms
from monosema.evaluation import table_rows
from monosema.hub import Published, parse, releases, search
from monosema.recipes import recipes
from monosema.runs.push import push

# %% [markdown]
# ## What is there?
#
# The package carries a list of published dictionaries, which needs no network: model, hook point, width, L0 and address
# of each. On the command line it is `monosema pretrained search gemma-2-2b resid_post.12`; every word has to fit.

# %%
everything = [one for release in releases().values() for one in release]
print(f"{len(everything):,} dictionaries of {len(releases())} releases")
found = search(["gemma-2-2b", "resid_post.12"])
print(f"{len(found)} of them read resid_post.12 of Gemma 2 2B, for example")
for one in [one for one in found if one.l0][::15]:
    print(f"   {one.width:>9,} features, L0 {one.l0:3.0f}, files of {one.format}: {one.address}")


def kind(one: Published) -> str:
    if one.reads != one.writes:
        return "transcoder"
    point = one.reads.split(".")[0]
    return {"attn": "attention", "mlp": "MLP output"}.get(point.split("_")[0], "residual stream")


counts = Counter((one.model.split("/")[-1], kind(one)) for one in everything)
models = [name for name, _ in Counter(one.model.split("/")[-1] for one in everything).most_common(15)][::-1]
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
left = [0] * len(models)
for name, color in zip(
    ("residual stream", "MLP output", "attention", "transcoder"), plt.cm.viridis([0.0, 0.35, 0.65, 0.95]), strict=True
):
    own = [counts[model, name] for model in models]
    ax.barh(models, own, left=left, color=color, label=name)
    left = [a + b for a, b in zip(left, own, strict=True)]
ax.set(title="Published dictionaries of the 15 models that have most", xlabel="dictionaries in the registry")
_ = ax.legend(loc="lower right")

# %% [markdown]
# ## What an address is
#
# `ms.load` takes the path of a folder or file, or an address: `hf://org/repo/path@revision` is a place on the Hugging
# Face hub, `saelens:release/id` an entry of the list, `gemma-scope:…` short for that. All of them mean a repository, a
# path in it and a revision:

# %%
for address in (
    "gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_82",
    "saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre",
    "hf://EleutherAI/sae-llama-3-8b-32x/layers.10@main",
):
    print(f"{address}\n   {parse(address)}")

# %% [markdown]
# With a network, `ms.load(address)` downloads the files of that dictionary alone, checks them against the hub's
# checksums and keeps them in the usual cache. Without one it says what is missing and where it would have to lie. A
# name that does not exist is found out before the network is asked.


# %%
def refusal(address: str) -> str:
    try:
        ms.load(address)
    except ms.InputError as error:
        return str(error)
    raise AssertionError("there is no network here")


print(refusal("gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_82"), end="\n\n")
print(refusal("gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_83"), end="\n\n")
print(refusal("jbloom/GPT2-Small-SAEs-Reformatted/blocks.8.hook_resid_pre"))

# %% [markdown]
# Where there is a network, `monosema pretrained download ADDRESS` fetches it beforehand; the cache can be carried to a
# machine without (`HF_HOME` says where it is), or the dictionary's folder alone, whose path is then what one loads.
#
# ## A dictionary of our own
#
# `ms.run` is the whole job of `monosema train`: it trains, measures and writes a folder. Two dictionaries, on few
# tokens; how good they are does not matter here.

# %%
config = ms.RunConfig(
    dictionaries=tuple(
        ms.DictionaryConfig(recipe=recipes[name](k=32), site="resid_post.2", width=1024, name=name)
        for name in ("topk", "batch_topk")
    ),
    tokens=60_000, batch_size=1024, buffer=2**14, shuffle=2**18, heldout_tokens=4096,
)  # fmt: skip
result = ms.run(config, "runs/published", overwrite=True)
print(table_rows(result.metrics))
own = {name: ms.load(f"runs/published/dictionaries/{name}") for name in result.metrics}

# %% [markdown]
# ## The same in three other forms
#
# `ms.save_as`, or `monosema convert runs/published saes --to saelens` for all of a run. Look at the names and the
# shapes: sparsify and dictionary_learning have the encoder as a linear layer, which is the matrix turned;
# dictionary_learning's decoder is turned, too.

# %%
forms = {name: Path("runs/forms", name) for name in ("saelens", "dictionary_learning", "sparsify")}
for name, folder in forms.items():
    shutil.rmtree(folder, ignore_errors=True)
    ms.save_as(own["topk"], folder, name)
    (weights,) = (path for path in folder.iterdir() if path.suffix in (".safetensors", ".pt"))
    tensors = torch.load(weights, weights_only=True) if weights.suffix == ".pt" else load_file(weights)
    print(f"{name}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    print("  ", ", ".join(f"{key} {list(tensor.shape)}" for key, tensor in sorted(tensors.items())))

# %% [markdown]
# `ms.load` recognises each by its files. All of them are one `Dictionary`, with the field's names for the weights,
# whoever wrote them. That is what a round trip is: the same codes and the same reconstruction, bit for bit.

# %%
model = ms.load_model("tiny")
heldout = ms.take_contexts(ms.Contexts(model.tokenizer, "tiny:heldout", 256), tokens=4096)
x = ms.read(model, heldout, ["resid_post.2"])["resid_post.2"].flatten(0, 1).float()
loaded = {name: ms.load(folder) for name, folder in forms.items()}
with torch.no_grad():
    for name, dictionary in loaded.items():
        same = torch.equal(dictionary.encode(x), own["topk"].encode(x)), torch.equal(dictionary(x), own["topk"](x))
        print(f"{name:20} same codes {same[0]}, same reconstruction {same[1]}, reads {dictionary.spec.reads}")
        assert all(same)

# %% [markdown]
# Not everything can be said in every form. SAELens has no class for a BatchTopK at inference and saves it as JumpReLU
# with one threshold, which is the same function; so do we. And what a library has no class for is refused, with nothing
# written:

# %%
ms.save_as(own["batch_topk"], "runs/forms/jumprelu", "saelens")
other = ms.load("runs/forms/jumprelu")
print(type(own["batch_topk"].activation).__name__, "→", type(other.activation).__name__)
with torch.no_grad():
    assert torch.allclose(other.encode(x), own["batch_topk"].encode(x), atol=1e-4)
try:
    ms.save_as(own["batch_topk"], "runs/forms/refused", "sparsify")
except ms.InputError as error:
    print(error)
assert not Path("runs/forms/refused").exists()

# %% [markdown]
# ## Somebody else's file
#
# The files above came from us, and carry our metadata in an entry of the configuration that the other library does not
# read. A file that SAELens wrote has no such entry. Let us make one, and then a second one in which a single flag is
# wrong: `apply_b_dec_to_input` says whether the decoder's bias is subtracted from the input before it is encoded.


# %%
def edited(name: str, **changes: bool) -> ms.Dictionary:
    folder = shutil.copytree(forms["saelens"], f"runs/forms/{name}", dirs_exist_ok=True)
    settings = json.loads(Path(folder, "cfg.json").read_text())
    settings["metadata"].pop("monosema")
    Path(folder, "cfg.json").write_text(json.dumps(settings | changes))
    return ms.load(folder)


theirs, wrong = edited("theirs"), edited("wrong", apply_b_dec_to_input=False)
print(theirs.spec.reads, theirs.metadata["model"], theirs.spec.input_bias, wrong.spec.input_bias)
measured = ms.evaluate({"ours": own["topk"], "theirs": theirs, "one flag wrong": wrong}, model, heldout)
print(table_rows({name: one.metrics for name, one in measured.items()}))
assert measured["theirs"].metrics.fve == measured["ours"].metrics.fve > measured["one flag wrong"].metrics.fve + 0.05

# %% [markdown]
# The hook point has TransformerLens' name now, `blocks.2.hook_resid_post`, and means the same place. (The figures of
# ours are not quite those of the run, which measured on held-out text from all over; these are the first tokens of it.)
# With the flag wrong nothing fails: it is a dictionary, it has codes, and it is a bad one. That is why the conventions
# of each format are [written down](../formats.md#rules) and tested against the libraries' own files, and why the first
# thing to do with a dictionary from elsewhere is to **measure it and compare with what its authors say**. Three things
# that measuring finds: wrong conventions, the wrong layer, and a model that is not the one it was trained on. The last
# is easily overlooked: TransformerLens folds and centres weights when it loads a model, which changes activations and
# not predictions. If a dictionary's metadata say so, it is refused on another model:

# %%
theirs.metadata["model_preprocessing"] = ["center_writing_weights"]
try:
    ms.evaluate({"theirs": theirs}, model, heldout)
except ms.InputError as error:
    print(error)
else:
    raise AssertionError("it should have been refused")

# %% [markdown]
# ## Publishing
#
# `monosema push runs/published org/repo --dry-run FOLDER` writes what would be published, and asks nobody. Without
# `--dry-run` it is one commit on the hub. Both forms go up: ours, and SAELens'.

# %%
shutil.rmtree("runs/to-look-at", ignore_errors=True)
place = Path(push("runs/published", "me/tiny-dictionaries", dry_run="runs/to-look-at", license="mit"))
for path in sorted(place.rglob("*")):
    if path.is_file():
        print(f"{path.stat().st_size:>9,}  {path.relative_to(place)}")
print()
print("\n".join((place / "README.md").read_text().splitlines()[:30]))

# %% [markdown]
# A folder like this is also what one finds at an address, so what a reader of it will get can be tried before anybody
# else does:

# %%
published = ms.load_all(place)
assert list(published) == ["batch_topk", "topk"]
assert all(torch.equal(published[name].W_dec, own[name].W_dec) for name in own)
assert torch.equal(ms.load(place / "topk" / "saelens").W_dec, own["topk"].W_dec)
print({name: (dictionary.metadata["text"], dictionary.metadata["tokens"]) for name, dictionary in published.items()})

# %% [markdown]
# ## What to be careful about
#
# - Metadata and configuration say which model and text were used. If these were files of yours, their paths are
#   published: look at the dry run.
# - Widths and L0 in the list are those that somebody has written into a name. Measure L0 on your own text; on another
#   kind of text it is another.
# - Files are data: `.pt` is read with `weights_only=True`, and sizes are compared with what is there. Do not load
#   pickles of strangers by other means.
# - A list ages. What is not on it is loaded by its place, `hf://…`, if it is in [a format that is
#   read](../formats.md#what-is-read).
#
# ## Try
#
# - With a network: `sae = ms.load("saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre")`, `model =
#   ms.load_model("gpt2")` and `ms.evaluate`. Why is it refused? ([Folded and centred
#   weights](../pretrained.md#folded-and-centred-weights) says what to do.)
# - Which releases have transcoders? `monosema pretrained search` lists hook points.
# - Save a `gated` or a `matryoshka` dictionary in each form. Which forms can express it?
# - In `wrong`, set `architecture` to `jumprelu` and load it. What does the message name?
#
# ## On
#
# [Published dictionaries](../pretrained.md), [File formats](../formats.md), and, name by name, [Coming from another
# library](../migrating.md). `ms.for_evaluators(dictionary)` is what SAEBench's and SAELens' own evaluators take.
