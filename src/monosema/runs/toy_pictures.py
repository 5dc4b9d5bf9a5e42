"""Pictures of toy models: their weights, and how superposition sets in as features become rare."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from monosema.runs.drawing import DPI, LIGHT
from monosema.synthetic import ToyModels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 1.9  # inches of a model's column
MOST_COLUMNS = 6


def weights_picture(models: ToyModels) -> bytes:
    """For up to six densities, side by side: W, W Wᵀ, and ‖Wᵢ‖ with the interference of the others; a PNG."""
    columns = _columns(models)

    def draw(figure: "Figure") -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        axes = figure.subplots(3, len(columns), squeeze=False, height_ratios=(1, 1, 0.8))
        weights, shades = ScalarMappable(Normalize(-1.2, 1.2), "RdBu"), ScalarMappable(Normalize(0, 1), "viridis_r")
        for column, model in enumerate(columns):
            W = models.W[model]
            axes[0, column].set_title(f"density {models.config.densities[model]:g}")
            axes[0, column].imshow(W.numpy(), norm=weights.norm, cmap=weights.cmap, aspect="auto")
            axes[1, column].imshow((W @ W.mT).numpy(), norm=weights.norm, cmap=weights.cmap)
            colours = shades.to_rgba(models.interference()[model].numpy())
            axes[2, column].bar(range(len(W)), models.norms()[model].numpy(), color=colours)
            axes[2, column].set_ylim(0, 1.3)
            for ax in axes[:2, column]:
                ax.set_xticks([])
                ax.set_yticks([])
        for row, label in enumerate(("W", "W Wᵀ", "‖Wᵢ‖")):
            axes[row, 0].set_ylabel(label)
        axes[2, 0].set_xlabel("feature")
        figure.colorbar(weights, ax=axes[:2].ravel().tolist(), shrink=0.5, pad=0.01)
        figure.colorbar(shades, ax=axes[2].ravel().tolist(), pad=0.01, label="interference")

    return _png(draw, CELL * len(columns) + 1, 2.8 * CELL)


def curves_picture(models: ToyModels) -> bytes:
    """Features represented, dimensions per feature and loss against density; a PNG."""
    densities = models.config.densities

    def draw(figure: "Figure") -> None:
        left, middle, right = figure.subplots(1, 3)
        _curve(left, densities, models.represented(), f"features represented, of {models.config.features}")
        left.axhline(models.config.d, color=LIGHT.ink, linestyle="dotted", linewidth=1)
        _curve(middle, densities, models.dimensions_per_feature().tolist(), "dimensions per feature")
        _curve(right, densities, models.loss.tolist(), "loss, of the best constant's")

    return _png(draw, 9.0, 2.8)


def _curve(ax: "Axes", densities: tuple[float, ...], values: "list[float] | list[int]", title: str) -> None:
    points = sorted(zip(densities, values, strict=True))
    ax.plot(*zip(*points, strict=True), "o-", color=LIGHT.series[0])
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.set_ylim(bottom=0)
    ax.set_xlabel("density (rarer to the right)")
    ax.set_title(title)
    ax.grid(color=LIGHT.grid)
    ax.spines[["top", "right"]].set_visible(False)


def _columns(models: ToyModels) -> list[int]:
    """Up to six models, from first to last."""
    count = len(models.config.densities)
    shown = min(count, MOST_COLUMNS)
    return sorted({round(i * (count - 1) / max(shown - 1, 1)) for i in range(shown)})


def _png(draw: "Callable[[Figure], None]", width: float, height: float) -> bytes:
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    file = io.BytesIO()
    with style.context(["default", {"font.size": 9, "axes.titlesize": 9}]):  # not with a reader's own matplotlibrc
        figure = Figure((width, height), dpi=DPI, layout="constrained")
        draw(figure)
        FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()
