"""The views that need a server: prompts and comparisons."""

from urllib.parse import quote

import pytest

from tests.dashboard.conftest import Watched, click_on, until
from tests.dashboard.made_up import OTHERS, MadeUp

pytestmark = pytest.mark.slow
TEXT = "The king of New York"


def test_a_prompt_is_read_and_a_token_shows_its_features_by_strength(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{served}#/prompt", "textarea")
    page.locator("textarea").fill(TEXT)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".read .token")
    assert page.inner_text(".run") == TEXT
    page.locator(".run .token").nth(1).click()
    fires = provider.fires(" king")
    assert [int(text) for text in page.locator(".bars .index").all_inner_texts()] == [feature for feature, _ in fires]
    assert page.locator(".token[aria-current]").inner_text().strip() == "king"
    assert ("prompt", TEXT) in provider.asked
    page.locator(".bars a").first.click()
    until(page, f"document.title === 'Feature {fires[0][0]}'")
    page.go_back()
    page.wait_for_selector(".read .token")
    assert page.locator(".token[aria-current]").inner_text().strip() == "king"


def test_pointing_at_a_feature_shades_all_tokens_by_it(served: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{served}#/prompt?text={quote(TEXT)}&token=1", ".read .token")
    tokens = page.locator(".run .token").all_inner_texts()
    common = next(i for i, (feature, _) in enumerate(provider.fires(" king")) if feature in (0, 1, 2))
    page.locator(".bars li").nth(common).hover()
    feature = provider.fires(" king")[common][0]
    fires = [dict(provider.fires(token)).get(feature, 0) > 0 for token in tokens]
    shaded = page.locator(".run .token").evaluate_all("all => all.map((e) => e.classList.contains('heat'))")
    assert shaded == fires


def test_a_prompt_that_cannot_be_read_says_why(served: str, watched: Watched):
    page = watched.open(f"{served}#/prompt?text=unreadable", "[role=alert]")
    assert page.inner_text("[role=alert]") == "a text of 9,999 tokens; expected at most 2,048"
    assert page.locator("textarea").input_value() == "unreadable"
    watched.complaints.clear()  # the browser's own word on the status 400


def test_arrows_go_through_a_prompts_tokens(served: str, watched: Watched):
    page = watched.open(f"{served}#/prompt?text={quote(TEXT)}&token=1", ".read .token")
    page.locator(".token[aria-current]").focus()
    page.keyboard.press("ArrowRight")
    assert "token 2" in page.inner_text(".panel h2")
    assert "token=2" in page.url


@pytest.mark.parametrize("name", OTHERS)
def test_pairs_lead_to_both_features_side_by_side(served: str, watched: Watched, name: str):
    page = watched.open(f"{served}#/compare", "main a")
    page.get_by_role("link", name=name).click()
    page.wait_for_selector(".rows .row")
    first = page.locator(".rows .row").first
    assert [first.locator(f".at-{column}").inner_text() for column in ("feature", "other", "cosine")] == [
        "0",
        "3",
        "0.98",
    ]
    assert first.locator(".at-together").inner_text() == "+0.96"
    page.locator(".titles .at-together button").hover()
    assert page.inner_text("#tip") == "Correlation of firing, on 131,072 tokens"
    page.locator(".titles .at-cosine button").click()
    assert page.locator(".rows .row").first.locator(".at-feature").inner_text() == "511"
    click_on(page, ".rows .row .at-cosine")
    page.wait_for_selector(".half .example")
    assert page.locator(".half").count() == 2
    assert f"511 and {(511 * 7 + 3) % 512}" in page.inner_text("h1")
    assert page.locator(".half .title a").count() == 1
    page.reload()
    page.wait_for_selector(".half .example")
    page.go_back()
    page.wait_for_selector(".rows .row")


def test_switches_of_two_features_side_by_side_are_apart(served: str, watched: Watched):
    page = watched.open(f"{served}#/compare/l1-8k/12/87", ".half .example")
    page.locator(".half").nth(1).get_by_label("total effect").check()
    assert page.locator(".half").nth(0).get_by_label("activation", exact=True).is_checked()
    assert page.locator(".half").nth(0).locator(".token.plus").count() == 0


@pytest.mark.parametrize("address", ["#/compare/none", "#/compare/l1-8k/1/99999", "#/compare/l1-8k/1"])
def test_a_comparison_of_nothing_says_what_is_wrong(served: str, watched: Watched, address: str):
    page = watched.open(f"{served}{address}", "[role=alert]")
    assert page.inner_text("[role=alert]")
    watched.complaints.clear()


@pytest.mark.parametrize(("view", "says"), [("prompt", "Prompts need a model"), ("compare", "no other dictionary")])
def test_a_file_says_what_it_cannot_do(offline: str, watched: Watched, view: str, says: str):
    page = watched.open(f"{offline}#/{view}", "[role=alert]")
    assert says in page.inner_text("[role=alert]")
