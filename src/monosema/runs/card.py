"""The model card of what is published: what it is, how good, how to load it, how it was trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import monosema
from monosema.analysis.render import one_line
from monosema.dictionaries import Dictionary
from monosema.evaluation import Metrics, table_rows

TEMPLATES = Path(__file__).parent / "templates"
_TOLD = ("model", "revision", "model_preprocessing", "text", "activations", "context", "tokens", "seed", "recipe")
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
    def reads(self) -> str:
        """The hook points that it reads."""
        return " & ".join(self.dictionary.spec.reads) or "activations"

    @property
    def writes(self) -> str:
        """The hook points that it writes."""
        return " & ".join(self.dictionary.spec.writes) or "activations"

    @property
    def width(self) -> int:
        """Its number of features."""
        return self.dictionary.spec.width


class Fact(NamedTuple):
    """A row of the table of training."""

    name: str
    values: list[str]


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
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=False, undefined=jinja2.StrictUndefined
    )
    environment.filters["cell"] = _cell
    models = {entry.dictionary.metadata.get("model") for entry in entries}
    model = models.pop() if len(models) == 1 else None
    return environment.get_template("card.md").render(
        repo=repo,
        title=repo.partition("/")[2],
        lead=_lead(entries, model),
        version=monosema.__version__,
        base_model=model if _on_hub(model) else None,
        license=license,
        table=table_rows(metrics) if metrics else None,
        entries=entries,
        facts=_facts(entries),
        configuration=configuration,
    )


def _lead(entries: Sequence[Entry], model: Any) -> str:
    of = f" of `{_cell(model)}`" if model else ""
    points = ", ".join(dict.fromkeys(f"`{_cell(entry.writes)}`" for entry in entries))
    if len(entries) == 1:
        return f"A sparse dictionary of {entries[0].width:,} features for {points}{of}."
    return f"{len(entries)} sparse dictionaries for {points}{of}."


def _facts(entries: Sequence[Entry]) -> list[Fact]:
    rows = [Fact("features", [f"{entry.width:,}" for entry in entries])]
    rows.append(Fact("reads", [entry.reads for entry in entries]))
    rows.append(Fact("writes", [entry.writes for entry in entries]))
    for key in _TOLD:
        values = [entry.dictionary.metadata.get(key) for entry in entries]
        if any(value is not None for value in values):
            rows.append(Fact(key.replace("_", " "), [_told(value) for value in values]))
    return rows


def _told(value: Any) -> str:
    if isinstance(value, Mapping):  # a recipe
        return ", ".join(f"{key} {_told(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_told, value)) or "none"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def _on_hub(model: Any) -> bool:
    """Whether a name can be one on the hub: no path, and not the model that comes with the package."""
    if not isinstance(model, str) or model == "tiny" or model.startswith((".", "/", "~")):
        return False
    return model.count("/") <= 1


def _cell(text: Any) -> str:
    """A text that stays in its cell of a Markdown table, and is no markup."""
    shown = one_line(str(text))
    for sign in "\\`|<>[]":
        shown = shown.replace(sign, f"\\{sign}")
    return shown
