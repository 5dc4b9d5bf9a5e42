"""The table of all features."""

from pathlib import Path
from typing import Any

import pytest

from monosema.dashboard import write_page
from tests.dashboard.conftest import Watched, click_on, until
from tests.dashboard.made_up import MadeUp

pytestmark = pytest.mark.slow
ROW = ".rows .row"


def shown(page: Any) -> list[int]:
    """The features of the first rows in sight."""
    return [int(text) for text in page.locator(f"{ROW} a").all_inner_texts()][:12]


def expected(provider: MadeUp, column: str, *, descending: bool = True) -> list[int]:
    values: Any = provider.columns()[column]  # pyright: ignore[reportTypedDictNotRequiredAccess]
    short = {i: float(f"{values[i]:.4g}") for i in range(provider.width) if values[i] is not None}
    return sorted(short, key=lambda i: -short[i] if descending else short[i])[:12]


def status(page: Any, says: str) -> None:
    until(page, f"document.querySelector('.status').textContent.startsWith('{says}')")


@pytest.mark.parametrize("column", ["density", "max", "skew"])
def test_a_click_on_a_head_sorts_and_another_turns_it_round(
    served: str, watched: Watched, provider: MadeUp, column: str
):
    page = watched.open(served, ROW)
    head = page.locator(f".titles .at-{column}")
    head.locator("button").click()
    assert shown(page) == expected(provider, column)
    assert head.get_attribute("aria-sort") == "descending"
    assert page.url.endswith(f"#/features?sort={column}")
    head.locator("button").click()
    assert shown(page) == expected(provider, column, descending=False)
    assert head.get_attribute("aria-sort") == "ascending"
    page.reload()
    page.wait_for_selector(ROW)
    assert shown(page) == expected(provider, column, descending=False)


def test_a_row_opens_its_feature_which_steps_through_the_list_and_back_returns(served: str, watched: Watched):
    page = watched.open(f"{served}#/features?sort=density&head=3", ROW)
    listed = shown(page)
    click_on(page, f"{ROW}:nth-child(3) .at-max")
    until(page, f"document.title === 'Feature {listed[2]}'")
    assert "3 of " in page.inner_text(".stepper")
    page.keyboard.press("j")
    until(page, f"document.title === 'Feature {listed[3]}'")
    page.locator(".stepper a:not(.act)").click()
    page.wait_for_selector(ROW)
    assert shown(page) == listed
    page.go_back()
    page.go_back()
    until(page, f"document.title === 'Feature {listed[2]}'")


def test_back_returns_to_where_one_had_scrolled(served: str, watched: Watched):
    page = watched.open(served, ROW)
    page.locator(".scroller").evaluate("e => { e.scrollTop = 6000 }")
    until(page, "history.state?.scrolled === 6000")
    page.locator(f"{ROW} a", has_text="205").click()
    page.wait_for_selector(".example")
    page.go_back()
    page.wait_for_selector(f"{ROW} [data-row='205']")
    assert page.locator(".scroller").evaluate("e => e.scrollTop") == 6000


