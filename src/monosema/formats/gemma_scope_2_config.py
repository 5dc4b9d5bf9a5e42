"""What Gemma Scope 2 says of a dictionary: in the `config.json` beside it, or by the names of its folders."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monosema.formats import own
from monosema.formats.settings import Settings

CONFIG = "config.json"
_REPOSITORY = re.compile(r"gemma-scope-2-(\d+[bm]-(?:pt|it))")
_IN, _OUT = "hf_hook_point_in", "hf_hook_point_out"
_MLP = {_IN: "pre_feedforward_layernorm.output", _OUT: "post_feedforward_layernorm.output"}
_HOOKS = {
    "transcoder": _MLP,
    "crosscoder": {_IN: "output", _OUT: "output"},
    "resid_post": {_IN: "output"},
    "attn_out": {_IN: "self_attn.o_proj.input"},
    "mlp_out": {_IN: "post_feedforward_layernorm.output"},
}
"""The hook points of each part of the release, by what its folder is called there."""
_LAYERS = re.compile(r"layer_(\d+(?:_\d+)*)(?![0-9a-z])")
_HOOK = re.compile(r"model\.(?:language_model\.)?layers\.(\d+|\{all\}|\{\d+(?:, ?\d+)*\})\.(.+)")
_PLACES = {
    "output": "resid_post",
    "self_attn.o_proj.input": "attn_z",
    "pre_feedforward_layernorm.output": "mlp_in",
    "post_feedforward_layernorm.output": "mlp_out",
}


@dataclass(frozen=True)
class Config:
    """The values of a `config.json`, or what stands for them."""

    values: Settings

    @classmethod
    def of(cls, where: Path) -> "Config":
        """That beside a file; without one, what the path says, as the release has names for it on the hub.

        Raises:
            InputError: it is not JSON, or of another architecture.
        """
        beside = where.with_name(CONFIG)
        if beside.is_file():
            config = Settings.read(beside)
            config.text("architecture", "jump_relu", among=("jump_relu",))
            return cls(config)
        return cls(Settings(_named(where.absolute().parent), beside))

    @property
    def kind(self) -> str:
        """`sae`, `transcoder`, `crosscoder`, `clt`, or nothing where nothing says it."""
        return self.values.text("type", "")

    @property
    def skip(self) -> bool | None:
        """Whether it says that there is an affine skip, or that there is none."""
        return self.values.flag("affine_connection", None)

    @property
    def metadata(self) -> dict[str, Any]:
        """Where a dictionary comes from."""
        model = self.values.text("model_name", None)
        if model is not None:  # the smallest has no suffix on the hub
            model = own.hub_name(model.replace("gemma-v3", "gemma-3").replace("-270m-pt", "-270m"))
        return own.metadata(self.values, "gemma_scope_2", model=model, context=1024)

    def points(self) -> dict[str, Any]:
        """The hook points of one layer's dictionary."""
        return own.points(self.values, *(next(iter(self._points(name, 1)), None) for name in (_IN, _OUT)))

    def points_across(self, n: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those of `n` layers, read and written; where it says none, all MLPs', but for a crosscoder's.

        Raises:
            InputError: it says so of another number of layers.
        """
        reads, writes = self._points(_IN, n), self._points(_OUT, n)
        if self.kind != "crosscoder" and not reads and not writes:
            return tuple(f"mlp_in.{layer}" for layer in range(n)), tuple(f"mlp_out.{layer}" for layer in range(n))
        for name, found in ((_IN, reads), (_OUT, writes)):
            if found and len(found) != n:
                raise self.values.refused(name, f"{n} layers, one a file")
        return reads, writes or reads

    def _points(self, key: str, n: int) -> tuple[str, ...]:
        """Hook points by their short names: of the layers in braces, of all `n`, or of one."""
        hook = self.values.text(key, None)
        match = None if hook is None else _HOOK.fullmatch(hook)
        if match is None or match[2] not in _PLACES:
            return () if hook is None else (hook,)
        named = match[1].strip("{}")
        layers = map(str, range(n)) if named == "all" else re.split(", ?", named)
        return tuple(f"{_PLACES[match[2]]}.{layer}" for layer in layers)


def _named(folder: Path) -> dict[str, Any]:
    """What the names of a folder and those above it say, the nearest first: `crosscoder/layer_5_9_12_15_width_64k`."""
    found: dict[str, Any] = {}
    kind = next((kind for part in reversed(folder.parts) for kind in _HOOKS if kind in part), None)
    layers = next((match[1] for part in reversed(folder.parts) if (match := _LAYERS.search(part))), None)
    if match := _REPOSITORY.search(folder.as_posix()):
        found["model_name"] = f"gemma-3-{match[1]}"
    if kind in ("transcoder", "crosscoder"):
        found["type"] = kind
    if kind is not None and layers is not None:
        several = "{" + layers.replace("_", ",") + "}" if "_" in layers else layers
        found |= {name: f"model.layers.{several}.{hook}" for name, hook in _HOOKS[kind].items()}
    return found
