# %% [markdown]
# # From one GPU to many
#
# A run on many devices is planned, started, divided, interrupted and gone on with. None of that needs a GPU to be
# understood: the arithmetic of a plan runs anywhere, and processes on a CPU talk through `gloo` as those on GPUs do
# through NCCL. Here you plan a run on this machine and a campaign on sixty-four H100s, train the same dictionary with
# one process and with two, in two layouts, kill one of the two in the middle, and compare what comes out, bit by bit.

# %%
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig

import monosema as ms
from monosema.config import dump_yaml
from monosema.planning import best, hardware
from monosema.recipes import recipes
from monosema.runs.parallel import Parallel
from monosema.runs.plan import gib, planned
from monosema.runs.plan_text import lines_of
from monosema.runs.workload import workload_of

# %% [markdown]
# ## A small run
#
# To keep the processes light they read stored activations, `resid_post.1` of the embedded model, and need no model. The
# configuration is the one that `monosema train --config` takes.

# %%
model = ms.load_model("tiny")
contexts = ms.take_contexts(ms.Contexts(model.tokenizer, "tiny:train", 256), tokens=16_384)
Path("runs").mkdir(exist_ok=True)
save_file(
    {"resid_post.1": ms.read(model, contexts, ["resid_post.1"])["resid_post.1"].flatten(0, 1).float()},
    "runs/activations.safetensors",
)
run = ms.RunConfig(
    activations="runs/activations.safetensors",
    dictionaries=(ms.DictionaryConfig(recipe=recipes["batch_topk"](k=16), site="resid_post.1", width=256, name="d"),),
    tokens=30_720, batch_size=1024, log_every=3, heldout_tokens=800, precision="float32", device="cpu",
)  # fmt: skip
dump_yaml(run, Path("runs/run.yaml"))

# %% [markdown]
# ## What would it take?
#
# `monosema plan runs/run.yaml --hardware cpu` says so before anything starts; in Python it is `planned`. For `cpu`,
# this machine's speed is measured in a second; for GPUs figures come from data sheets and two assumed shares.

# %%
machine = hardware("cpu")
work, here, fastest = planned(run, machine, ranks=1)
print("\n".join(lines_of(work, machine, "cpu", here, fastest)))
assert here.fits

# %% [markdown]
# ## A campaign
#
# Now one that nobody tries out: a dictionary of 131,072 features after every one of the 32 layers of a model of 8 B
# parameters, on ten billion tokens. Of the model, only its `config.json` is read. The pass through it is made on the
# meta device, where tensors have shapes and no contents.

# %%
shape = LlamaConfig(
    hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8,
    vocab_size=128256, max_position_embeddings=131072, dtype="bfloat16",
)  # fmt: skip
shape.save_pretrained("runs/eight-billion")
sites = [f"resid_post.{layer}" for layer in range(32)]
each = [ms.DictionaryConfig(recipe=recipes["batch_topk"](k=64), site=site, width=131_072) for site in sites]
campaign = ms.RunConfig(
    model="runs/eight-billion", text="hf:HuggingFaceFW/fineweb", context=1024,
    tokens=10_000_000_000, batch_size=65_536, buffer=2**21, dictionaries=tuple(each),
)  # fmt: skip
work, h100 = workload_of(campaign), hardware("h100")
plans = {ranks: best(work, h100, ranks) for ranks in (8, 16, 32, 64)}
for ranks, plan in plans.items():
    mesh, needs = plan.mesh, gib(sum(plan.device.values()))
    print(f"{ranks:3} × H100: data {mesh.data}, spread {mesh.spread}, feature {mesh.feature}", end=": ")
    print(f"{plan.duration / 3600:5.1f} hours, {needs} of {gib(plan.device_memory)}", end="")
    print("" if plan.fits else " (does not fit)")

