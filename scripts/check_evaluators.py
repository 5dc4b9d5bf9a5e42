"""Has SAEBench's core evaluation and SAELens' evals measure a dictionary, and prints their figures beside monosema's.

Runs where monosema is installed, with the packages of an environment that has sae-lens and sae-bench behind it:

    python scripts/check_evaluators.py peers/lib/python3.11/site-packages saebench/lib/python3.11/site-packages
"""

# pyright: reportMissingImports=false
import sys
from typing import Any

import torch
from torch import Tensor

from monosema import evaluate_rows, for_evaluators
from monosema.dictionaries import Spec
from tests.dictionaries.strategies import build

WIDTH, D, POINT = 12, 16, "blocks.0.hook_resid_post"


class Tokens:
    """What the evaluators take tokens from: the same few batches each time."""

    store_batch_size_prompts = 4

    def __init__(self, batches: Tensor):
        self.batches, self.next = batches, 0

    def get_batch_tokens(self, *_: Any) -> Tensor:
        self.next += 1
        return self.batches[(self.next - 1) % len(self.batches)]


def main() -> None:
    sys.path += sys.argv[1:]
    from sae_bench.evals.core import main as sae_bench
    from sae_bench.sae_bench_utils.general_utils import _standardize_sae_cfg
    from sae_lens import evals as sae_lens
    from sae_lens.training.activation_scaler import ActivationScaler
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    torch.manual_seed(0)
    shape: dict[str, Any] = {"n_layers": 1, "d_model": D, "n_ctx": 16, "d_head": 8, "d_vocab": 50, "act_fn": "relu"}
    model = HookedTransformer(HookedTransformerConfig(**shape))
    batches = torch.randint(0, 50, (3, 4, 16))
    _, cache = model.run_with_cache(batches.flatten(0, 1), names_filter=[POINT])
    rows = cache[POINT].detach().flatten(0, 1)
    spec = Spec(D, D, WIDTH, ("resid_post.0",), ("resid_post.0",), subtracts_input_bias=True)
    dictionary = build(spec, "topk").float().eval()
    dictionary.W_enc.data.mul_(0.1)
    dictionary.b_enc.data.mul_(0.1)
    dictionary.W_dec.data.mul_(0.1)
    dictionary.b_dec.data.copy_(rows.mean(0))
    sae = for_evaluators(dictionary, model_name="tiny")
    _standardize_sae_cfg(sae.cfg)
    wanted = ("compute_l2_norms", "compute_sparsity_metrics", "compute_variance_metrics")
    flags: dict[str, Any] = dict.fromkeys((*wanted, "compute_featurewise_density_statistics"), True)
    common: dict[str, Any] = {"n_batches": 3, "eval_batch_size_prompts": 4, "model_kwargs": {}}
    with torch.no_grad():
        bench, _ = sae_bench.get_sparsity_and_variance_metrics(sae, model, Tokens(batches), **flags, **common)
        lens, _ = sae_lens.get_sparsity_and_variance_metrics(
            sae, model, Tokens(batches), ActivationScaler(), **flags, **common
        )
        losses: dict[str, Any] = {"compute_kl": True, "compute_ce_loss": True, "n_batches": 3}
        losses |= {"eval_batch_size_prompts": 4}
        bench |= sae_bench.get_downstream_reconstruction_metrics(sae, model, Tokens(batches), **losses)
        lens |= sae_lens.get_downstream_reconstruction_metrics(
            sae, model, Tokens(batches), ActivationScaler(), **losses
        )
        sae_bench.get_featurewise_weight_based_metrics(sae)
        sae_lens.get_featurewise_weight_based_metrics(sae)
    ours = evaluate_rows(dictionary, [(rows, rows)]).metrics
    for name, own in {
        "l0": ours.l0,
        "l1": ours.l1,
        "explained_variance": ours.fve,
        "explained_variance_legacy": ours.fve_legacy,
        "mse": ours.mse,
        "cossim": ours.cosine,
        "l2_ratio": ours.l2_ratio,
        "relative_reconstruction_bias": ours.reconstruction_bias,
        "ce_loss_score": None,
        "kl_div_score": None,
    }.items():
        figures = (bench.get(name), lens.get(name), own)
        print(f"{name:<30}" + "".join(f"{'–' if figure is None else f'{figure:.6f}':>14}" for figure in figures))


if __name__ == "__main__":
    main()
