"""The report of a grid compares its dictionaries: those that differ only in sparsity are a group and a curve."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from monosema.evaluation import table_rows
from monosema.runs.drawing import DARK, LIGHT, Series, figure_of, series_of
from monosema.runs.families import families
from monosema.runs.pictures import frontiers
from monosema.runs.report import write_report
from monosema.runs.result import RunResult
from tests.runs.results import NAMES, Page, result_of
from tests.runs.tiny_run import recipe


def sweep(
    ks: Sequence[int] = (64, 16, 32), protocols: Sequence[str] = ("topk", "batch_topk"), **changes: Any
) -> RunResult:
    """A grid: dictionaries of several recipes, each with several k, which is what their L0 is."""
    names = {f"{protocol}-{k}": recipe(protocol, k=k) for protocol in protocols for k in ks}
    result = result_of(list(names))
    dictionaries = tuple(
        replace(d, recipe=recipe, **changes)
        for d, recipe in zip(result.config.dictionaries, names.values(), strict=True)
    )
    metrics = {name: replace(result.metrics[name], l0=float(r.k)) for name, r in names.items()}  # pyright: ignore[reportAttributeAccessIssue]
    return replace(result, config=replace(result.config, dictionaries=dictionaries), metrics=metrics)


def test_many_dictionaries_look_different():
    many = series_of(sweep(ks=range(1, 8), protocols=("topk", "batch_topk", "matryoshka")))
    assert len({series.colour(theme) for theme in (LIGHT, DARK) for series in many}) == 2 * 21
    families = [Series(i, "", "", i) for i in range(21)]
    assert len({(s.hue, s.line) for s in families}) == len({(s.hue, s.marker) for s in families}) == 21


def test_dictionaries_that_differ_only_in_sparsity_are_a_family_from_the_sparsest_on():
    result = sweep()
    assert [(f.title, f.members) for f in families(result)] == [
        (name, tuple(f"{name}-{k}" for k in (16, 32, 64))) for name in ("topk", "batch_topk")
    ]
    looks = series_of(result)
    assert [s.label for s in looks] == [f"{name}-k{k}" for name in ("topk", "batch_topk") for k in (16, 32, 64)]
    assert [s.name for s in looks] == [name for family in families(result) for name in family.members]
    assert len({s.hue for s in looks}) == 2
    assert [s.depth for s in looks[:3]] == sorted(s.depth for s in looks[:3])


def test_what_follows_from_another_setting_is_left_out_of_titles():
    result = sweep(protocols=("topk",))
    both = [
        replace(d, width=width, name=f"{width}-{d.name}", recipe=replace(d.recipe, lr=1 / width))
        for width in (8, 16)
        for d in result.config.dictionaries
    ]
    metrics = {str(d.name): result.metrics[str(d.name).partition("-")[2]] for d in both}
    result = replace(result, config=replace(result.config, dictionaries=tuple(both)), metrics=metrics)
    assert [family.title for family in families(result)] == ["width8", "width16"]
    assert [s.label for s in series_of(result)] == [f"width{width}-k{k}" for width in (8, 16) for k in (16, 32, 64)]


def test_dictionaries_that_differ_in_something_else_stand_alone_under_their_names():
    result = result_of(NAMES)
    dictionaries = [
        replace(d, recipe=recipe("topk", lr=lr)) for d, lr in zip(result.config.dictionaries, (1, 2, 3), strict=True)
    ]
    result = replace(result, config=replace(result.config, dictionaries=tuple(dictionaries)))
    assert [family.title for family in families(result)] == [s.label for s in series_of(result)] == list(NAMES)
    assert {s.depth for s in series_of(result)} == {1.0}


def test_the_summary_of_a_grid_is_grouped_and_its_features_are_folded_away(tmp_path: Path):
    result = sweep()
    page = Page(write_report(tmp_path, result))
    order = [name for family in families(result) for name in family.members]
    assert [row[0] for row in page.rows if row and row[0] in order] == order
    for row in table_rows(result.metrics).rows:
        assert row in page.rows
    assert page.tags.count("details") == 1 + len(order)
    targets = [value for name, value in page.attributes if name == "id"]
    assert targets == [f"dictionary-{i}" for i in range(len(order))]
    assert [value[1:] for name, value in page.attributes if name == "href"] == targets


def test_a_curve_of_a_grid_joins_its_dictionaries_in_the_order_of_their_l0():
    from matplotlib.figure import Figure

    result = sweep()
    for draw, key in ((frontiers(result, "fve"), "fve"), (frontiers(result, "ce_recovered"), "ce_recovered")):
        ax = Figure().add_subplot()
        draw(ax, LIGHT)
        for line, family in zip(ax.get_lines(), families(result), strict=True):
            points = [(result.metrics[name].l0, getattr(result.metrics[name], key)) for name in family.members]
            assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == points  # pyright: ignore[reportArgumentType]
            assert line.get_linestyle() == "-"
        low, high = ax.get_xlim()
        assert low < 16 < 64 < high


@pytest.mark.parametrize("names", [[f"topk-{i}" for i in range(9)], ["a name of more than twenty-two letters"] * 9])
def test_names_in_a_legend_do_not_touch(names: list[str]):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    legend = [Series(i, name, name, i) for i, name in enumerate(names)]
    figure = figure_of(LIGHT, lambda ax, theme: None, legend, marks=True)
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0 for box in boxes)
