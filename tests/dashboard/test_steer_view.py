"""Steering from the served page: what is asked for, what is shown, and what an address brings back."""

from urllib.parse import quote

import pytest

from monosema.analysis.steering import Steer
from tests.dashboard.conftest import Watched, serving, until
from tests.dashboard.hostile import IMAGE, SCRIPT, Hostile
from tests.dashboard.made_up import MadeUp

pytestmark = pytest.mark.slow
TEXT = "The king of New York"
STEERED = f"#/steer?steer=12:add:4.5&steer=40:ablate:0&prompt={quote(TEXT)}&tokens=8"


def asked(provider: MadeUp, what: str) -> list:
    return [one for one in provider.asked if isinstance(one, tuple) and one[0] == what]


def test_a_feature_leads_to_steering_by_it_as_strongly_as_it_gets(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{served}#/feature/12", ".example")
    page.keyboard.press("s")
    page.wait_for_selector(".steer textarea")
    assert page.get_by_label("Feature", exact=True).input_value() == "12"
    assert float(page.get_by_label("strength", exact=True).input_value()) == pytest.approx(provider.max(12), rel=0.05)
    page.locator("textarea").fill(TEXT)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".texts .run")
    ((_, request),) = asked(provider, "steer")
    assert request.prompt == TEXT
    assert [(one.feature, one.mode) for one in request.steers] == [(12, "add")]
    page.go_back()
    page.wait_for_selector(".example")


def test_what_is_chosen_is_asked_for_and_in_the_address(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{served}#/steer", ".steer textarea")
    page.locator("textarea").fill(TEXT)
    page.get_by_label("Feature", exact=True).fill("7")
    page.get_by_label("What is done to it").select_option("scale")
    page.get_by_label("factor").fill("-1.5")
    page.get_by_role("button", name="Add a feature").click()
    page.get_by_label("Feature", exact=True).nth(1).fill("30")
    page.get_by_label("What is done to it").nth(1).select_option("ablate")
    assert page.get_by_label("strength", exact=True).count() == 0
    for name, number in (("tokens", "12"), ("temperature", "0.5"), ("seed", "3")):
        page.get_by_label(name, exact=True).fill(number)
    page.get_by_role("button", name="Write").click()
    page.wait_for_selector(".texts .run")
    ((_, request),) = asked(provider, "steer")
    assert request.steers == (Steer(7, -1.5, "scale"), Steer(30, 0.0, "ablate"))
    assert (request.tokens, request.temperature, request.seed) == (12, 0.5, 3)
    page.reload()
    page.wait_for_selector(".texts .run")
    assert asked(provider, "steer")[1][1] == request
    page.get_by_role("button", name="Remove").first.click()
    assert page.get_by_role("button", name="Remove").is_disabled()


def test_both_texts_are_shown_and_shaded_by_the_feature(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{served}{STEERED}", ".texts .run")
    plain, steered = (page.locator(".texts .run").nth(i) for i in range(2))
    assert plain.locator(".token").count() == steered.locator(".token").count() == 5 + 8
    assert plain.locator(".given").count() == 5
    assert steered.inner_text().startswith(TEXT)
    assert plain.inner_text() != steered.inner_text()
    shaded = steered.locator(".token").evaluate_all("all => all.map((e) => e.classList.contains('heat'))")
    found = provider.steer(asked(provider, "steer")[0][1])
    assert shaded == [value > 0 for value in found["steered"]["values"][0]]
    page.get_by_label("Shade by").select_option("1")
    page.wait_for_selector(".texts .run")
    steered.locator(".token").nth(6).focus()
    page.keyboard.press("ArrowRight")
    assert "feature 40:" in page.inner_text("#tip")


def test_doses_are_measured_and_drawn(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{served}#/steer?steer=12:add:10", ".steer textarea")
    page.get_by_role("button", name="Measure").click()
    page.wait_for_selector(".dose svg")
    ((_, feature, strengths),) = asked(provider, "dose")
    assert feature == 12
    assert min(strengths) < 0 < max(strengths)
    assert page.locator(".dose svg").count() == 2
    assert page.locator(".dose svg").first.locator("circle").count() == 2 * len(strengths)
    page.get_by_label("Strengths").fill("-20, 20 40")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.dose circle.own').length === 6")
    assert asked(provider, "dose")[1][2] == [-20, 20, 40]
    assert "sweep=-20%2C20%2C40" in page.url
    page.locator(".dose circle.own").first.hover()
    assert page.inner_text("#tip") == "The feature at −20: −2.80"
    page.locator(".dose summary").click()
    row = page.locator(".dose tbody tr").nth(2)
    assert row.locator("th, td").all_inner_texts() == ["40", "+5.60", "+0.64", "+0.80", "+0.48"]
    page.reload()
    page.wait_for_selector(".dose svg")
    assert len(asked(provider, "dose")) == 3


def test_what_cannot_be_written_says_why(served: str, watched: Watched):
    page = watched.open(f"{served}#/steer?steer=12:add:4&prompt=unreadable", "[role=alert]")
    assert page.inner_text("[role=alert]") == "a prompt of 9,999 tokens; expected 1 to 2,047"
    page = watched.open(f"{served}#/steer?steer=12:add:4&prompt=a&tokens=100&temperature=-1&seed=-3", ".texts .run")
    watched.complaints.clear()  # the browser's own word on the status 400


@pytest.mark.parametrize("steer", ["512:add:3", "x:add:3", "3:push:3", "3:add:", "3:add:1e999", "3:constructor:1", "3"])
def test_what_an_address_cannot_mean_is_left_out(served: str, watched: Watched, provider: MadeUp, steer: str):
    page = watched.open(f"{served}#/steer?steer={steer}&prompt=a", ".steer textarea")
    assert page.get_by_label("Feature", exact=True).input_value() == ""
    assert asked(provider, "steer") == []


def test_a_file_says_that_it_cannot_steer(offline: str, watched: Watched):
    page = watched.open(f"{offline}#/steer?steer=12:add:3&prompt=a", "[role=alert]")
    assert "Steering needs a model that writes" in page.inner_text("[role=alert]")
    page = watched.open(f"{offline}#/feature/12", ".example")
    assert page.get_by_role("link", name="Steer").count() == 0
    page.keyboard.press("s")
    assert page.title() == "Feature 12"


def test_hostile_texts_are_text(watched: Watched):
    with serving(Hostile()) as address:
        prompt = quote(f"{SCRIPT} {IMAGE}")
        page = watched.open(f"{address}#/steer?steer=12:add:3&prompt={prompt}&sweep=1,2&tokens=60", ".dose svg")
        assert SCRIPT.split(" ")[0] in page.inner_text(".texts .run >> nth=0")
        assert page.evaluate("window.hit") is None
        assert page.locator("main img, main script").count() == 0
