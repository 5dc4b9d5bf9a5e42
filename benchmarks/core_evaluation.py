"""SAEBench's whole core evaluation of a trained dictionary, and `monosema`'s figures on the tokens that it drew.

    python benchmarks/core_evaluation.py peers/lib/python3.11/site-packages [--dictionary FOLDER] [--json]

Runs where `evaluators.py` runs. Everything is SAEBench's own, from `multiple_evals` to the file of results: reading and
shuffling the text, packing it into contexts, its settings, its two passes. One call is replaced, because
TransformerLens loads models by names of the hub alone: `HookedTransformer.from_pretrained_no_processing` gives the
embedded model.
"""

# pyright: reportMissingImports=false
import argparse
import json
import sys
import tempfile
from contextlib import redirect_stdout
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from dashboards import trained
from evaluators import BATCH, ROWS
from torch import Tensor
from versus.hooked import hooked_transformer

import monosema as ms
from monosema.activations.text import open_text
from monosema.dictionaries import Dictionary
from monosema.models import load_model
from monosema.runs.data import heldout_text
from monosema.tiny import PATH

CONTEXT = 256
OF_MODEL = ("ce_", "kl")
"""How our names of figures begin that are measured in the first of its two passes."""


def core_evaluation(dictionary: Dictionary, text: Path, out: Path, batches: int) -> tuple[dict[str, Any], list[Tensor]]:
    """SAEBench's figures, flat, and the batches of tokens that they are of: of its first pass, then of its second."""
    from sae_bench.evals.core import main

    drawn: list[Tensor] = []

    class Store(main.ActivationsStore):
        def get_batch_tokens(self, *given: Any, **options: Any) -> Tensor:
            drawn.append(super().get_batch_tokens(*given, **options))
            return drawn[-1]

    main.ActivationsStore = Store
    main.HookedTransformer.from_pretrained_no_processing = lambda name, **_: hooked_transformer(name)
    (found,) = main.multiple_evals(
        [("monosema", ms.for_evaluators(dictionary, model_name=str(PATH), prepend_bos=False))],
        n_eval_reconstruction_batches=batches,
        n_eval_sparsity_variance_batches=batches,
        eval_batch_size_prompts=BATCH,
        compute_featurewise_density_statistics=True,
        compute_featurewise_weight_based_metrics=True,
        exclude_special_tokens_from_reconstruction=True,
        dataset=str(text),
        context_size=CONTEXT,
        output_folder=str(out),
        device="cpu",
    )
    (written,) = out.glob("*.json")
    saved = json.loads(written.read_text())["eval_result_metrics"]
    assert saved["sparsity"]["l0"] == found["metrics"]["sparsity"]["l0"]
    return {name: value for group in found["metrics"].values() for name, value in group.items()}, drawn


def compare(dictionary: Dictionary, folder: Path, batches: int) -> dict[str, dict[str, float]]:
    """Its figures and ours, by name."""
    text = folder / "text"
    text.mkdir()
    documents = open_text(heldout_text(dictionary.metadata["text"]))
    (text / "heldout.jsonl").write_text("\n".join(json.dumps({"text": document}) for document in documents))
    with torch.no_grad():
        theirs, drawn = core_evaluation(dictionary, text, folder / "results", batches)
    model = load_model("tiny", dtype="float32", device="cpu")
    first, second = (
        ms.evaluate({"it": dictionary}, model, torch.cat(part))["it"].metrics
        for part in (drawn[:batches], drawn[batches:])
    )
    return {
        name: {"SAEBench": theirs[his], "monosema": getattr(first if own.startswith(OF_MODEL) else second, own)}
        for name, (his, own) in ROWS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", help="folders with the packages of the peers' environment")
    parser.add_argument("--dictionary", type=Path, help="one of resid_post.2; by default it is trained")
    parser.add_argument(
        "--batches", type=int, default=16, help=f"of {BATCH} contexts of {CONTEXT} tokens, in each pass"
    )
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    sys.path += settings.packages
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):  # TransformerLens talks
        dictionary = ms.load(settings.dictionary or trained(Path(folder) / "run", "batch_topk")).eval()
        found = compare(dictionary, Path(folder), settings.batches)
    tokens = settings.batches * BATCH * CONTEXT
    if settings.json:
        versions = {name: version(name) for name in ("sae-bench", "sae-lens", "transformer-lens")}
        print(json.dumps({"date": date.today().isoformat(), "versions": versions, "tokens": tokens, **found}, indent=2))
        return
    print(f"{tokens} tokens in each pass\n{'':28}{'SAEBench':>12}{'monosema':>12}   relative difference")
    for name, (theirs, ours) in ((name, figures.values()) for name, figures in found.items()):
        print(f"{name:28}{theirs:12.6f}{ours:12.6f}{abs(theirs / ours - 1):10.0e}")


if __name__ == "__main__":
    main()
