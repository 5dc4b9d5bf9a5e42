"""How the report draws: its colours, how a dictionary looks, and the way from a drawing to a PNG."""

import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from monosema.analysis.render import one_line
from monosema.runs.families import families, labels
from monosema.runs.result import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Draw = Callable[["Axes", "Theme"], None]


@dataclass(frozen=True)
class Theme:
    """Colours of a page and its pictures; the series' hues stay apart for colour-blind readers (Okabe, Ito)."""

    paper: str
    ink: str
    grid: str
    series: tuple[str, ...]


LIGHT = Theme(
    "#ffffff", "#3b3f46", "#e4e6ea", ("#0072b2", "#d55e00", "#009e73", "#b3589a", "#c98a00", "#3fa5dd", "#7a7a7a")
)
DARK = Theme(
    "#1b1e23", "#c6cad1", "#343941", ("#4da6e8", "#f2803a", "#2bbf93", "#e39ac4", "#f0b93a", "#9ad4f7", "#a8a8a8")
)
LineStyle = Literal["solid", "dashed", "dotted"]
LINES: tuple[LineStyle, ...] = ("solid", "dashed", "dotted")
MARKERS = "osD^vPX"
PALEST = 0.25  # depth of colour that the sparsest of very many would have
WIDTH, HEIGHT, DPI = 4.4, 2.9, 160  # inches, and dots per inch
LEGEND_ROW, LEGEND_HALF, LEGEND_NAME = 0.19, 22, 44  # inches; characters in half a row and in a whole one


@dataclass(frozen=True)
class Series:
    """A dictionary's name and its looks, the same in every picture and on the page.

    Those of one family have one hue, and are the deeper the denser they are.
    """

    index: int
    name: str
    label: str
    """Its name in legends."""
    family: int
    depth: float = 1.0
    """Of its colour, above 0; 1 for the densest of its family, and for one that is alone."""

    @property
    def hue(self) -> int:
        """Which of a theme's colours."""
        return self.family % len(LIGHT.series)

    @property
    def line(self) -> LineStyle:
        """How its curves are dashed: what tells families apart where hues repeat."""
        return LINES[self.family // len(LIGHT.series) % len(LINES)]

    @property
    def marker(self) -> str:
        """What marks its points."""
        return MARKERS[(self.hue + self.family // len(LIGHT.series)) % len(MARKERS)]

    def colour(self, theme: Theme) -> str:
        """Its colour on a page, as #rrggbb."""
        ends = (bytes.fromhex(colour[1:]) for colour in (theme.paper, theme.series[self.hue]))
        mixed = (round(a + self.depth * (b - a)) for a, b in zip(*ends, strict=True))
        return f"#{bytes(mixed).hex()}"


def series_of(result: RunResult) -> list[Series]:
    """The looks of a run's dictionaries, family by family."""
    names = labels(result)
    members = [
        (name, number, PALEST + (1 - PALEST) * (place + 1) / len(family.members))
        for number, family in enumerate(families(result))
        for place, name in enumerate(family.members)
    ]
    return [Series(i, name, names[name], number, depth) for i, (name, number, depth) in enumerate(members)]


def family_series(result: RunResult) -> list[Series]:
    """The looks of whole families."""
    return [Series(i, family.title, family.title, i) for i, family in enumerate(families(result))]


@dataclass(frozen=True)
class Picture:
    """A drawing as PNG, for a light and for a dark page."""

    name: str
    title: str
    note: str
    light: bytes
    dark: bytes


def picture(
    name: str, title: str, note: str, draw: "Draw", legend: Sequence[Series] = (), marks: bool = False
) -> Picture:
    """Draws twice, once for each theme.

    Args:
        name: of the file, without its suffix.
        title: what the picture shows, in few words.
        note: the same more exactly.
        draw: draws on axes in a theme's colours.
        legend: dictionaries to name below the axes; one alone needs no name.
        marks: whether the dictionaries are points rather than curves.
    """
    legend = legend if len(legend) > 1 else ()
    return Picture(name, title, note, *(_png(theme, draw, legend, marks) for theme in (LIGHT, DARK)))


def figure_of(theme: Theme, draw: "Draw", legend: Sequence[Series], marks: bool) -> "Figure":
    """A drawing with its legend below, in a theme's colours."""
    from matplotlib.figure import Figure

    rows = math.ceil(len(legend) / _columns(legend))
    figure = Figure((WIDTH, HEIGHT + LEGEND_ROW * rows), dpi=DPI, layout="constrained")
    draw(figure.add_subplot(), theme)
    if legend:
        _add_legend(figure, theme, legend, marks)
    return figure


def _png(theme: Theme, draw: "Draw", legend: Sequence[Series], marks: bool) -> bytes:
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = io.BytesIO()
    # "default" first: a reader's own matplotlibrc is not for this page.
    with style.context(["default", _rc(theme)]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # an emoji in a name is drawn as a box
        FigureCanvasAgg(figure_of(theme, draw, legend, marks)).print_png(file)
    return file.getvalue()


def _add_legend(figure: "Figure", theme: Theme, legend: Sequence[Series], marks: bool) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=s.colour(theme), linestyle="none" if marks else s.line, marker=s.marker if marks else "")
        for s in legend
    ]
    drawn = figure.legend(handles, ["name"] * len(legend), loc="outside lower center", ncols=_columns(legend))
    for text, series in zip(drawn.get_texts(), legend, strict=True):
        text.set_parse_math(False)  # a name may hold dollar signs
        text.set_text(_short(one_line(series.label)))


def _columns(legend: Sequence[Series]) -> int:
    return 2 if all(len(series.label) <= LEGEND_HALF for series in legend) else 1


def _short(name: str) -> str:
    """A name that fits; its end is kept, too, because names often differ only there."""
    if len(name) <= LEGEND_NAME:
        return name
    half = LEGEND_NAME // 2
    return f"{name[: half - 1]}…{name[-half:]}"


def _rc(theme: Theme) -> dict[str, object]:
    return {
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.grid,
        "axes.labelcolor": theme.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "xtick.color": theme.ink,
        "ytick.color": theme.ink,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "text.color": theme.ink,
        "font.size": 9.5,
        "lines.linewidth": 1.7,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "legend.handlelength": 1.5,
        "legend.columnspacing": 1.2,
    }
