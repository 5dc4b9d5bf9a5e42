"""The files of a temporal autoencoder: SAELens' own, and those of canrager/temporalSAEs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from monosema.dictionaries.normalisation import NONE
from monosema.dictionaries.saving import check_names, check_tensor
from monosema.errors import InputError
from monosema.files import read_tensors
from monosema.formats import own
from monosema.formats.settings import Settings
from monosema.yaml_text import parse

_LENS, _LENS_WEIGHTS = "cfg.json", "sae_weights.safetensors"
_CONFIG, _WEIGHTS = "conf.yaml", "latest_ckpt.safetensors"
_NAMES = {"D": "W_dec", "b": "b_dec", "E": "W_enc"}
_NORMALISATIONS = {
    "none": NONE,
    "constant_scalar_rescale": NONE,
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "length",
}
_LAYER = re.compile(r"layer_(\d+)")


@dataclass(frozen=True)
class Config:
    """What a temporal autoencoder is, beside its weights."""

    d: int
    width: int
    heads: int
    layers: int
    bottleneck: int
    """The width over the size of queries and keys."""
    k: int | None
    """Features active at once; None of those whose activation function is ReLU alone."""
    tied: bool
    subtracts: bool
    """Whether `b_dec` is subtracted from the input."""
    normalisation: str
    factor: float
    """By which activations are multiplied first."""
    point: str | None

    def shapes(self) -> dict[str, list[int]]:
        """Of all tensors, by their names in SAELens."""
        small = self.width // self.bottleneck
        rows = {"k_ctx": small, "q_target": small, "v_ctx": self.width, "c_proj": self.width}
        found = {"W_dec": [self.width, self.d], "b_dec": [self.d]}
        if not self.tied:
            found["W_enc"] = [self.d, self.width]
        for layer in range(self.layers):
            for part, size in rows.items():
                found[f"attn_layers.{layer}.{part}.weight"] = [size, self.width]
                found[f"attn_layers.{layer}.{part}.bias"] = [size]
        return found


class Read(NamedTuple):
    """What was read: a configuration, and the tensors that it describes."""

    config: Config
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


def read(path: Path) -> Read:
    """The content of a folder.

    Raises:
        InputError: there is no temporal autoencoder, or its files contradict each other.
    """
    if (path / _LENS).is_file():
        values = Settings.read(path / _LENS)
        values.text("architecture", "standard", among=("temporal",))
        config, weights, names = _of_saelens(values), path / _LENS_WEIGHTS, {}
        place = values.section("metadata")
        model, context = place.text("model_name", None), place.whole("context_size", None)
    elif (path / _CONFIG).is_file():
        try:
            text = (path / _CONFIG).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{path / _CONFIG} is not UTF-8 ({error})") from None
        values = Settings(parse(text, str(path / _CONFIG)), path / _CONFIG)
        config, weights, names, model, context = _of_yaml(values), path / _WEIGHTS, _NAMES, None, None
    else:
        raise InputError(f"{path} holds no temporal autoencoder", expected=f"{_LENS} or {_CONFIG}, and weights")
    tensors = {names.get(name, name): tensor for name, tensor in read_tensors(weights).items()}
    _check(config, tensors, weights)
    return Read(config, tensors, own.metadata(values, "temporal", model=own.hub_name(model), context=context))


def _of_saelens(values: Settings) -> Config:
    name = values.text("normalize_activations", "none", among=_NORMALISATIONS)
    scaled = name == "constant_scalar_rescale"
    return Config(
        d=values.whole("d_in"),
        width=values.whole("d_sae"),
        heads=values.whole("n_heads", 8),
        layers=values.whole("n_attn_layers", 1),
        bottleneck=values.whole("bottleneck_factor", 64),
        k=_k(values),
        tied=values.flag("tied_weights", True),
        subtracts=values.flag("apply_b_dec_to_input", True),
        normalisation=_NORMALISATIONS[name],
        factor=values.number("activation_normalization_factor", 1.0) if scaled else 1.0,
        point=values.section("metadata").text("hook_name", None),
    )


def _of_yaml(values: Settings) -> Config:
    sae, d = values.section("sae"), values.section("llm").whole("dimin")
    layer = _LAYER.search(values.path.absolute().parent.as_posix())
    return Config(
        d=d,
        width=int(min(d * max(sae.number("exp_factor"), 0.0), 2**40)),
        heads=sae.whole("n_heads"),
        layers=sae.whole("n_attn_layers"),
        bottleneck=sae.whole("bottleneck_factor"),
        k=_k(sae),
        tied=sae.flag("tied_weights"),
        subtracts=True,
        normalisation=NONE,
        factor=sae.number("scaling_factor"),
        point=None if layer is None else f"resid_post.{layer[1]}",
    )


def _k(values: Settings) -> int | None:
    kind = values.text("sae_diff_type", "topk", among=("relu", "topk"))
    return values.whole("kval_topk", None) if kind == "topk" else None


def _check(config: Config, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Refuses sizes that the tensors do not have, before anything is made of them."""
    if config.width % (config.bottleneck * config.heads) or not config.factor or (config.k or 0) > config.width:
        raise InputError(
            f"width {config.width}, {config.heads} heads, bottleneck {config.bottleneck}, k {config.k} and factor "
            f"{config.factor} beside {where}",
            expected="a width that heads times bottleneck divide, k below it, and a factor other than zero",
        )
    if config.layers > len(tensors):
        raise InputError(f"{config.layers} layers in {len(tensors)} tensors of {where}", expected="8 for each layer")
    shapes = config.shapes()
    check_names(tensors, shapes, where)
    for name, shape in shapes.items():
        check_tensor(name, tensors[name], shape, where)
