"""The report of a run: one HTML file that opens anywhere, and its pictures as PNG beside it."""

import platform
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from monosema.analysis import Example
from monosema.analysis.render import one_line
from monosema.config import to_dict
from monosema.evaluation import sites_table, table_rows, together_table
from monosema.files import write_atomically, write_text
from monosema.runs.definitions import details, percent
from monosema.runs.drawing import DARK, LIGHT, Picture, Series, family_series, series_of
from monosema.runs.families import Family, families
from monosema.runs.folder import PICTURES, REPORT
from monosema.runs.pictures import density_picture, share_picture, tradeoff_pictures, training_pictures
from monosema.runs.result import RunResult

TEMPLATES = Path(__file__).parent / "templates"
OPEN = 3  # dictionaries whose features need no folding away
PACKAGES = ("monosema", "torch", "transformers", "numpy")


def write_report(folder: Path, result: RunResult) -> Path:
    """Writes `report.html` and `pictures/*.png` into a run's folder, and says where the report is."""
    from monosema.yaml_text import render

    sections = [_section(result, series) for series in series_of(result)]
    training, tradeoff = training_pictures(result), tradeoff_pictures(result)
    shares = [share_picture(result, series) for series in series_of(result) if series.name in result.shares]
    for picture in (*training, *tradeoff, *shares, *(section.density for section in sections)):
        _write_png(folder / PICTURES / f"{picture.name}.png", picture.light)
    page = page_template(REPORT).render(
        title=_title(result),
        lead=_lead(result),
        summary=table_rows(result.metrics),
        sites=sites_table(result.metrics),
        shares=shares,
        together=None if result.together is None else together_table(result.together, len(result.metrics)),
        groups=_groups(result, sections),
        details=_details(result, sections),
        sections=sections,
        folded=len(sections) > OPEN,
        training=training,
        tradeoff=tradeoff,
        configuration=render(to_dict(result.config)),
        facts=_facts(result),
        versions=_versions(),
        themes={"light": LIGHT, "dark": DARK},
    )
    write_text(folder / REPORT, page)
    return folder / REPORT


@dataclass(frozen=True)
class Token:
    """A token of an example as the page shows it."""

    text: str
    value: float
    shade: float
    """From 0 to 1, its value relative to the feature's strongest."""
    strongest: bool


@dataclass(frozen=True)
class Feature:
    """A feature as the page shows it."""

    index: int
    density: float
    examples: Sequence[tuple[Example, Sequence[Token]]]


@dataclass(frozen=True)
class Section:
    """What the page says of one dictionary."""

    series: Series
    density: Picture
    features: Sequence[Feature]
    figures: Sequence[str]
    """Its row in the table of the summary."""


@dataclass(frozen=True)
class Group:
    """A family as the page shows it."""

    family: Family
    series: Series
    sections: Sequence[Section]


def _groups(result: RunResult, sections: Sequence[Section]) -> list[Group]:
    looks = zip(families(result), family_series(result), strict=True)
    return [Group(family, own, [s for s in sections if s.series.family == own.family]) for family, own in looks]


def _section(result: RunResult, series: Series) -> Section:
    density = result.density[series.name]
    features = [
        Feature(index, float(density[index]), [(example, shown_tokens(example, examples)) for example in examples])
        for index, examples in result.examples[series.name].items()
    ]
    (row,) = table_rows({series.name: result.metrics[series.name]}).rows
    return Section(series, density_picture(result, series), features, row[1:])


def shown_tokens(example: Example, examples: Sequence[Example]) -> list[Token]:
    """The tokens of one of a feature's examples, as dark as their value is near the strongest of them all."""
    scale = max(e.value for e in examples)
    return [
        # Where a character is cut into several tokens, the first of them have no text, but may be active.
        Token(one_line(text) or ("·" if value else ""), value, round(max(value, 0) / scale, 2), i == example.strongest)
        for i, (text, value) in enumerate(zip(example.tokens, example.values, strict=True))
    ]


def _title(result: RunResult) -> str:
    config = result.config
    if config.activations:
        return f"Dictionaries of {Path(config.activations).name}"
    return f"Dictionaries of {config.model}{f' and {config.second}' if config.second else ''}"


def _lead(result: RunResult) -> str:
    config = result.config
    many = f"{len(config.dictionaries)} dictionaries" if len(config.dictionaries) > 1 else "One dictionary"
    tokens = config.steps * config.batch_size
    learned = f"{tokens:,} rows of activations" if config.activations else f"{tokens:,} tokens of {config.text}"
    return f"{many} at {', '.join(config.points)}, trained on {learned}."


def _details(result: RunResult, sections: Sequence[Section]) -> Iterator[tuple[str, list[tuple[str, str, list[str]]]]]:
    """Groups of rows: label, meaning, and the value of each dictionary; rows without any value are left out."""
    metrics = [result.metrics[section.series.name] for section in sections]
    for group, definitions in details().items():
        rows = [
            (definition.label, definition.meaning, [definition.show(m) for m in metrics])
            for definition in definitions
            if any(definition.value(m) is not None for m in metrics)
        ]
        if rows:
            yield group, rows


def _facts(result: RunResult) -> dict[str, str]:
    """What the run took, and other figures, in words."""
    forms: dict[str, Any] = {
        "tokens": lambda n: f"{n:,}",
        "tokens_per_second": lambda rate: f"{rate:,.0f}",
        "buffer_bytes": lambda size: f"{size / 2**20:,.0f} MiB",
        "peak_memory_bytes": lambda size: f"{size / 2**30:.2f} GiB",
    }
    labels = {
        "buffer_bytes": "shuffling buffer",
        "peak_memory_bytes": "peak memory",
        "text_passes": "passes over the text",
    }
    seconds = {part: _duration(value) for part, value in result.seconds.items()}
    other = {
        labels.get(key, key.replace("_", " ")): forms.get(key, str)(value)
        for key, value in result.facts.items()
        if value is not None
    }
    return {label[:1].upper() + label[1:]: text for label, text in (seconds | other).items()}


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _versions() -> dict[str, str]:
    packages = {package: version(package) for package in PACKAGES}
    return {**packages, "Python": platform.python_version(), "System": f"{platform.system()} {platform.machine()}"}


def page_template(name: str) -> Any:
    """A page that escapes all text that it is given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(base64=lambda data: b64encode(data).decode(), percent=percent, line=one_line)
    return environment.get_template(name)


def _write_png(path: Path, png: bytes) -> None:
    write_atomically(path, lambda temporary: temporary.write_bytes(png))
