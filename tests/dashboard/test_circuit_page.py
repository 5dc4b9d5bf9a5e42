"""The page of a circuit in a browser: marks, arrows, choice by mouse and keys, addresses, hostile tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from monosema.circuits.described import Circuit, DescribedNode
from monosema.circuits.graph import Node
from monosema.circuits.prune import Scores
from monosema.dashboard.circuit_page import write_circuit_page
from tests.dashboard.conftest import Watched, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "</script><script>alert(1)</script>\u202e\n"


@pytest.fixture
def address(tmp_path: Path) -> str:
    nodes = [
        DescribedNode(Node("feature", 0, "low", 7, 2.5), 0, 0.3, 0.3, "one two"),
        DescribedNode(Node("feature", 1, "high", 9, 1.5), 1, 0.2, 0.5, HOSTILE),
        DescribedNode(Node("error", 1, "mlp_out.1"), 1, 0.1, 0.6, "mlp_out.1"),
        DescribedNode(Node("embedding", 0, index=3), -1, 0.2, 0.8, HOSTILE),
        DescribedNode(Node("embedding", 1, index=4), -1, 0.1, 0.9, "b"),
        DescribedNode(Node("logit", 1, index=5, value=0.9), 2, 0.0, 1.0, HOSTILE),
    ]
    edges = [(3, 0, 2.0), (0, 1, 1.0), (1, 5, 0.8), (2, 5, -0.4)]
    circuit = Circuit([HOSTILE, "b"], [3, 4], 2, nodes, edges, Scores(0.7, 0.9), 20)
    return write_circuit_page(tmp_path / "circuit.html", circuit, f"after {HOSTILE}", 0.8).as_uri()


def texts(page: "Page", selector: str) -> list[str]:
    return page.locator(selector).all_text_contents()


def heading(page: "Page") -> str:
    return page.locator(".head h1").text_content() or ""


def test_every_node_is_a_mark_and_every_edge_an_arrow(watched: Watched, address: str):
    page = watched.open(address, "svg .node")
    assert page.locator(".node").count() == 6
    assert page.locator(".edge").count() == 4
    assert page.locator(".edge.minus").count() == 1
    assert texts(page, ".rowname") == ["tokens", "layer 0", "layer 1", "predictions"]
    assert page.locator("script").count() == 2  # no token became one


def test_a_chosen_node_shows_what_feeds_it_and_what_it_feeds(watched: Watched, address: str):
    page = watched.open(address, "svg .node")
    page.locator(".node.feature").nth(1).click(force=True)
    until(page, "document.querySelector('h1.title, .head h1') !== null && location.hash === '#1'")
    assert "high 9" in heading(page)
    assert [text[:5] for text in texts(page, ".entries .size")] == ["+1.00", "+0.80"]
    page.locator(".entries .entry").first.click()
    assert "low 7" in heading(page)
    page.go_back()
    until(page, "document.querySelector('.head h1').textContent.includes('high 9')")
    page.keyboard.press("Escape")
    until(page, "document.querySelector('.head') === null")


def test_a_node_has_an_address_and_is_reached_by_arrow_keys(new_page: Callable[..., Watched], address: str):
    page = new_page().open(f"{address}#5", ".head h1")
    assert "90.0" in heading(page)
    page.keyboard.press("ArrowDown")
    until(page, "!document.querySelector('.head h1').textContent.includes('90.0')")
    assert "missed" in heading(page) or "high" in heading(page)


def test_fewer_nodes_are_shown_at_a_smaller_share(watched: Watched, address: str):
    page = watched.open(address, "svg .node")
    page.locator("#share").fill("50")
    until(page, "document.querySelectorAll('.node').length === 4")  # the ends, and the feature with most influence


@pytest.mark.parametrize("options", [{"viewport": {"width": 360, "height": 700}}, {"color_scheme": "dark"}])
def test_narrow_and_dark_pages_do_not_scroll_sideways(new_page: Callable[..., Watched], address: str, options: dict):
    page = new_page(**options).open(address, "svg .node")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
