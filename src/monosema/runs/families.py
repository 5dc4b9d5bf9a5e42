"""Dictionaries that differ only in how sparse they are: one curve of a picture, one group of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monosema.config import to_dict
from monosema.runs.config import DictionaryConfig
from monosema.runs.naming import folder_name, settings_of, suffixes, within
from monosema.runs.result import RunResult

SPARSITY = ("k", "target_l0", "sparsity")
"""Hyper-parameters that set how many features are active, each in its recipes."""


@dataclass(frozen=True)
class Family:
    """Dictionaries that differ only in sparsity, the sparsest first."""

    title: str
    description: str
    """What the title does not say."""
    members: tuple[str, ...]


def families(result: RunResult) -> list[Family]:
    """A run's dictionaries in families, in the order of the configuration."""
    groups: dict[str, list[DictionaryConfig]] = {}
    for config in result.config.dictionaries:
        rest = {key: value for key, value in _settings(config).items() if key not in SPARSITY}
        groups.setdefault(repr(rest), []).append(config)
    titles = short_names([group[0] for group in groups.values()])
    alone = len(groups) == len(result.config.dictionaries)
    return [
        Family(
            str(group[0].name) if alone else title,
            _description(group[0], with_recipe=alone or not title.startswith(group[0].recipe.name)),
            tuple(sorted((str(config.name) for config in group), key=lambda name: result.metrics[name].l0)),
        )
        for title, group in zip(titles, groups.values(), strict=True)
    ]


def short_names(configs: Sequence[DictionaryConfig]) -> list[str]:
    """Of each no more than what tells it from the others; its recipe, if nothing is needed."""
    settings = [_settings(config) for config in configs]
    outer = suffixes([{"recipe": own["recipe"], "site": own["site"]} for own in settings])
    names = [folder_name(*words) for words in zip(outer, within(settings, fewest=True), strict=True)]
    return [name or own["recipe"] for name, own in zip(names, settings, strict=True)]


def labels(result: RunResult) -> dict[str, str]:
    """What a legend calls each dictionary: its name, or where families are compared what tells it from the others."""
    names = [str(config.name) for config in result.config.dictionaries]
    short = short_names(result.config.dictionaries)
    grouped = len(families(result)) < len(names) and len(set(short)) == len(short)
    return dict(zip(names, short if grouped else names, strict=True))


def _settings(config: DictionaryConfig) -> dict[str, Any]:
    return settings_of(to_dict(config))


def _description(config: DictionaryConfig, with_recipe: bool) -> str:
    place = config.site if config.target in (None, config.site) else f"{config.site} → {config.target}"
    words = [config.recipe.name] if with_recipe else []
    wiring = [] if config.wiring == "joined" else [config.wiring.replace("_", "-")]
    return " · ".join([*words, f"{config.width:,} features", *wiring, place])
