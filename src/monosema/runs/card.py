"""The model card of what is published: what it is, how good, how to load it, how it was trained."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monosema
from monosema.analysis.render import one_line
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import Metrics, Table, sites_table, table_rows

TEMPLATES = Path(__file__).parent / "templates"
_TOLD = (
    "model",
    "revision",
    "second",
    "second_revision",
    "model_preprocessing",
    "text",
    "activations",
    "context",
    "tokens",
    "seed",
    "recipe",
)
"""What the metadata of a dictionary says of its training, as far as it is there."""


@dataclass(frozen=True)
class Entry:
    """A dictionary as the card tells of it."""

    name: str
    dictionary: Dictionary
    address: str
    saelens: str | None
    """Where SAELens' form lies in the repository."""
    refused: str | None
    """Why there is none."""

    @property
    def wires(self) -> str:
        """The hook points that it reads and, if it writes others, those."""
        reads, writes = (" & ".join(points) for points in (self.dictionary.spec.reads, self.dictionary.spec.writes))
        return reads if reads == writes else f"{reads} → {writes}"

    @property
    def width(self) -> int:
        """Its number of features."""
        return self.dictionary.spec.width


def model_card(
    repo: str,
    entries: Sequence[Entry],
    metrics: Mapping[str, Metrics],
    configuration: str | None,
    license: str | None,
) -> str:
    """The text of `README.md`.

    Args:
        repo: `org/repo`, where it will lie.
        entries: the dictionaries.
        metrics: of those that were measured, by name.
        configuration: the YAML of the run, if they come from one.
        license: an identifier of the hub, such as mit.

    Raises:
        InputError: the licence is no identifier.
    """
    import jinja2

    if license is not None and not re.fullmatch(r"[\w.+-]+", license):
        raise InputError(f"licence {license!r}", expected="an identifier of the hub, such as mit or apache-2.0")

    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=False, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    shared, varied = _facts(entries)
    model = _common_model(entries)
    return environment.get_template("card.md").render(
        repo=repo,
        title=repo.partition("/")[2],
        lead=_lead(entries, model),
        version=monosema.__version__,
        base_model=model if _on_hub(model) else None,
        license=license,
        table=table_rows(metrics) if metrics else None,
        sites=sites_table(metrics),
        entries=entries,
        shared=shared,
        varied=varied,
        grid=_grid,
        configuration=configuration,
    )


def _common_model(entries: Sequence[Entry]) -> Any:
    models = {entry.dictionary.metadata.get("model") for entry in entries}
    return models.pop() if len(models) == 1 else None


def _lead(entries: Sequence[Entry], model: Any) -> str:
    of = f" of `{_cell(model)}`" if model else ""
    points = ", ".join(dict.fromkeys(f"`{_cell(entry.wires)}`" for entry in entries))
    if len(entries) == 1:
        return f"A sparse dictionary of {entries[0].width:,} features for {points}{of}."
    return f"{len(entries)} sparse dictionaries for {points}{of}."


def _facts(entries: Sequence[Entry]) -> tuple[list[list[str]], Table]:
    """What is known of the training: what all have in common, and a table of what tells them apart."""
    known = {"features": [f"{entry.width:,}" for entry in entries], "hook points": [entry.wires for entry in entries]}
    for key in _TOLD:
        values = [entry.dictionary.metadata.get(key) for entry in entries]
        if any(value is not None for value in values):
            known[key.replace("_", " ")] = [_told(value) for value in values]
    shared = [[name, values[0]] for name, values in known.items() if len(set(values)) == 1]
    apart = {name: values for name, values in known.items() if len(set(values)) > 1}
    rows = [[entry.name, *of] for entry, *of in zip(entries, *apart.values(), strict=True)] if apart else []
    return shared, Table(["Dictionary", *apart], rows, [])


def _grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [list(map(_cell, headers)), ["---"] * len(headers), *(list(map(_cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _told(value: Any) -> str:
    if isinstance(value, Mapping):  # a recipe
        return ", ".join(f"{key} {_told(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_told, value)) or "none"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def _on_hub(model: Any) -> bool:
    """Whether a name can be one on the hub: no path, and not the model that comes with the package."""
    return isinstance(model, str) and model != "tiny" and bool(re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", model))


def _cell(text: Any) -> str:
    """A text that stays in its cell of a Markdown table, and is no markup."""
    shown = one_line(str(text))
    for sign in "\\`|<>[]":
        shown = shown.replace(sign, f"\\{sign}")
    return shown
