"""From the name of a hook point to the hook point: module paths, short names and TransformerLens names."""

import re
from dataclasses import replace
from typing import Any, NoReturn

from torch import nn

from monosema.errors import InputError
from monosema.lens_names import LENS_NAMES
from monosema.models.families import KINDS, Family, families
from monosema.models.hook_points import HookPoint
from monosema.models.lens import LENS, lens_config
from monosema.registry import nearest

SECOND = "second"
"""With a dot, what the names of hook points of the second of two models begin with."""
_SHORT = re.compile(rf"({'|'.join(KINDS[1:])})\.(\d+)")
_HEAD = re.compile(r"(attn_z\.\d+)\.(\d+)")
_LENS = re.compile(r"blocks\.(\d+)\.((?:\w+\.)?hook_\w+)")
_KIND_OF_LENS = {name.removeprefix("blocks.{L}."): kind for kind, name in LENS_NAMES.items() if kind != "embed"}
_KIND_OF_LENS["mlp.hook_in"] = "mlp_in"
_EXPECTED = (
    f"a short name (embed, {', '.join(f'{kind}.L' for kind in KINDS[1:])}; attn_z.L.H is one head), "
    "a TransformerLens name (blocks.L.hook_resid_post) or a module path"
)


def resolve(name: str, module: nn.Module, family: Family | None) -> HookPoint:
    """The hook point of `module` that `name` means.

    A module path means itself; the other names are looked up in `family`. In a model of TransformerLens, its names of
    the places that have short names are paths, too, and mean what the short names mean.

    Raises:
        InputError: there is no such place; the nearest names are offered.
    """
    point = HookPoint.parse(name)
    lens = _LENS.fullmatch(name)
    if _has(module, point.path) and not (family is LENS and lens and lens[2] in (*_KIND_OF_LENS, "hook_mlp_in")):
        return point
    if name in ("embed", "hook_embed"):
        return _place(name, "embed", 0, module, _known(name, family, module))
    if match := _SHORT.fullmatch(name):
        return _place(name, match[1], int(match[2]), module, _known(name, family, module))
    if match := _HEAD.fullmatch(name):
        return _of_head(name, resolve(match[1], module, family), int(match[2]), module)
    if lens:
        layer, hook = int(lens[1]), lens[2]
        known = _known(name, family, module)
        if hook == "hook_mlp_in":
            _refuse_mlp_in(name, layer, module, known)
        if hook in _KIND_OF_LENS:
            return _place(name, _KIND_OF_LENS[hook], layer, module, known, lens=True)
    hint = nearest(name, _names(module, family))
    if name.startswith(f"{SECOND}."):
        hint = f"{SECOND}. stands for a second model, which nothing names here: --second, or ModelPair"
    raise InputError(f"unknown hook point {name!r}", expected=_EXPECTED, hint=hint)


def kind_of(name: str, module: nn.Module, family: Family | None) -> str | None:
    """The kind of short name (`resid_post`) that a hook point of `module` has; None where it has none.

    Raises:
        InputError: there is no such place.
    """
    found = place_of(name, module, family)
    return None if found is None else found[0]


def place_of(name: str, module: nn.Module, family: Family | None) -> tuple[str, int] | None:
    """The kind of short name and the layer that a hook point of `module` has; None where it has none.

    Raises:
        InputError: there is no such place.
    """
    point = replace(resolve(name, module, family), columns=None)
    if family is None:
        return None
    config = config_of(module)
    absent = {*KINDS} - {*family.templates} | ({"resid_mid"} if family.parallel(config) else set())
    kinds = [kind for kind in KINDS if kind not in absent]
    places = ((kind, layer) for kind in kinds for layer in range(family.layers(config)))
    return next(((kind, layer) for kind, layer in places if _place(name, kind, layer, module, family) == point), None)


def _place(name: str, kind: str, layer: int, module: nn.Module, family: Family, *, lens: bool = False) -> HookPoint:
    config = config_of(module)
    layers = family.layers(config)
    if layer >= layers:
        raise InputError(
            f"hook point {name!r} of a model with {layers} layers", expected=f"a layer from 0 to {layers - 1}"
        )
    if kind == "resid_mid" and family.parallel(config):
        raise InputError(
            f"hook point {name!r} does not exist in this {family.name} model: attention and MLP read the same residual "
            "stream side by side, and no stream flows between them",
            expected=f"resid_pre.{layer} or resid_post.{layer} (or what is added: attn_out.{layer}, mlp_out.{layer})",
        )
    templates = {**family.templates, **family.transformer_lens} if lens else family.templates
    prefix = "" if family is LENS else base_prefix(module)
    point = HookPoint.parse(prefix + templates[kind].format(L=layer))
    # TransformerLens' bridge has its hook where the norm is given the stream, not where the stream flows on.
    in_stream = kind == "resid_mid" and (point.side == "in" or family is LENS)
    return HookPoint(point.path, point.side, in_stream=in_stream, heads_apart=kind == "attn_z" and family is LENS)


def _of_head(name: str, all_heads: HookPoint, head: int, module: nn.Module) -> HookPoint:
    config = text_config(module)
    heads = config.num_attention_heads
    if head >= heads:
        raise InputError(f"hook point {name!r} of a model with {heads} heads", expected=f"a head from 0 to {heads - 1}")
    d_head = getattr(config, "head_dim", None) or config.hidden_size // heads
    return replace(all_heads, columns=(head * d_head, (head + 1) * d_head))


def config_of(module: nn.Module) -> Any:
    """The configuration of a module, in Hugging Face's terms, or None where it has none."""
    return lens_config(module) or getattr(module, "config", None)


def text_config(module: nn.Module) -> Any:
    """The configuration of a module's language model, or None where it has no configuration."""
    config = config_of(module)
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def base_prefix(module: nn.Module) -> str:
    """The path of the base model inside `module` with a dot after it, or "" if `module` is the base model."""
    prefix = getattr(module, "base_model_prefix", "")
    return f"{prefix}." if prefix and isinstance(getattr(module, prefix, None), nn.Module) else ""


def _known(name: str, family: Family | None, module: nn.Module) -> Family:
    if family is None:
        raise InputError(
            f"hook point {name!r} of a {type(module).__name__}, whose family is not known",
            expected="the path of one of its modules",
            hint=nearest(name, _names(module, None)) or f"families with short names: {', '.join(sorted(families))}",
        )
    return family


def _refuse_mlp_in(name: str, layer: int, module: nn.Module, family: Family) -> NoReturn:
    stream = "resid_pre" if family.parallel(config_of(module)) else "resid_mid"
    raise InputError(
        f"{name!r} is in TransformerLens the residual stream before the norm, and not what the MLP is given",
        expected=f"{stream}.{layer} (before the norm) or mlp_in.{layer} (after it)",
    )


def _names(module: nn.Module, family: Family | None) -> list[str]:
    """Every name that `module` understands."""
    paths = [path for path, _ in module.named_modules() if path]
    if family is None:
        return paths
    layers = range(family.layers(config_of(module)))
    kinds = [kind for kind in KINDS if kind != "resid_mid" or not family.parallel(config_of(module))]
    short = [f"{kind}.{layer}" for layer in layers for kind in kinds if kind != "embed"]
    lens = [f"blocks.{layer}.{hook}" for layer in layers for hook, kind in _KIND_OF_LENS.items() if kind in kinds]
    return ["embed", *short, *lens, *paths]


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True
