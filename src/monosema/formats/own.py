"""What other libraries' configurations have no place for: it goes into an entry of monosema's own, and comes back."""

import json
import re
from collections.abc import Mapping
from typing import Any

from monosema.dictionaries import Spec
from monosema.errors import InputError
from monosema.files import json_text
from monosema.formats.settings import Settings
from monosema.lens_names import LENS_NAMES

ENTRY = "monosema"
_HEAD = re.compile(r"attn_z\.(\d+)\.(\d+)")
_LENS_HEADS = re.compile(r"blocks\.(\d+)\.attn\.hook_z")
_HOME = {"pythia": "EleutherAI", "gemma": "google", "gpt-neo": "EleutherAI"}
"""Whose the models are that TransformerLens knows without their owner."""


def entry(spec: Spec, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata, hook points and wiring, for the configuration that another library reads."""
    return {
        "metadata": dict(metadata),
        "reads": list(spec.reads),
        "writes": list(spec.writes),
        "wiring": spec.wiring,
    }


def points(settings: Settings, reads: str | None, writes: str | None) -> dict[str, Any]:
    """The hook points of a spec: those of monosema's entry, or those that the configuration names itself.

    Args:
        settings: where the entry may lie.
        reads: the hook point read, if the configuration says it.
        writes: the hook point written, where it is another one.
    """
    if ENTRY not in settings:
        read = () if reads is None else (reads,)
        return {"reads": read, "writes": read if writes is None else (writes,)}
    own = settings.section(ENTRY)
    return {"reads": _names(own, "reads"), "writes": _names(own, "writes")}


def wiring(settings: Settings, otherwise: str) -> str:
    """The wiring in monosema's entry, or another if there is none."""
    return settings.section(ENTRY).text("wiring", otherwise, among=("autoencoder", "transcoder"))


def metadata(settings: Settings, kind: str, **found: Any) -> dict[str, Any]:
    """The metadata in monosema's entry; or what another library's configuration says, and all of it below `source`.

    Raises:
        InputError: it is not JSON (a number that is not finite).
    """
    if ENTRY in settings:
        return dict(settings.section(ENTRY).section("metadata").values)
    try:
        source = json.loads(json_text(settings.values))
    except (ValueError, RecursionError):
        raise InputError(f"{settings.path} has numbers that are not finite", expected="JSON") from None
    return {**{key: value for key, value in found.items() if value is not None}, "source": {"format": kind, **source}}


def lens_name(point: str) -> str:
    """What TransformerLens calls a hook point with a short name; any other is itself."""
    kind, _, layer = point.partition(".")
    known = kind in LENS_NAMES and (layer.isdecimal() or kind == point == "embed")
    return LENS_NAMES[kind].format(L=layer) if known else point


def lens_head(point: str) -> tuple[str, int | None]:
    """What TransformerLens calls a hook point, and which head of it, where it is one head alone: `attn_z.2.3`."""
    match = _HEAD.fullmatch(point)
    return (lens_name(point), None) if match is None else (lens_name(f"attn_z.{match[1]}"), int(match[2]))


def of_head(point: str, head: int) -> str:
    """The hook point of one head of TransformerLens' `blocks.L.attn.hook_z`; of any other place, the place."""
    match = _LENS_HEADS.fullmatch(point)
    return point if match is None else f"attn_z.{match[1]}.{head}"


def hub_name(model: str | None) -> str | None:
    """The name under which Hugging Face knows a model that TransformerLens calls so."""
    if model is None or "/" in model:
        return model
    if model.startswith("gpt2"):
        return model.removesuffix("-small")
    family = next((family for family in _HOME if model.startswith(family)), None)
    return model if family is None else f"{_HOME[family]}/{model}"


def one_point(side: str, names: tuple[str, ...]) -> str | None:
    """The one hook point on a side, or None.

    Raises:
        InputError: there are several.
    """
    if len(names) > 1:
        raise InputError(f"a dictionary that {side} {' and '.join(names)}", expected="one hook point on each side")
    return names[0] if names else None


def _names(own: Settings, key: str) -> tuple[str, ...]:
    found = own.values.get(key)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise own.refused(key, "a list of hook points")
    return tuple(found)
