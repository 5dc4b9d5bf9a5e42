"""dictionary_learning: `ae.pt` (or a checkpoint, `checkpoints/ae_STEP.pt`) and `config.json`, of all its classes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monosema.dictionaries import BatchTopK, Dictionary, TopK
from monosema.errors import InputError
from monosema.files import write_atomically, write_json
from monosema.formats import own
from monosema.formats.archives import read_pt_tensors
from monosema.formats.dictionary_learning_classes import CLASSES, Class, class_for, class_of
from monosema.formats.equal import dense, with_input_bias
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, scalar, sizes, spec_of, tensors_of
from monosema.formats.settings import Settings

CONFIG, WEIGHTS, CHECKPOINTS = "config.json", "ae.pt", "checkpoints"
_CHECKPOINT = re.compile(r"ae(_\d+)?\.pt")
_SUBMODULE = re.compile(r"(resid_pre|resid_post|resid_mid|attn_out|mlp_out)_layer_(\d+)")


def load(path: Path) -> Dictionary:
    """The dictionary in a folder, or that of a checkpoint.

    Raises:
        InputError: a file is missing or broken, or contradicts the other.
    """
    where = path / WEIGHTS if path.is_dir() else path
    tensors, config = read_pt_tensors(where), _config(where)
    trainer = config.section("trainer")
    kind = CLASSES[trainer.text("dict_class", among=CLASSES)] if "dict_class" in trainer else class_of(tensors, where)
    outline = _outline(kind, tensors, config, where)
    return assemble(outline, {name: t for name, t in tensors.items() if name not in kind.counts}, where)


def save(dictionary: Dictionary, path: Path) -> None:
    """Writes a folder that dictionary_learning loads.

    Raises:
        InputError: it has no class for such a dictionary.
    """
    kind = class_for(dictionary)
    written = with_input_bias(dense(dictionary), "b_dec" if kind.subtracts else "none")
    tensors = tensors_of(written, kind.layout)
    if isinstance(dictionary.activation, TopK | BatchTopK):
        tensors["k"] = torch.tensor(dictionary.activation.k, dtype=torch.int32)
    if kind.name == "AutoEncoderTopK":
        known = dictionary.metadata.get("threshold")
        tensors["threshold"] = torch.tensor(known if isinstance(known, float) else -1.0)  # it is not used to encode
    if kind.name == "MatryoshkaBatchTopKSAE":
        tensors["group_sizes"] = torch.tensor(_group_sizes(dictionary))
    write_atomically(path / WEIGHTS, lambda temporary: torch.save(tensors, temporary))
    write_json(path / CONFIG, _written_config(kind, dictionary))


def _config(where: Path) -> Settings:
    """The configuration beside a file of weights, or above a folder of checkpoints; an empty one if there is none."""
    beside = where.with_name(CONFIG)
    above = where.parent.parent / CONFIG if where.parent.name == CHECKPOINTS else beside
    found = next((path for path in (beside, above) if path.exists()), None)
    return Settings({}, beside) if found is None else Settings.read(found)


def _outline(kind: Class, tensors: dict[str, Tensor], config: Settings, where: Path) -> Outline:
    trainer = config.section("trainer")
    d, width = sizes(tensors, kind.encoder, where, transposed=kind.layout[kind.encoder].endswith(".T"))
    d, width = trainer.whole("activation_dim", d), trainer.whole("dict_size", width)
    counts = _counts(kind, tensors, trainer, where)
    wiring = own.wiring(config, "autoencoder")
    if kind.subtracts and wiring != "autoencoder":
        raise InputError(f"{config.path} has a {wiring} of class {kind.name}", expected="a class with no input bias")
    found = {
        "model": own.hub_name(trainer.text("lm_name", None)),
        "context": config.section("buffer").whole("ctx_len", None),
        **{key: value for key, value in counts.items() if key != "k"},
    }
    return Outline(
        spec_of(
            config.path,
            d_in=d,
            d_out=d,
            width=width,
            wiring=wiring,
            subtracts_input_bias=kind.subtracts,
            **own.points(config, _point(trainer), None),
        ),
        kind.activation,
        kind.layout,
        {"k": counts["k"]} if "k" in counts else {},
        own.metadata(config, "dictionary_learning", **found),
    )


def _counts(kind: Class, tensors: Mapping[str, Tensor], trainer: Settings, where: Path) -> dict[str, Any]:
    """What the file has beside weights: `k`, a threshold that its class does not use, sizes of groups."""
    found: dict[str, Any] = {}
    if "k" in kind.counts:  # in 2024 it stood in the configuration alone, and there was no threshold
        found["k"] = int(scalar("k", tensors, where)) if "k" in tensors or "k" not in trainer else trainer.whole("k")
        if trainer.whole("k", found["k"]) != found["k"]:
            raise InputError(f"k = {found['k']} in {where}, but {trainer.whole('k')} in {trainer.path}")
    if "threshold" in kind.counts and "threshold" in tensors:
        found["threshold"] = scalar("threshold", tensors, where)
    if kind.activation == "batch_topk" and "threshold" not in tensors:
        raise InputError(
            f"{where} has no threshold: a {kind.name} of a version whose codes depend on the batch that a row is in",
            expected="a tensor 'threshold'",
        )
    if kind.activation == "batch_topk" and scalar("threshold", tensors, where) < 0:
        raise InputError(
            f"the threshold in {where} was never set: training ended before threshold_start_step",
            expected="a later checkpoint",
        )
    if "group_sizes" in kind.counts:
        groups = tensors.get("group_sizes")
        if groups is None or groups.dtype != torch.int64 or groups.ndim != 1 or not (groups > 0).all():
            raise InputError(f"{where} has no 'group_sizes' of whole numbers", expected="the size of each group")
        found["group_sizes"] = groups.tolist()
    return found


def _point(trainer: Settings) -> str | None:
    """The hook point that a configuration names, if it does: the residual stream behind a layer, by default."""
    layer, name = trainer.whole("layer", None, least=0), trainer.text("submodule_name", None)
    if name is None:
        return None if layer is None else f"resid_post.{layer}"
    match = _SUBMODULE.fullmatch(name)
    return f"{match[1]}.{match[2]}" if match else None


def _group_sizes(dictionary: Dictionary) -> list[int]:
    found, width = dictionary.metadata["group_sizes"], dictionary.spec.width
    if not (isinstance(found, list) and all(isinstance(size, int) for size in found) and sum(found) == width):
        raise InputError(f"group_sizes = {found} in the metadata", expected=f"whole numbers that add up to {width}")
    return found


def _written_config(kind: Class, dictionary: Dictionary) -> dict[str, Any]:
    spec, metadata = dictionary.spec, dictionary.metadata
    place, _, layer = (own.one_point("reads", spec.reads) or "").partition(".")
    return {
        "trainer": {
            "dict_class": kind.name,
            "activation_dim": spec.d_in,
            "dict_size": spec.width,
            **({"k": dictionary.activation.options()["k"]} if "k" in kind.counts else {}),
            **({"group_sizes": _group_sizes(dictionary)} if "group_sizes" in kind.counts else {}),
            "layer": int(layer) if layer.isdecimal() else None,
            "submodule_name": f"{place}_layer_{layer}" if layer.isdecimal() else None,
            "lm_name": metadata.get("model"),
        },
        "buffer": {"ctx_len": metadata.get("context")},
        own.ENTRY: own.entry(spec, metadata),
    }


def _recognises(path: Path) -> bool:
    if path.is_file():
        return bool(_CHECKPOINT.fullmatch(path.name))
    return (path / WEIGHTS).is_file()


formats.register("dictionary_learning")(Format(recognises=_recognises, load=load, save=save))