# %%
hours = {ranks: {what: own * ranks / 3600 for what, own in plan.seconds.items()} for ranks, plan in plans.items()}
held = {ranks: {what: own / 2**30 for what, own in plan.device.items()} for ranks, plan in plans.items()}
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for ax, values, unit in zip(axes, (hours, held), ("GPU hours", "GiB of each device"), strict=True):
    kinds, bottom = list(values[64]), [0.0] * len(plans)
    for kind, color in zip(kinds, plt.cm.viridis(torch.linspace(0, 0.95, len(kinds))), strict=True):
        own = [values[ranks][kind] for ranks in plans]
        ax.bar([str(ranks) for ranks in plans], own, bottom=bottom, color=color, label=kind)
        bottom = [a + b for a, b in zip(bottom, own, strict=True)]
    ax.set(xlabel="H100s", ylabel=unit)
    ax.legend(fontsize=7)
axes[1].axhline(h100.memory / 2**30, color="black", ls=":")
figure.suptitle("A dictionary after each of 32 layers: what it costs, and what a device holds (dotted: all it has)")
assert plans[64].fits
assert sum(plans[64].device.values()) < sum(plans[8].device.values())

# %% [markdown]
# With few devices the dictionaries do not fit, and a plan says so; `monosema plan` then names the layout or the number
# that would. Where it fits, more devices cost more GPU hours, and the difference is communication. `planned` and `best`
# choose among layouts of three kinds, and these are what the `parallel` of a run means:
#
# | | divided | passed on in each step |
# | --- | --- | --- |
# | data (what is left over) | the rows of a batch | gradients are summed |
# | `feature` | the features of each dictionary | partial reconstructions are summed; of the largest codes, candidates |
# | `spread` | the dictionaries of a run | rows, and nothing else |
#
# Data-parallel ranks each hold the whole dictionary. `feature` and `spread` divide memory, too: it takes 16 bytes for
# each parameter of a dictionary (weights, gradients and two moments), wherever that is.
#
# ## One process, and two
#
# The same configuration runs in both. `torchrun` starts the processes, and each finds its place. The usual command is
#
#     torchrun --nproc-per-node 2 -m monosema train --config runs/run.yaml --out runs/two --resume
#
# Here a script does two such runs one after another, which saves starting Python twice: first the batch is divided,
# then the features.

# %%
ms.run(run, "runs/one", overwrite=True)
layouts = {"data": Parallel(), "feature": Parallel(feature=2)}
for name, layout in layouts.items():
    dump_yaml(replace(run, parallel=layout), Path(f"runs/{name}.yaml"))
Path("runs/work.py").write_text("""
from pathlib import Path

import monosema as ms
from monosema.config import load_yaml

for name in ("data", "feature"):
    ms.run(load_yaml(ms.RunConfig, Path(f"runs/{name}.yaml")), f"runs/{name}", overwrite=True)
""")
torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
job = subprocess.run([*torchrun, "runs/work.py"], capture_output=True, text=True)
assert job.returncode == 0, job.stderr

# %% [markdown]
# What is computed is the same, in another order: two processes add up two halves. So sums differ in their last bits.


# %%
def log_of(name: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in Path(f"runs/{name}/metrics.jsonl").read_text().splitlines()]


def weights(name: str) -> dict[str, torch.Tensor]:
    return dict(ms.load(f"runs/{name}/dictionaries/d").state_dict())


print("         loss of step 1   of the last step   variance explained, held out   decoders differ by")
for name in ("one", *layouts):
    first, last = log_of(name)[0], log_of(name)[-1]
    explained = json.loads(Path(f"runs/{name}/metrics.json").read_text())["dictionaries"]["d"]["fve"]
    apart = (weights(name)["W_dec"] - weights("one")["W_dec"]).norm() / weights("one")["W_dec"].norm()
    print(f"{name:8} {first['loss']:14.7f} {last['loss']:18.7f} {explained:30.1%} {apart:20.1e}")
    assert abs(first["loss"] - log_of("one")[0]["loss"]) < 1e-5
    assert abs(last["fve"] - log_of("one")[-1]["fve"]) < 0.02

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for name, style in zip(("one", *layouts), ("-", "o", "x"), strict=True):
    steps = log_of(name)
    ax.plot([step["tokens"] for step in steps], [step["fve"] for step in steps], style, label=name, mfc="none")
