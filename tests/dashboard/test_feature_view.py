"""A feature's view, in a file and served."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from monosema.dashboard import write_page
from monosema.dashboard.contract import Feature
from tests.dashboard.conftest import Watched, serving, until
from tests.dashboard.made_up import MadeUp

pytestmark = pytest.mark.slow
READY = ".view"


def title(page) -> str:
    return page.evaluate("document.title")


def test_a_file_shows_all_that_is_known_of_a_feature(offline: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{offline}#/feature/12", ".example")
    feature = provider.feature(12)
    shown = page.inner_text("main")
    for heading in (
        "Activations",
        "Logits",
        "Reads",
        "Heads",
        "Similar directions",
        "Fire together",
        "Fire apart",
        "Neurons",
    ):
        assert heading in shown
    assert f"{feature['activations']:,}" in shown
    assert page.locator(".example").count() == 25
    assert page.locator(".group").count() == len(feature["groups"])
    assert page.locator(".chart g > rect:first-child").count() == len(feature["histogram"]["counts"])
    assert page.locator(".chart .bracket").count() == 4
    assert [url for url in watched.requests if not url.startswith(("about:", "file:"))] == []


def test_an_examples_text_is_its_tokens(offline: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{offline}#/feature/12", ".example")
    example = provider.feature(12)["groups"][0]["examples"][0]
    assert page.locator(".example .run").first.inner_text() == "".join(example["tokens"]).replace("\n", "⏎")
    strongest = page.locator(".example .strongest").first
    assert strongest.inner_text().strip() == example["tokens"][example["strongest"]].strip()
    assert "underline" in strongest.locator(".word").evaluate("e => getComputedStyle(e).textDecorationLine")


def test_a_deeper_shade_is_a_stronger_activation(offline: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{offline}#/feature/12", ".example")
    example = provider.feature(12)["groups"][0]["examples"][0]
    tokens = page.locator(".example").first.locator(".token")
    shades = tokens.evaluate_all("all => all.map((one) => Number(one.style.getPropertyValue('--shade')))")
    assert shades == pytest.approx([value / provider.max(12) for value in example["values"]], abs=2e-3)


def test_a_tooltip_tells_all_of_a_token_under_the_pointer_or_with_the_focus(offline: str, watched: Watched):
    page = watched.open(f"{offline}#/feature/12", ".example")
    tip, strongest = page.locator("#tip"), page.locator(".example .strongest").first
    assert tip.is_hidden()
    strongest.hover()
    by_pointer = tip.inner_text()
    for fact in (
        "Activation",
        "of max",
        "Position",
        "31",
        "Next token",
        "Probability",
        "→",
        "Total Δ log p",
        "Direct Δ log p",
    ):
        assert fact in by_pointer
    assert strongest.get_attribute("aria-describedby") == "tip"
    page.mouse.move(5, 5)
    assert tip.is_hidden()
    page.locator(".switches input").last.focus()
    while not page.evaluate("document.activeElement.matches('.token')"):
        page.keyboard.press("Tab")
    assert tip.inner_text() == by_pointer
    page.keyboard.press("ArrowRight")
    assert tip.inner_text() != by_pointer
    assert title(page) == "Feature 12"
    page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_the_switch_shows_effects_with_signs_and_sources_and_is_in_the_address(offline: str, watched: Watched):
    page = watched.open(f"{offline}#/feature/12", ".example")
    assert page.locator(".token.minus").count() == 0
    page.get_by_label("total effect").check()
    assert page.url.endswith("?shade=total")
    assert page.locator(".token.plus").count() > 0
    signs = page.locator(".token.minus.clear .word").evaluate_all(
        "all => all.map((e) => getComputedStyle(e, '::after').content)"
    )
    assert set(signs) == {'"−"'}
    assert page.locator(".token.strongest").count() == 25
    page.get_by_label("source positions").check()
    assert page.locator(".elsewhere").first.inner_text() == "… +0.31"
    page.keyboard.press("j")  # a radio button takes letters, too
    page.reload()
    page.wait_for_selector(".example")
    assert page.get_by_label("source positions").is_checked()


def test_a_mode_without_values_is_not_offered(tmp_path: Path, watched: Watched):
    class Without(MadeUp):
        def feature(self, i: int) -> Feature:
            found = super().feature(i)
            for group in found["groups"]:
                for example in group["examples"]:
                    example["after"] = example["total"] = example["direct"] = example["sources"] = None
                    example["source_rest"] = None
            return {**found, "logits": None, "reads": None, "heads": None, "similar": []}

    page = watched.open(
        write_page(tmp_path / "p.html", Without(), [12]).as_uri() + "#/feature/12?shade=total", ".example"
    )
    assert page.locator("input[type=radio]").count() == 0
    assert page.locator(".token.heat").count() > 25
    assert not {"Logits", "Reads", "Heads", "Similar directions"} & set(page.locator(".panel h2").all_inner_texts())


def test_choices_of_context_and_line_breaks_last(offline: str, watched: Watched):
    page = watched.open(f"{offline}#/feature/12", ".example")
    assert page.locator(".example").first.locator(".token").count() == 31
    page.get_by_label("near only").check()
    assert page.locator(".example").first.locator(".token").count() == 19
    page.get_by_label("line breaks").check()
    assert page.locator(".break").first.evaluate("e => getComputedStyle(e).display") == "block"
    page.reload()
    page.wait_for_selector(".example")
    assert page.get_by_label("near only").is_checked()


def test_keys_and_buttons_step_through_the_files_features_in_order(offline: str, watched: Watched):
    page = watched.open(f"{offline}#/feature/12?shade=direct", ".example")
    seen = []
    for step in ("ArrowRight", "j", "j", "k", "ArrowLeft"):
        page.keyboard.press(step)
        page.wait_for_timeout(100)
        seen.append(title(page))
    assert seen == ["Feature 3", "Feature 200", "Feature 200", "Feature 3", "Feature 12"]
    assert "shade=direct" in page.url
    page.get_by_label("Next feature").click()
    until(page, "document.title === 'Feature 3'")
    assert "2 of 3" in page.inner_text(".stepper")
    page.go_back()
    until(page, "document.title === 'Feature 12'")


def test_g_goes_to_a_number_and_question_mark_lists_the_keys(offline: str, watched: Watched):
    page = watched.open(f"{offline}#/feature/12", READY)
    page.keyboard.press("?")
    assert "go to a feature" in page.inner_text("dialog")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert page.locator("dialog").count() == 0
    page.keyboard.press("g")
    page.keyboard.type("200")
    page.keyboard.press("Enter")
    until(page, "document.title === 'Feature 200'")


def test_what_was_said_of_a_feature_stands_below_its_figures(offline: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{offline}#/feature/12", READY)
    (said,) = provider.feature(12)["descriptions"]
    assert page.locator(".feature > .note").all_inner_texts() == [f"{said['text']} (rules, detection 0.75)"]


def test_a_feature_that_the_file_lacks_shows_its_row(offline: str, watched: Watched, provider: MadeUp):
    page = watched.open(f"{offline}#/feature/13", ".message")
    assert "examples of 3 of 512 features" in page.inner_text(".message")
    assert f"{round(provider.density(13) * provider.tokens):,}" in page.inner_text(".figures")


def test_related_features_are_links(served: str, watched: Watched):
    page = watched.open(f"{served}#/feature/12", ".example")
    link = page.locator(".panel", has_text="Similar directions").locator("a").first
    number = re.findall(r"\d+", link.inner_text())[0]
    link.click()
    until(page, f"document.title === 'Feature {number}'")


def test_a_click_on_an_interval_shows_its_examples(served: str, watched: Watched):
    page = watched.open(f"{served}#/feature/12", ".example")
    page.locator(".chart .link").first.click()  # the lowest interval, whose examples come last
    until(page, "document.querySelectorAll('.group')[4].getBoundingClientRect().top < innerHeight - 100")


def test_a_silent_feature_says_so(served: str, watched: Watched):
    page = watched.open(f"{served}#/feature/7", READY)
    assert "It never fires on the store's 2,097,152 tokens." in page.inner_text("main")


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("#/feature/99999", "There is no feature 99999; there are 0 to 511."),
        ("#/feature/x%zz", "There is no feature x%zz"),
        ("#/feature", "There is no feature"),
        ("#/nowhere", "There is nothing at #/nowhere."),
        ("#/constructor", "There is nothing at #/constructor."),
    ],
)
def test_an_address_of_nothing_says_what_is_wrong(offline: str, watched: Watched, address: str, says: str):
    page = watched.open(f"{offline}{address}", "[role=alert]")
    assert says in page.inner_text("[role=alert]")


def test_a_server_that_is_gone_is_told(new_page: Callable[..., Watched]):
    watched = new_page()
    with serving(MadeUp()) as address:
        page = watched.open(f"{address}#/feature/12", ".example")
    page.evaluate("location.hash = '#/feature/40'")
    page.wait_for_selector("[role=alert]")
    assert "is it still running?" in page.inner_text("[role=alert]")
    watched.complaints.clear()  # the browser's own word on the lost connection


def test_an_activation_below_zero_has_a_sign(tmp_path: Path, watched: Watched):
    class Signed(MadeUp):
        def feature(self, i: int) -> Feature:
            found = super().feature(i)
            example = found["groups"][0]["examples"][0]
            example["values"] = [-value for value in example["values"]]
            return found

    page = watched.open(write_page(tmp_path / "p.html", Signed(), [12]).as_uri() + "#/feature/12", ".example")
    assert page.locator(".token.strongest.minus.clear").count() == 1


def test_what_the_model_is_run_for_comes_after_the_rest(new_page: Callable[..., Watched]):
    provider = MadeUp(later=True)
    with serving(provider) as address:
        page = new_page().open(f"{address}#/feature/12?shade=total", ".example")
        page.get_by_label("total effect").wait_for()
    assert page.get_by_label("total effect").is_checked()
    assert provider.asked.index(("feature", 12)) < provider.asked.index(("effects", 12))


def test_a_file_has_what_the_model_is_run_for(tmp_path: Path, watched: Watched):
    page = watched.open(write_page(tmp_path / "p.html", MadeUp(later=True), [12]).as_uri() + "#/feature/12", ".example")
    assert page.get_by_label("total effect").count() == 1
