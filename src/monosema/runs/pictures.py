"""The pictures of a report: training curves, quality against sparsity, histograms of density."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from monosema.analysis import sites_used
from monosema.analysis.render import one_line
from monosema.runs.drawing import Picture, Series, Theme, family_series, picture, series_of
from monosema.runs.families import families
from monosema.runs.result import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from monosema.runs.drawing import Draw

    Fit = Callable[["Axes", Sequence[float]], None]

BINS = 8  # of a histogram, for each power of ten
SHARE_BINS = 40


def training_pictures(result: RunResult) -> list[Picture]:
    """What the log says over the tokens of training: variance explained, active features, dead features."""
    curves: dict[str, tuple[str, str, Fit]] = {
        "fve": ("Variance explained", "of training batches", _fit_fve),
        "l0": ("L0", "active features per token", _fit_l0),
        "dead": ("Dead features", "share of features", _fit_share),
    }
    return [
        picture(f"training-{key}", title, note, _curves(result, key, fit), series_of(result))
        for key, (title, note, fit) in curves.items()
        if any(line.get(key) is not None for line in result.log)
    ]


def tradeoff_pictures(result: RunResult) -> list[Picture]:
    """Quality against sparsity on held-out data, those that differ only in sparsity joined; nothing for one dictionary,
    which has nothing to be compared with."""
    if len(result.metrics) < 2:
        return []
    titles = {"fve": "Variance explained", "ce_recovered": "CE recovered"}
    return [
        picture(
            f"{key.replace('_', '-')}-against-l0",
            title,
            "against L0",
            frontiers(result, key),
            family_series(result),
            marks=True,
        )
        for key, title in titles.items()
        if any(getattr(metrics, key) is not None for metrics in result.metrics.values())
    ]


def density_picture(result: RunResult, series: Series) -> Picture:
    """How many features fire how often; the axis is the same for every dictionary of the run."""
    density = result.density[series.name]
    dead = int((density == 0).sum())
    silent = f"{dead:,} of {len(density):,} features never fire" if dead else f"all {len(density):,} features fire"
    return picture(
        f"density-{series.index + 1}-{_slug(series)}",
        one_line(series.name),
        silent,
        _histogram(result, series),
    )


def share_picture(result: RunResult, series: Series) -> Picture:
    """Where features live that are active: between two hook points, or in how many of more."""
    alive = result.density[series.name].cpu() > 0
    shares = result.shares[series.name][alive]
    sites = shares.shape[1]
    config = next(d for d in result.config.dictionaries if d.name == series.name)
    if sites == 2:
        values, label, limits = shares[:, 1], f"share of norm in {one_line(config.writes[1])}", (0.0, 1.0)
    else:
        values, label, limits = sites_used(shares), "hook points written, effectively", (1.0, float(sites))

    def draw(ax: "Axes", theme: Theme) -> None:
        ax.hist(values.tolist(), SHARE_BINS, range=limits, color=series.colour(theme), edgecolor=theme.paper)
        ax.set_xlim(*limits)
        ax.set_xlabel(_unmarked(label))
        ax.set_ylabel("features")
        ax.grid(axis="x", visible=False)

    title, note = one_line(series.name), f"{len(shares):,} features that fire"
    return picture(f"shares-{series.index + 1}-{_slug(series)}", title, note, draw)


def _slug(series: Series) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", series.name)[:60]


def _unmarked(text: str) -> str:
    """Text whose dollar signs are no mathematics."""
    return text.replace("$", r"\$")


def _curves(result: RunResult, key: str, fit: "Fit") -> "Draw":
    lines: dict[str, list[Mapping[str, Any]]] = {name: [] for name in result.metrics}
    for line in result.log:
        if line.get(key) is not None:
            lines[line["dictionary"]].append(line)

    def draw(ax: "Axes", theme: Theme) -> None:
        for series in series_of(result):
            tokens = [line["step"] * result.config.batch_size for line in lines[series.name]]
            values = [line[key] for line in lines[series.name]]
            ax.plot(tokens, values, color=series.colour(theme), linestyle=series.line)
        fit(ax, [line[key] for own in lines.values() for line in own])
        ax.set_xlim(left=0)
        ax.set_xlabel("tokens")
        ax.xaxis.set_major_formatter(_tokens)

    return draw


def frontiers(result: RunResult, key: str) -> "Draw":
    """A curve for each family, through its dictionaries from the sparsest to the densest."""

    def draw(ax: "Axes", theme: Theme) -> None:
        for series, family in zip(family_series(result), families(result), strict=True):
            found = [metrics for name in family.members if getattr(metrics := result.metrics[name], key) is not None]
            line = series.line if len(found) > 1 else "none"
            look = {"color": series.colour(theme), "linestyle": line, "marker": series.marker, "markersize": 7}
            ax.plot([metrics.l0 for metrics in found], [getattr(metrics, key) for metrics in found], **look)
        _fit_sparsity(ax, [metrics.l0 for metrics in result.metrics.values()])
        ax.set_ylim(_widened(ax.get_ylim(), least=0.1))
        ax.yaxis.set_major_formatter(_percent)

    return draw


def _histogram(result: RunResult, series: Series) -> "Draw":
    density = result.density[series.name]
    rarest = min((float(d[d > 0].min()) for d in result.density.values() if d.any()), default=0.1)
    first = min(math.floor(math.log10(rarest)), -1)

    def draw(ax: "Axes", theme: Theme) -> None:
        edges = [first + i / BINS for i in range(-BINS * first + 1)]
        ax.hist(density[density > 0].log10().tolist(), edges, color=series.colour(theme), edgecolor=theme.paper)
        ax.set_xlim(first, 0)
        ax.set_xticks(range(first, 1))
        ax.set_xlabel("log10 density")
        ax.set_ylabel("features")
        ax.grid(axis="x", visible=False)

    return draw


def _fit_fve(ax: "Axes", values: Sequence[float]) -> None:
    """Leaves out the depths of the first steps, which would flatten the rest of the curve."""
    low, high = sorted(values)[len(values) // 20], max(values)
    margin = max(0.1 * (high - low), 0.005)
    ax.set_ylim(low - margin, high + margin)
    ax.yaxis.set_major_formatter(_percent)


def _fit_l0(ax: "Axes", values: Sequence[float]) -> None:
    if min(values) > 0 and max(values) > 20 * min(values):
        ax.set_yscale("log")
    else:
        ax.set_ylim(0, 1.2 * max(*values, 1))


def _fit_share(ax: "Axes", values: Sequence[float]) -> None:
    ax.set_ylim(0, max(1.2 * max(values), 0.02))
    ax.yaxis.set_major_formatter(_percent)


def _fit_sparsity(ax: "Axes", l0: Sequence[float]) -> None:
    ax.set_xlabel("L0")
    low, high = min(l0), max(l0)
    if low > 0 and high > 3.5 * low:
        ax.set_xscale("log", base=2)
        ax.set_xlim(low / 1.2, high * 1.2)
        ax.xaxis.set_major_formatter(_plain)
    else:
        ax.set_xlim(_widened(ax.get_xlim(), least=0.5 * high))


def _widened(limits: tuple[float, float], least: float) -> tuple[float, float]:
    """Limits at least so far apart: an axis must not blow up differences that mean nothing."""
    low, high = limits
    missing = max(least - (high - low), 0) / 2
    return low - missing, high + missing


def _percent(value: float, _: object = None) -> str:
    return f"{100 * value:.4g} %"


def _plain(value: float, _: object = None) -> str:
    return f"{value:g}"


def _tokens(value: float, _: object = None) -> str:
    for scale, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"
