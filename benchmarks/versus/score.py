"""One evaluator for all: a trained dictionary of any library becomes a monosema.Dictionary and is measured."""

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import monosema as ms
from monosema.dictionaries import Dictionary, JumpReLU, ReLU, Spec, TopK, load
from monosema.runs.data import heldout_contexts

from .cache import CONTEXT
from .worker import check_same

TOKENS = 65_536
KEPT = ("l0", "fve", "ce_recovered", "ce_diff", "alive", "alive_8192", "denser_than_10_percent", "kl", "mse", "tokens")


def load_run(folder: Path) -> Dictionary:
    """The dictionary that a worker left in its folder; a peer's must reconstruct what the peer reconstructed."""
    if (folder / "dictionary").exists():
        return load(folder / "dictionary")
    described, tensors = json.loads((folder / "weights.json").read_text()), load_file(folder / "weights.safetensors")
    x, x_hat = tensors.pop("x"), tensors.pop("x_hat")
    d, width = tensors["W_enc"].shape
    spec = dataclasses.replace(
        Spec.autoencoder(described["point"], d, width), subtracts_input_bias=described["subtracts"]
    )
    activation = {"relu": ReLU, "jumprelu": JumpReLU}.get(described["kind"])
    dictionary = Dictionary(spec, activation(width) if activation else TopK(width, described["k"]))
    if "threshold" in tensors:
        tensors["activation.threshold"] = tensors.pop("threshold")
    with torch.no_grad():
        for name, tensor in tensors.items():
            dictionary.get_parameter(name).copy_(tensor)
    check_same(x_hat, dictionary.eval().requires_grad_(False)(x))
    return dictionary


@cache
def _model() -> tuple[Any, torch.Tensor]:
    model = ms.load_model("tiny")
    return model, heldout_contexts(model, "tiny:heldout", CONTEXT, TOKENS)


def score(folders: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Metrics of several runs, by id, on held-out text; what they share is computed once."""
    found = ms.evaluate({name: load_run(folder) for name, folder in folders.items()}, *_model())
    return {name: {key: getattr(one.metrics, key) for key in KEPT} for name, one in found.items()}