ax.set(title="One process, and two in two layouts", xlabel="tokens", ylabel="variance explained (batch)")
_ = ax.legend()

# %% [markdown]
# The curves lie on each other. The weights at the end need not: somewhere one of two nearly equal codes was chosen here
# and the other there, and Adam makes a whole step of a gradient that is nearly zero. Two runs that differ in their last
# bits are two samples of one training run, as if by another order of the text. (In the first steps they agree to seven
# digits; the tests hold that for every recipe.)
#
# ## Killed in the middle
#
# Long runs end early: machines fail, and time slots end. This one saves a checkpoint every few steps. We start it in a
# process of its own, wait for the first checkpoint, kill it without a warning, and go on with it here. A checkpoint
# holds all that a step depends on: weights, moments, schedules, counters of dead features, random generators, and the
# place in the data.

# %%
safe = replace(run, checkpoint_every=2 * run.batch_size)
dump_yaml(safe, Path("runs/safe.yaml"))
shutil.rmtree("runs/killed", ignore_errors=True)
command = [sys.executable, "-m", "monosema", "train", "--config", "runs/safe.yaml", "--out", "runs/killed"]
with open("runs/killed.log", "w") as log, subprocess.Popen(command, stdout=log, stderr=log) as job:
    while job.poll() is None and not list(Path("runs/killed/checkpoints").glob("step-*")):
        time.sleep(0.02)
    job.kill()
assert job.returncode < 0, Path("runs/killed.log").read_text()  # a signal ended it
print("killed; what is there:", *sorted(path.name for path in Path("runs/killed").iterdir()))
assert not Path("runs/killed/metrics.json").exists()

ms.run(safe, "runs/killed", resume=True)
for path in sorted(Path("runs/one/dictionaries/d").iterdir()):
    same = path.read_bytes() == Path("runs/killed/dictionaries/d", path.name).read_bytes()
    print(f"{path.name}: {'the same bytes' if same else 'other bytes'} as of the run that was not killed")
    assert same

# %% [markdown]
# This time not nearly the same, but the same bytes. On the command line it is `monosema train --out runs/killed
# --resume`. Of several processes, each writes its own part of a checkpoint. If one dies, the others notice within
# seconds and end, too; `torchrun --max-restarts 3 … --resume` begins all of them again behind the newest checkpoint. As
# many processes as before end with the same bits again, another number goes on to a run that is the same as far as
# rounding lets it.
#
# ## What to be careful about
#
# - Plans are arithmetic. Of a GPU nothing in these figures was measured: run one machine for an hour, and give
#   `monosema plan` the rates that it reached (`--efficiency`, `--network`).
# - "The same bits" holds for as many processes, threads and devices of the same kind, and for nothing else.
# - Two processes on one CPU are no faster than one here: they share its cores, and a batch this small is mostly talk.
#   What divides well is in the second figure.
# - A batch is that of all ranks together. More ranks with the same `batch_size` means fewer rows each, and more
#   communication for each of them.
#
# ## Try
#
# - Which layout does `best` choose if dictionaries have a million features? If the network is ten times slower
#   (`replace(h100, network=5e9)`)?
# - Give the run two dictionaries and `Parallel(spread=2)`. What is passed on now?
# - `monosema harvest` under `torchrun` writes one store with all processes, to the same bytes as one process would.
# - On a machine with GPUs: `examples/scale/node.sh`, and `slurm.sbatch` for several machines; both plan first.
#
# ## On
#
# [Scaling](../scaling.md) has the formulas behind a plan, how they compare with measurements, and the campaign above;
# [Stores and checkpoints](../stores.md) what resuming promises.
