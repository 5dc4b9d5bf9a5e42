"""What the page looks like: hostile text, dark and narrow, and what it is without colours and motion."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from monosema.dashboard import write_page
from tests.dashboard.conftest import Watched, serving
from tests.dashboard.hostile import IMAGE, SCRIPT, WORDS, Hostile
from tests.dashboard.made_up import MadeUp

pytestmark = pytest.mark.slow
VIEWS = ("#/features", "#/feature/12", "#/feature/12?shade=sources", "#/feature/7", "#/feature/99999")
SERVED = (
    "#/prompt?text=The%20king%20and%20the%20queen&token=1",
    "#/compare",
    "#/compare/l1-8k",
    "#/compare/l1-8k/12/87",
    "#/steer?steer=12:add:40&steer=3:ablate:0&prompt=The%20king&sweep=-20,20,40",
)


@pytest.mark.parametrize("view", ["#/features", "#/feature/12", "#/feature/13?shade=total"])
def test_hostile_text_is_text(tmp_path: Path, watched: Watched, view: str):
    address = write_page(tmp_path / "p.html", Hostile(), range(40)).as_uri()
    page = watched.open(address + view, ".rows .row" if view == "#/features" else ".example")
    page.wait_for_timeout(200)
    assert page.evaluate("window.hit") is None
    assert page.locator("body img, main script, main iframe").count() == 0
    assert (SCRIPT if view == "#/features" else "<img src=x") in page.inner_text("main")
    assert IMAGE in page.inner_text("header.bar")


def test_no_character_reverses_or_hides_what_is_around_it(tmp_path: Path, watched: Watched):
    address = write_page(tmp_path / "p.html", Hostile(), range(40)).as_uri()
    page = watched.open(f"{address}#/feature/12", ".example")
    text = page.inner_text("main")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u2028\0\x1b\x07\ufffd]", text)
    for word in ("·gnp.exe·", "⏎⏎", "⇥", "··[31m·", "👩‍👩‍👧‍👦", "שלום"):
        assert word in page.evaluate("document.querySelector('main').textContent")
    isolated = page.locator(".token").first.evaluate("e => getComputedStyle(e).unicodeBidi")
    assert isolated == "isolate"


def test_hostile_prompts_and_names_are_text(watched: Watched):
    with serving(Hostile()) as address:
        page = watched.open(f"{address}#/prompt", "textarea")
        page.locator("textarea").fill(f"{SCRIPT} {IMAGE}")
        page.get_by_role("button", name="Read").click()
        page.wait_for_selector(".read .token")
        assert SCRIPT.split(" ")[0] in page.inner_text(".run")
        assert page.evaluate("window.hit") is None


def test_the_policy_would_stop_markup(offline: str, new_page: Callable[..., Watched]):
    watched = new_page()
    page = watched.open(offline)
    made = "document.body.innerHTML = '<img src=x onerror=\"window.hit = 1\">'"
    assert "TrustedHTML" in page.evaluate(f"(() => {{ try {{ {made} }} catch (error) {{ return error.message }} }})()")
    watched.complaints.clear()


@pytest.mark.parametrize("provider", [MadeUp(), Hostile(128)], ids=["made up", "hostile"])
def test_nothing_is_wider_than_a_narrow_screen(provider: MadeUp, new_page: Callable[..., Watched]):
    watched = new_page(viewport={"width": 360, "height": 740})
    with serving(provider) as address:
        for view in VIEWS + SERVED:
            page = watched.open(address + view)
            page.wait_for_timeout(150)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, view


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_has_the_systems_colours_until_the_reader_chooses(
    offline: str, new_page: Callable[..., Watched], scheme: str
):
    watched = new_page(color_scheme=scheme)
    page = watched.open(f"{offline}#/feature/12", ".example")

    def paper() -> int:
        return int(re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[0])

    assert (paper() > 128) == (scheme == "light")
    page.get_by_label("Colours: as the system has them").click()
    assert paper() < 128
    page.get_by_label("Colours: dark").click()
    assert paper() > 128
    page.reload()
    page.wait_for_selector(".example")
    assert paper() > 128


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["#/feature/12", "#/feature/12?shade=total", "#/features"])
def test_text_stands_out_from_what_is_behind_it(offline: str, new_page: Callable[..., Watched], scheme: str, view: str):
    page = new_page(color_scheme=scheme).open(offline + view)
    page.wait_for_timeout(200)
    contrasts = page.evaluate((Path(__file__).parent / "contrast.js").read_text(encoding="utf-8"))
    assert len(contrasts) > 25
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_steering_stands_out_too(served: str, new_page: Callable[..., Watched], scheme: str):
    page = new_page(color_scheme=scheme).open(served + SERVED[-1], ".dose svg")
    page.locator(".dose summary").click()
    contrasts = page.evaluate((Path(__file__).parent / "contrast.js").read_text(encoding="utf-8"))
    assert len(contrasts) > 25
    assert [(text, ratio) for text, ratio in contrasts if ratio < 4.5] == []


def test_the_pages_parts_have_names_and_roles(offline: str, watched: Watched):
    page = watched.open(f"{offline}#/feature/12", ".example")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator(".run").first.get_attribute("lang") == ""
    nameless = "all => all.filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length"
    assert page.locator("button, a, input, select").evaluate_all(nameless) == 0
    assert page.locator(".run").evaluate_all(
        "all => all.every((e) => e.querySelectorAll('[tabindex=\"0\"]').length === 1)"
    )


def test_motion_is_reduced_where_that_is_wished(offline: str, new_page: Callable[..., Watched]):
    page = new_page(reduced_motion="reduce").open(f"{offline}#/feature/12", ".example")
    assert page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


def test_every_hostile_word_is_among_the_tokens():
    assert {word for i in range(40) for word in Hostile().liked(i)} == set(WORDS)
