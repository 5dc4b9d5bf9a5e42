"""From the name of a hook point to the hook point: module paths, short names and TransformerLens names."""

import re
from dataclasses import replace
from typing import Any, NoReturn

from torch import nn

from monosema.errors import InputError
from monosema.models.families import KINDS, Family, families
from monosema.models.hook_points import HookPoint
from monosema.registry import nearest

_SHORT = re.compile(rf"({'|'.join(KINDS[1:])})\.(\d+)")
_HEAD = re.compile(r"(attn_z\.\d+)\.(\d+)")
_LENS = re.compile(r"blocks\.(\d+)\.((?:\w+\.)?hook_\w+)")
_KIND_OF_LENS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "attn.hook_z": "attn_z",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
}
_EXPECTED = (
    f"a short name (embed, {', '.join(f'{kind}.L' for kind in KINDS[1:])}; attn_z.L.H is one head), "
    "a TransformerLens name (blocks.L.hook_resid_post) or a module path"
)


def resolve(name: str, module: nn.Module, family: Family | None) -> HookPoint:
    """The hook point of `module` that `name` means.

    A module path means itself; the other names are looked up in `family`.

    Raises:
        InputError: there is no such place; the nearest names are offered.
    """
    point = HookPoint.parse(name)
    if _has(module, point.path):
        return point
    if name in ("embed", "hook_embed"):
        return _place(name, "embed", 0, module, _known(name, family, module))
    if match := _SHORT.fullmatch(name):
        return _place(name, match[1], int(match[2]), module, _known(name, family, module))
    if match := _HEAD.fullmatch(name):
        return _of_head(name, resolve(match[1], module, family), int(match[2]), module)
    if match := _LENS.fullmatch(name):
        layer, hook = int(match[1]), match[2]
        known = _known(name, family, module)
        if hook == "hook_mlp_in":
            _refuse_mlp_in(name, layer, module, known)
        if hook in _KIND_OF_LENS:
            return _place(name, _KIND_OF_LENS[hook], layer, module, known, lens=True)
    raise InputError(f"unknown hook point {name!r}", expected=_EXPECTED, hint=nearest(name, _names(module, family)))


def _place(name: str, kind: str, layer: int, module: nn.Module, family: Family, *, lens: bool = False) -> HookPoint:
    config, layers = module.config, family.layers(module.config)
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
    point = HookPoint.parse(base_prefix(module) + templates[kind].format(L=layer))
    return HookPoint(point.path, point.side, in_stream=kind == "resid_mid" and point.side == "in")


def _of_head(name: str, all_heads: HookPoint, head: int, module: nn.Module) -> HookPoint:
    config = text_config(module)
    heads = config.num_attention_heads
    if head >= heads:
        raise InputError(f"hook point {name!r} of a model with {heads} heads", expected=f"a head from 0 to {heads - 1}")
    d_head = getattr(config, "head_dim", None) or config.hidden_size // heads
    return replace(all_heads, columns=(head * d_head, (head + 1) * d_head))


def text_config(module: nn.Module) -> Any:
    """The configuration of a module's language model, or None where it has no configuration."""
    config: Any = getattr(module, "config", None)
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
    stream = "resid_pre" if family.parallel(module.config) else "resid_mid"
    raise InputError(
        f"{name!r} is in TransformerLens the residual stream before the norm, and not what the MLP is given",
        expected=f"{stream}.{layer} (before the norm) or mlp_in.{layer} (after it)",
    )


def _names(module: nn.Module, family: Family | None) -> list[str]:
    """Every name that `module` understands."""
    paths = [path for path, _ in module.named_modules() if path]
    if family is None:
        return paths
    layers = range(family.layers(module.config))
    kinds = [kind for kind in KINDS if kind != "resid_mid" or not family.parallel(module.config)]
    short = [f"{kind}.{layer}" for layer in layers for kind in kinds if kind != "embed"]
    lens = [f"blocks.{layer}.{hook}" for layer in layers for hook, kind in _KIND_OF_LENS.items() if kind in kinds]
    return ["embed", *short, *lens, *paths]


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True