def test_filters_narrow_the_table_and_are_in_the_address(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(served, ROW)
    columns = provider.columns()
    page.get_by_label("Lowest density in percent").fill("0.1")
    page.keyboard.press("Enter")
    dense = [i for i in range(512) if columns["density"][i] >= 0.001]
    status(page, f"{len(dense)} of 512")
    page.locator("select").select_option("3")
    assert columns["head"] is not None
    both = [i for i in dense if columns["head"][i] == 3]
    status(page, f"{len(both)} of 512")
    assert page.url.endswith("?from=0.001&head=3")
    assert shown(page) == both[:12]
    page.get_by_role("button", name="Clear").click()
    status(page, "all 512 features")
    assert page.url.endswith("#/features")


def test_the_histogram_of_densities_chooses_a_range(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(served, ROW)
    box = page.locator(".brush").bounding_box()
    assert box is not None
    middle = box["y"] + 30
    page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=5)
    page.mouse.up()
    low, high = (
        float(page.get_by_label(f"{end} density in percent").input_value()) / 100 for end in ("Lowest", "Highest")
    )
    density = provider.columns()["density"]
    inside = [i for i in range(512) if low <= density[i] <= high]
    assert 0 < len(inside) < 512
    status(page, f"{len(inside)} of 512")
    assert page.locator(".bin.out").count() > 0


def test_the_search_of_a_server_is_the_providers(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{served}#/feature/12", ".example")
    page.keyboard.press("/")
    page.keyboard.type("queen")
    page.keyboard.press("Enter")
    page.wait_for_selector(ROW)
    found = provider.search("queen")
    status(page, f"{len(found)} of 512 features with “queen”")
    assert shown(page) == found[:12]
    page.locator("#search").fill("river")  # and as one types
    status(page, f"{len(provider.search('river'))} of 512 features with “river”")
    page.locator("#search").fill("300")
    page.keyboard.press("Enter")
    until(page, "document.title === 'Feature 300'")


def test_the_search_of_a_file_finds_columns_and_examples(tmp_path: Path, watched: Watched):
    provider = MadeUp(64)
    feature = provider.feature(5)
    feature["groups"][0]["examples"][0]["tokens"][0] = "Xylophone"
    provider.feature = lambda i: feature if i == 5 else MadeUp(64).feature(i)
    address = write_page(tmp_path / "p.html", provider, [5, 6]).as_uri()
    page = watched.open(f"{address}#/features?text=xylo", ROW)
    assert shown(page) == [5]
    page = watched.open(f"{address}#/features?text=queen&all=yes", ".status")
    token, logit = provider.columns()["token"], provider.columns()["logit"] or []
    assert set(shown(page)) >= {i for i in range(64) if "queen" in token[i] + logit[i]}


def test_a_file_lists_at_first_the_features_that_it_has(offline: str, watched: Watched):
    page = watched.open(offline, ROW)
    assert shown(page) == [3, 12, 200]
    page.get_by_label("only those with examples").uncheck()
    status(page, "all 512 features")
    assert page.locator("nav a").all_inner_texts() == ["Features"]


def test_arrows_go_from_row_to_row(served: str, watched: Watched):
    page = watched.open(served, ROW)
    page.locator(f"{ROW} a").first.focus()
    for _ in range(45):
        page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "45"
    box = page.locator(":focus").bounding_box()
    assert box is not None
    assert 0 < box["y"] < 900
    page.keyboard.press("Enter")
    until(page, "document.title === 'Feature 45'")


def test_what_an_address_cannot_mean_is_left_out(served: str, watched: Watched):
    page = watched.open(f"{served}#/features?sort=constructor&from=x&to=9&head=-1&order=up", ROW)
    status(page, "all 512 features")
    assert shown(page) == list(range(12))


def test_thirty_two_thousand_features_are_a_few_rows(tmp_path: Path, watched: Watched):
    provider = MadeUp(32_768)
    address = write_page(tmp_path / "p.html", provider, range(20)).as_uri()
    page = watched.open(f"{address}#/features?all=yes", ROW)
    assert page.locator(".table").get_attribute("aria-rowcount") == "32769"
    numbers = set()
    for top in (0, 5_000, 333_333, 10**9):
        page.locator(".scroller").evaluate("(e, top) => { e.scrollTop = top }", top)
        page.wait_for_timeout(150)
        numbers |= set(shown(page))
        assert page.locator(ROW).count() < 80
        edges = page.evaluate(
            "(() => { const box = document.querySelector('.scroller').getBoundingClientRect();"
            "const filled = (y) => document.elementFromPoint(300, y).closest('.rows .row') !== null;"
            "return [box.top + 45, box.bottom - 10].map(filled) })()"
        )
        assert edges == [True, True]
    assert 32_767 in [int(text) for text in page.locator(f"{ROW} a").all_inner_texts()]
    page.locator(".titles .at-density button").click()
    assert shown(page) == expected(provider, "density")
    assert page.locator("main *").count() < 2_000
