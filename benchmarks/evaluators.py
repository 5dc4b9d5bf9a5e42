"""A trained dictionary's figures by SAEBench's core evaluation, SAELens' evals and `monosema evaluate`, side by side.

    python benchmarks/evaluators.py peers/lib/python3.11/site-packages [--dictionary FOLDER] [--tokens 32768] [--json]

Runs where monosema is installed, with the packages of an environment behind it that has sae-lens, transformer-lens and,
installed with `--no-deps`, sae-bench and tabulate. All measure the embedded model, in float32, on the same contexts of
held-out text: theirs as a `HookedTransformer` with the dictionary in the form that `ms.for_evaluators` gives it, ours
as the model of Hugging Face. Once on every token, and once without special tokens, as each library leaves them out.
"""

# pyright: reportMissingImports=false
import argparse
import json
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from dashboards import trained
from torch import Tensor
from versus.hooked import hooked_transformer

import monosema as ms
from monosema.dictionaries import Dictionary
from monosema.models import load_model
from monosema.runs.data import heldout_contexts, heldout_text
from monosema.tiny import PATH

BATCH = 8
"""Contexts in a batch of all three."""
ROWS = {
    "L0": ("l0", "l0"),
    "variance explained": ("explained_variance", "fve"),
    "variance explained, legacy": ("explained_variance_legacy", "fve_legacy"),
    "squared error per token": ("mse", "mse"),
    "L1": ("l1", "l1"),
    "cosine": ("cossim", "cosine"),
    "‖x̂‖/‖x‖": ("l2_ratio", "l2_ratio"),
    "reconstruction bias": ("relative_reconstruction_bias", "reconstruction_bias"),
    "CE of the model": ("ce_loss_without_sae", "ce_clean"),
    "CE with x̂": ("ce_loss_with_sae", "ce_spliced"),
    "CE with zeros": ("ce_loss_with_ablation", "ce_zero"),
    "CE recovered": ("ce_loss_score", "ce_recovered"),
    "KL(model ‖ with x̂)": ("kl_div_with_sae", "kl"),
}
"""Their name and ours of each figure."""


class Tokens:
    """What the evaluators take tokens from: the same batches in the same order, for each function again."""

    store_batch_size_prompts = BATCH

    def __init__(self, contexts: Tensor):
        self.batches = iter(contexts.split(BATCH))

    def get_batch_tokens(self, *_: Any) -> Tensor:
        return next(self.batches)


def sae_bench(dictionary: Dictionary, model: Any, contexts: Tensor, special: set[int]) -> dict[str, float]:
    """SAEBench's two functions; special tokens are left out of all that it counts and replaces."""
    from sae_bench.evals.core import main
    from sae_bench.sae_bench_utils.general_utils import _standardize_sae_cfg

    sae = ms.for_evaluators(dictionary)
    _standardize_sae_cfg(sae.cfg)
    flags, losses = _settings(contexts)
    found, _ = main.get_sparsity_and_variance_metrics(sae, model, Tokens(contexts), ignore_tokens=special, **flags)
    losses["exclude_special_tokens_from_reconstruction"] = bool(special)
    return found | main.get_downstream_reconstruction_metrics(
        sae, model, Tokens(contexts), ignore_tokens=special, **losses
    )


def sae_lens(dictionary: Dictionary, model: Any, contexts: Tensor, special: set[int]) -> dict[str, float]:
    """SAELens' two functions."""
    from sae_lens import evals
    from sae_lens.training.activation_scaler import ActivationScaler

    sae, ignored = ms.for_evaluators(dictionary), sorted(special)
    flags, losses = _settings(contexts)
    found, _ = evals.get_sparsity_and_variance_metrics(
        sae, model, Tokens(contexts), ActivationScaler(), ignore_tokens=ignored, **flags
    )
    return found | evals.get_downstream_reconstruction_metrics(
        sae, model, Tokens(contexts), ActivationScaler(), ignore_tokens=ignored, **losses
    )


def _settings(contexts: Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
    common: dict[str, Any] = {"n_batches": len(contexts.split(BATCH)), "eval_batch_size_prompts": BATCH}
    wanted = ("compute_l2_norms", "compute_sparsity_metrics", "compute_variance_metrics")
    flags = dict.fromkeys((*wanted, "compute_featurewise_density_statistics"), True)
    return common | flags | {"model_kwargs": {}}, common | {"compute_kl": True, "compute_ce_loss": True}


def compare(dictionary: Dictionary, tokens: int) -> dict[str, Any]:
    """The figures of all three, with and without special tokens."""
    model, theirs = load_model("tiny", dtype="float32", device="cpu"), hooked_transformer(str(PATH))
    metadata = dictionary.metadata
    contexts = heldout_contexts(model, heldout_text(metadata["text"]), metadata["context"], tokens)
    found: dict[str, Any] = {"tokens": contexts.numel(), "context": contexts.shape[1]}
    found["special"] = int(torch.isin(contexts, torch.tensor(sorted(model.special_ids))).sum())
    for title, special in {"every token": set(), "without special tokens": set(model.special_ids)}.items():
        figures = ms.evaluate({"it": dictionary}, model, contexts, skip_special=bool(special))["it"].metrics
        with torch.no_grad():
            bench, lens = (measure(dictionary, theirs, contexts, special) for measure in (sae_bench, sae_lens))
        found[title] = {
            name: {"SAEBench": bench[his], "SAELens": lens[his], "monosema": getattr(figures, own)}
            for name, (his, own) in ROWS.items()
        }
    return found


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    """Prints the figures, and how far theirs are from ours, relative to ours."""
    print(f"\n{title:28}{'SAEBench':>12}{'SAELens':>12}{'monosema':>12}   relative differences")
    for name, figures in table.items():
        own = figures["monosema"]
        apart = "".join(f"{abs(figures[his] / own - 1):10.0e}" for his in ("SAEBench", "SAELens"))
        print(f"{name:28}" + "".join(f"{value:12.6f}" for value in figures.values()) + f"   {apart}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", help="folders with the packages of the peers' environment")
    parser.add_argument("--dictionary", type=Path, help="one of resid_post.2; by default it is trained")
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--json", action="store_true", help="print JSON in the place of tables")
    settings = parser.parse_args()
    sys.path += settings.packages
    with tempfile.TemporaryDirectory() as folder:
        dictionary = ms.load(settings.dictionary or trained(Path(folder) / "run", "batch_topk")).eval()
        found = compare(dictionary, settings.tokens)
    versions = {name: version(name) for name in ("sae-bench", "sae-lens", "transformer-lens")}
    if settings.json:
        print(json.dumps({"date": date.today().isoformat(), "versions": versions, **found}, indent=2))
        return
    print(f"{found['tokens']} tokens in contexts of {found['context']}, {found['special']} of them special; {versions}")
    for title in ("every token", "without special tokens"):
        show(title, found[title])


if __name__ == "__main__":
    main()
