"""SAELens: its SAETrainer's own `step`, with the schedule of its tutorial."""

import tempfile
from typing import Any

import torch
from torch import Tensor

from .trainers import MATRYOSHKA_WIDTHS
from .weights import Weights, gated, thresholded


class Run:
    """One trainer, on activations scaled to a mean norm of √d (`expected_average_only_in`)."""

    version = "sae-lens"

    def __init__(self, job: dict[str, Any], d: int, width: int, first: list[Tensor]):
        from sae_lens.config import SAETrainerConfig  # pyright: ignore[reportMissingImports]
        from sae_lens.training.sae_trainer import SAETrainer  # pyright: ignore[reportMissingImports]

        steps, batch = job["steps"], len(first[0])
        sae_class, config_class, options = _architecture(job, width)
        options["normalize_activations"] = "expected_average_only_in"
        sae = sae_class(config_class(d_in=d, d_sae=width, device=job["device"], dtype="float32", **options))
        schedule: dict[str, Any] = {"lr_decay_steps": steps // 5, "dead_feature_window": steps // 10}
        rate = {} if job["lr"] is None else {"lr": job["lr"], "lr_end": job["lr"] / 10}
        schedule |= rate or {"lr_end": SAETrainerConfig.lr / 10}  # as its own runner has it
        config = SAETrainerConfig(
            total_training_samples=steps * batch,
            train_batch_size_samples=batch,
            autocast=job["autocast"],
            device=job["device"],
            **schedule,
        )
        self.trainer = SAETrainer(cfg=config, sae=sae, data_provider=iter(first))
        self.trainer.activation_scaler.estimate_scaling_factor(d, iter(first), len(first))
        self.settings, self.lr = options | schedule, config.lr

    def step(self, number: int, x: Tensor) -> None:
        """One update on raw activations."""
        self.trainer.maybe_reset_sparsity()
        self.trainer.step(x)
        self.trainer.n_training_steps += 1

    @torch.no_grad()
    def finish(self, x: Tensor) -> tuple[Weights, Tensor]:
        """The weights for raw activations, and the library's own reconstruction of `x` after saving and loading."""
        from sae_lens import SAE  # pyright: ignore[reportMissingImports]

        sae = self.trainer.sae
        sae.fold_activation_norm_scaling_factor(self.trainer.activation_scaler.scaling_factor)
        with tempfile.TemporaryDirectory() as folder:
            sae.save_inference_model(folder)
            loaded = SAE.load_from_disk(folder, device=self.trainer.cfg.device)
        return _weights(loaded), loaded(x)


def _architecture(job: dict[str, Any], width: int) -> tuple[Any, Any, dict[str, Any]]:
    import sae_lens as library  # pyright: ignore[reportMissingImports]

    architecture, ramp = job["architecture"], job["steps"] // 20
    if architecture in ("topk", "batchtopk", "matryoshka"):
        name = {"topk": "TopK", "batchtopk": "BatchTopK", "matryoshka": "MatryoshkaBatchTopK"}[architecture]
        options: dict[str, Any] = {"k": job["target"]}
        if architecture == "matryoshka":
            options["matryoshka_widths"] = [edge * width // MATRYOSHKA_WIDTHS[-1] for edge in MATRYOSHKA_WIDTHS]
    elif architecture == "jumprelu":
        name, options = "JumpReLU", {"l0_coefficient": job["coefficient"], "l0_warm_up_steps": ramp}
    elif architecture == "jumprelu_quadratic":
        options = {"jumprelu_sparsity_loss_mode": "quadratic", "target_l0": float(job["target"])}
        name, options = "JumpReLU", options | {"l0_warm_up_steps": ramp}
    else:
        name, options = architecture.capitalize(), {"l1_coefficient": job["coefficient"], "l1_warm_up_steps": ramp}
    return getattr(library, f"{name}TrainingSAE"), getattr(library, f"{name}TrainingSAEConfig"), options


def _weights(sae: Any) -> Weights:
    architecture, subtracts = sae.cfg.architecture(), sae.cfg.apply_b_dec_to_input
    if architecture == "gated":
        return gated(sae.W_enc, sae.r_mag, sae.b_gate, sae.b_mag, sae.W_dec, sae.b_dec, subtracts)
    if architecture == "jumprelu":
        return thresholded(sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, sae.threshold, subtracts)
    k = sae.cfg.k if architecture == "topk" else None
    kind = "topk" if architecture == "topk" else "relu"
    return Weights(kind, sae.W_enc, sae.b_enc, sae.W_dec, sae.b_dec, k=k, subtracts=subtracts)
