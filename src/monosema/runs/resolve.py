"""A run's configuration with every choice made: sizes, names, learning rates, device, precision."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from monosema.config import to_dict
from monosema.device import has_fast_bf16, pick_device
from monosema.dictionaries import Spec
from monosema.dictionaries.spec import BLOCK_DIAGONAL, TRIANGULAR
from monosema.errors import InputError
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.naming import folder_name, settings_of, within

EXPANSION = 16


def resolve(
    config: RunConfig, widths: Mapping[str, int], dtype: str | None, heads: Mapping[str, int] | None = None
) -> RunConfig:
    """The same run with nothing left to choose; a run of the result is a run of `config`.

    Args:
        config: what was asked for.
        widths: the size of the activations at each of the run's hook points.
        dtype: the precision that the model was loaded in, if there is one.
        heads: how many attention heads lie side by side at those hook points where they do.
    """
    device = pick_device(config.device)
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if has_fast_bf16(device) else "float32"
    sized = [replace(d, width=_width(d, _size(d.reads, widths)), expansion=None) for d in config.dictionaries]
    dictionaries = tuple(
        replace(d, recipe=d.recipe.fitted(spec_of(d, widths, heads), config.steps, config.batch_size))
        for d in _named(sized)
    )
    return replace(
        config, dictionaries=dictionaries, dtype=dtype or config.dtype, device=str(device), precision=precision
    )


def spec_of(config: DictionaryConfig, widths: Mapping[str, int], heads: Mapping[str, int] | None = None) -> Spec:
    """What a resolved dictionary connects."""
    assert config.width is not None
    reads, writes = config.reads, config.writes
    return Spec(
        d_in=_size(reads, widths),
        d_out=_size(writes, widths),
        width=config.width,
        reads=reads,
        writes=writes,
        sizes_in=tuple(widths[point] for point in reads) if len(reads) > 1 else (),
        sizes_out=tuple(widths[point] for point in writes) if len(writes) > 1 else (),
        wiring="autoencoder" if reads == writes else "transcoder",
        skip=config.skip,
        **(_blocks(config, heads or {}) if config.wiring == "joined" else _sites(config)),
    )


def _size(points: Sequence[str], widths: Mapping[str, int]) -> int:
    return sum(widths[point] for point in points)


def _sites(config: DictionaryConfig) -> dict[str, Any]:
    """The maps of a dictionary whose hook points stay apart."""
    if len(config.reads) < 2 and len(config.writes) < 2:
        raise InputError(
            f"a {config.wiring} at {config.site}", expected="several hook points, joined by &", hint="a & b & c"
        )
    if config.blocks not in (None, 1):
        raise InputError(f"blocks {config.blocks} with wiring {config.wiring}", expected="wiring joined")
    if config.wiring == "crosscoder":
        return {"decoder": "sites"} if len(config.writes) > 1 else {}
    if len(config.reads) != len(config.writes) or config.reads == config.writes:
        raise InputError(
            f"a cross_layer dictionary from {len(config.reads)} hook points to "
            f"{'the same' if config.reads == config.writes else len(config.writes)}",
            expected="as many hook points written as read, such as the inputs and outputs of MLPs, layer by layer",
        )
    return {"encoder": BLOCK_DIAGONAL, "decoder": TRIANGULAR, "blocks": len(config.reads)}


def _blocks(config: DictionaryConfig, heads: Mapping[str, int]) -> dict[str, Any]:
    """How encoder and decoder are cut into blocks."""
    sides = {"encoder": config.site, "decoder": config.target or config.site}
    if config.blocks in (None, 1):
        return {}
    if config.blocks != "heads":
        return {**dict.fromkeys(sides, BLOCK_DIAGONAL), "blocks": config.blocks}
    cut = [side for side, point in sides.items() if point in heads]
    if not cut:
        raise InputError(
            f"blocks = heads at {', '.join(dict.fromkeys(sides.values()))}",
            expected="attn_z.L of a model whose number of heads is known",
            hint="or give the number of blocks",
        )
    return {**dict.fromkeys(cut, BLOCK_DIAGONAL), "blocks": heads[sides[cut[0]]]}


def _width(config: DictionaryConfig, d: int) -> int:
    if config.width is not None:
        return config.width
    return max(round(d * (EXPANSION if config.expansion is None else config.expansion)), 1)


def _named(configs: Sequence[DictionaryConfig]) -> tuple[DictionaryConfig, ...]:
    """Unnamed dictionaries are called by recipe, site and what varies among those, and numbered where all is alike."""
    bases = _bases([config for config in configs if config.name is None])
    taken = {config.name for config in configs}
    named = []
    for config in configs:
        if config.name is None:
            name, number = next(bases), 2
            base = name
            while name in taken:
                name, number = f"{base}-{number}", number + 1
            taken.add(name)
            config = replace(config, name=name)
        named.append(config)
    return tuple(named)


def _bases(unnamed: Sequence[DictionaryConfig]) -> Iterator[str]:
    settings = [settings_of(to_dict(config)) for config in unnamed]
    return (folder_name(own["recipe"], own["site"], end) for own, end in zip(settings, within(settings), strict=True))
