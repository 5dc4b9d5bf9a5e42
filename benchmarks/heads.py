"""Dictionaries of all heads of an attention layer: dense against one block for each head, and their protocols.

    python benchmarks/heads.py [--tokens 250000] [--store FOLDER] [--keep FOLDER] [--out benchmarks/results/heads.jsonl]
    python benchmarks/heads.py --draw docs/images/heads.png    # what the results file holds

All learn from one stream at `attn_z.2` of the embedded model, sparsity set to 20 active features, and are measured on
held-out text. Poor starts: an encoder that points elsewhere than the decoder, biases at zero, the basis as it comes.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch

from monosema.activations import Contexts, MixedContexts, ModelSource, Source
from monosema.activations.store import StoreSource
from monosema.device import has_fast_bf16
from monosema.dictionaries import Dictionary, Spec, save
from monosema.evaluation import evaluate
from monosema.models import load_model
from monosema.recipes import Recipe
from monosema.recipes.april_l1 import AprilL1Recipe
from monosema.recipes.l1 import L1Recipe
from monosema.recipes.topk import TopKRecipe
from monosema.runs.data import heldout_contexts
from monosema.training import Learner, ProgressBar, train

POINT, HEADS, D, L0, BATCH = "attn_z.2", 8, 256, 20, 512
NARROW, WIDE = 2048, 16_384


def start_poorly_(dictionary: Dictionary, generator: torch.Generator) -> None:
    """Encoder directions of their own, as long as the decoder's."""
    with torch.no_grad():
        dictionary.W_enc.normal_(generator=generator)
        norms = dictionary.W_enc.norm(dim=-2, keepdim=True)
        dictionary.W_enc.mul_(dictionary.W_dec.norm(dim=-1).mean() / norms)


@dataclass(frozen=True)
class PoorApril(AprilL1Recipe):
    def initialise_(self, dictionary: Dictionary, generator: torch.Generator) -> None:
        super().initialise_(dictionary, generator)
        start_poorly_(dictionary, generator)


@dataclass(frozen=True)
class PoorL1(L1Recipe):
    def initialise_(self, dictionary: Dictionary, generator: torch.Generator) -> None:
        super().initialise_(dictionary, generator)
        start_poorly_(dictionary, generator)


POOR: dict[str, Any] = {"target_l0": float(L0), "bias_init": "zero", "basis": "given"}
BRICKEN, APRIL, TOPK = L1Recipe(target_l0=float(L0)), AprilL1Recipe(target_l0=float(L0)), TopKRecipe(k=L0)
CASES: dict[str, tuple[Recipe, int, int]] = {
    "dense topk": (TOPK, NARROW, 1),
    "blocks topk": (TOPK, NARROW, HEADS),
    "blocks topk, as many parameters": (TOPK, WIDE, HEADS),
    "dense l1": (BRICKEN, NARROW, 1),
    "blocks l1": (BRICKEN, NARROW, HEADS),
    "blocks l1, poor start": (PoorL1(**POOR), NARROW, HEADS),
    "dense april_l1": (APRIL, NARROW, 1),
    "blocks april_l1": (APRIL, NARROW, HEADS),
    "blocks april_l1, as many parameters": (APRIL, WIDE, HEADS),
    "blocks april_l1, poor start": (PoorApril(**POOR), NARROW, HEADS),
}


def draw(results: Path, picture: Path) -> None:
    """Of each case what it recovers and explains, with the targets of Kissane et al. (arXiv 2406.17759) at this L0."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()][::-1]
    figure = Figure((7.2, 3.6), dpi=150, layout="constrained")
    ax = figure.add_subplot()
    places = range(len(lines))
    ax.plot([line["ce_recovered"] for line in lines], places, "o", color="#0072b2", label="CE recovered")
    ax.plot([line["fve"] for line in lines], places, "D", color="#d55e00", label="variance explained")
    ax.axvline(0.8, color="#7a7a7a", linestyle="dotted", label="80 % of CE recovered")
    ax.set_yticks(places, [f"{line['case']} ({line['parameters'] / 1e6:.2f} M)" for line in lines])
    ax.set_xlim(0, 1)
    ax.grid(axis="y", color="#e4e6ea")
    ax.set_title(f"at L0 = {L0}", fontsize=10)
    ax.legend(loc="upper left", fontsize=8)
    figure.savefig(picture)


def trained(tokens: int, store: str | None) -> dict[str, Dictionary]:
    model = load_model("tiny")
    if store:
        source: Source = StoreSource(store, [POINT], batch_size=BATCH)
    else:
        text = MixedContexts(Contexts(model.tokenizer, "tiny:train", 256, repeat=True), 2**24)
        source = ModelSource(model, text, [POINT], batch_size=BATCH)
    steps, sample, fast = tokens // BATCH, source.sample(16_384), has_fast_bf16(torch.device("cpu"))
    learners = {
        name: Learner(
            Spec.autoencoder(POINT, D, width, blocks=blocks),
            recipe,
            sample,
            steps=steps,
            batch_size=BATCH,
            autocast=fast,
        )
        for name, (recipe, width, blocks) in CASES.items()
    }
    with ProgressBar(steps, BATCH) as bar:
        train(source, learners, steps, [bar])
    return {name: learner.finished() for name, learner in learners.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=250_000)
    parser.add_argument("--heldout", type=int, default=32_768)
    parser.add_argument("--store")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "heads.jsonl")
    parser.add_argument("--draw", type=Path)
    options = parser.parse_args()
    if options.draw:
        draw(options.out, options.draw)
        return
    dictionaries, model = trained(options.tokens, options.store), load_model("tiny")
    found = evaluate(dictionaries, model, heldout_contexts(model, "tiny:heldout", 256, options.heldout))
    with options.out.open("a", encoding="utf-8") as file:
        for name, dictionary in dictionaries.items():
            parameters = sum(p.numel() for p in dictionary.parameters())
            figures = {"width": dictionary.spec.width, "parameters": parameters, **asdict(found[name].metrics)}
            line = {"case": name, "date": date.today().isoformat(), "trained_tokens": options.tokens, **figures}
            file.write(json.dumps(line) + "\n")
            quality = " ".join(f"{key} {line[key]:.3f}" for key in ("l0", "fve", "ce_recovered"))
            print(f"{name:40} {parameters:>10,} {quality}")
            if options.keep:
                dictionary.metadata = {"name": name, "model": "tiny", "text": "tiny:train", "context": 256}
                save(dictionary, options.keep / "dictionaries" / name.replace(" ", "-").replace(",", ""))


if __name__ == "__main__":
    main()
