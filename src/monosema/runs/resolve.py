"""A run's configuration with every choice made: sizes, names, learning rates, device, precision."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from monosema.config import to_dict
from monosema.device import has_fast_bf16, pick_device
from monosema.dictionaries import Spec
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.naming import folder_name, settings_of, within

EXPANSION = 16


def resolve(config: RunConfig, widths: Mapping[str, int], dtype: str | None) -> RunConfig:
    """The same run with nothing left to choose; a run of the result is a run of `config`.

    Args:
        config: what was asked for.
        widths: the size of the activations at each of the run's hook points.
        dtype: the precision that the model was loaded in, if there is one.
    """
    device = pick_device(config.device)
    precision = config.precision
    if precision == "auto":
        precision = "bfloat16" if has_fast_bf16(device) else "float32"
    sized = [replace(d, width=_width(d, widths[d.site]), expansion=None) for d in config.dictionaries]
    dictionaries = tuple(
        replace(d, recipe=d.recipe.fitted(spec_of(d, widths), config.steps, config.batch_size)) for d in _named(sized)
    )
    return replace(
        config, dictionaries=dictionaries, dtype=dtype or config.dtype, device=str(device), precision=precision
    )


def spec_of(config: DictionaryConfig, widths: Mapping[str, int]) -> Spec:
    """What a resolved dictionary connects."""
    assert config.width is not None
    target = config.target or config.site
    return Spec(
        d_in=widths[config.site],
        d_out=widths[target],
        width=config.width,
        reads=(config.site,),
        writes=(target,),
        wiring="autoencoder" if target == config.site else "transcoder",
        skip=config.skip,
    )


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
