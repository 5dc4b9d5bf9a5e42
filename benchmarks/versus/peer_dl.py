"""dictionary_learning: its trainers' own `update`, with the settings of its demonstration scaled to a short run."""

from importlib import import_module
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .trainers import MATRYOSHKA_WIDTHS
from .weights import Weights, gated, thresholded

TRAINERS = {
    "topk": ("top_k", "TopKTrainer"),
    "batch_topk": ("batch_top_k", "BatchTopKTrainer"),
    "matryoshka": ("matryoshka_batch_top_k", "MatryoshkaBatchTopKTrainer"),
    "jumprelu": ("jumprelu", "JumpReluTrainer"),
    "gated": ("gdm", "GatedSAETrainer"),
    "standard": ("standard", "StandardTrainer"),
    "april": ("standard", "StandardTrainerAprilUpdate"),
    "p_anneal": ("p_anneal", "PAnnealTrainer"),
}


class Run:
    """One trainer, on activations divided by their root mean squared norm (`normalize_activations=True`)."""

    version = "dictionary-learning"

    def __init__(self, job: dict[str, Any], d: int, width: int, first: list[Tensor]):
        self.job = job
        self.norm = torch.cat(first).square().sum(1).mean().sqrt().item()
        self.settings = self._settings(job, d, width)
        module, name = TRAINERS[job["architecture"]]
        trainer = getattr(import_module(f"dictionary_learning.trainers.{module}"), name)
        self.trainer = trainer(device=job["device"], layer=0, lm_name="tiny", **self.settings)
        if hasattr(self.trainer, "num_tokens_since_fired"):  # 10 million, which a run this short never reaches
            self.trainer.dead_feature_threshold = job["steps"] * len(first[0]) // 10
            self.settings["dead_feature_threshold"] = self.trainer.dead_feature_threshold
        self.lr = self.trainer.lr

    @staticmethod
    def _settings(job: dict[str, Any], d: int, width: int) -> dict[str, Any]:
        steps, architecture = job["steps"], job["architecture"]
        found = {
            "steps": steps,
            "activation_dim": d,
            "dict_size": width,
            "seed": job["seed"],
            "warmup_steps": steps // 20,
            "decay_start": int(0.8 * steps),
        }
        if job["lr"] is not None:
            found["lr"] = job["lr"]
        if architecture in ("topk", "batch_topk", "matryoshka"):
            return found | {"k": job["target"], "threshold_start_step": min(1000, steps // 2)} | _groups(architecture)
        found["sparsity_warmup_steps"] = steps // 10
        if architecture == "jumprelu":
            return found | {"target_l0": float(job["target"])}
        if architecture == "p_anneal":
            anneal = {"sparsity_function": "Lp^p", "p_end": 0.2, "anneal_start": int(0.15 * steps)}
            return found | anneal | {"initial_sparsity_penalty": job["coefficient"]}
        return found | {"l1_penalty": job["coefficient"]}

    def step(self, number: int, x: Tensor) -> None:
        """One update on raw activations."""
        with torch.autocast(torch.device(self.job["device"]).type, torch.bfloat16, enabled=self.job["autocast"]):
            self.trainer.update(number, x / self.norm)

    @torch.no_grad()
    def finish(self, x: Tensor) -> tuple[Weights, Tensor]:
        """The weights for raw activations, and the library's own reconstruction of `x`."""
        ae = self.trainer.ae
        ae.scale_biases(self.norm)
        return _weights(self.job["architecture"], ae), ae(x)


def _groups(architecture: str) -> dict[str, Any]:
    if architecture != "matryoshka":
        return {}
    edges = (0, *MATRYOSHKA_WIDTHS)
    return {"group_fractions": [(b - a) / edges[-1] for a, b in pairwise(edges)]}


def _weights(architecture: str, ae: Any) -> Weights:
    if architecture == "topk":
        return Weights("topk", ae.encoder.weight.T, ae.encoder.bias, ae.decoder.weight.T, ae.b_dec, k=int(ae.k))
    if architecture == "batch_topk":
        return thresholded(ae.encoder.weight.T, ae.encoder.bias, ae.decoder.weight.T, ae.b_dec, ae.threshold)
    if architecture == "matryoshka":
        return thresholded(ae.W_enc, ae.b_enc, ae.W_dec, ae.b_dec, ae.threshold)
    if architecture == "jumprelu":
        return thresholded(ae.W_enc, ae.b_enc, ae.W_dec, ae.b_dec, ae.threshold, subtracts=ae.apply_b_dec_to_input)
    if architecture == "gated":
        encoder, decoder = ae.encoder.weight.T, ae.decoder.weight.T
        return gated(encoder, ae.r_mag, ae.gate_bias, ae.mag_bias, decoder, ae.decoder_bias)
    return Weights("relu", ae.encoder.weight.T, ae.encoder.bias, ae.decoder.weight.T, ae.bias)
