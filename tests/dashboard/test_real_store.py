"""The page of a real store: a feature, a prompt and a comparison in a browser."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monosema.dashboard import write_page
from monosema.dashboard.provider import StoreProvider
from tests.dashboard.conftest import Watched, serving, until
from tests.features.stores import autoencoder, built, random_model

pytestmark = pytest.mark.slow
TEXT = "def f_3(x): 🙂 return x"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> StoreProvider:
    model, folder = random_model(), tmp_path_factory.mktemp("stores")
    one, other = autoencoder().eval(), autoencoder(30, dead=0, seed=3).eval()
    beside = StoreProvider(built(other, model, folder / "other"), other, model)
    return StoreProvider(built(one, model, folder / "one"), one, model, {"other": beside})


@pytest.fixture(scope="module")
def address(real: StoreProvider) -> Iterator[str]:
    with serving(real) as found:
        yield found


def densest(real: StoreProvider) -> int:
    return int(np.argmax(real.store.column("density")))


def test_a_feature_is_shown_and_then_its_effects(address: str, watched: Watched, real: StoreProvider):
    i = densest(real)
    page = watched.open(f"{address}#/feature/{i}", ".example")
    feature = real.feature(i)
    assert page.locator(".example").count() == sum(len(group["examples"]) for group in feature["groups"])
    assert f"{feature['activations']:,}" in page.inner_text("main")
    example = feature["groups"][0]["examples"][0]
    shown = page.locator(".example .run").first.inner_text()
    assert shown.replace("␣", " ") == "".join(example["tokens"]).replace("\n", "⏎")
    until(page, "performance.getEntriesByType('resource').some((one) => one.name.includes('/api/effects/'))")


def test_a_prompt_shows_what_fires(address: str, watched: Watched, real: StoreProvider):
    page = watched.open(f"{address}#/prompt", "textarea")
    page.locator("textarea").fill(TEXT)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".read .token")
    found = real.prompt(TEXT)
    at = next(i for i, active in enumerate(found["active"]) if active)
    assert page.locator(".run .token").count() == len(found["tokens"])
    page.locator(".run .token").nth(at).click()
    shown = [int(text) for text in page.locator(".bars .index").all_inner_texts()]
    assert shown == [feature for feature, _ in found["active"][at]]


def test_dictionaries_are_compared(address: str, watched: Watched, real: StoreProvider):
    page = watched.open(f"{address}#/compare", "main a")
    page.get_by_role("link", name="other").click()
    page.wait_for_selector(".rows .row")
    pair = real.compare("other")["pairs"][0]
    first = page.locator(".rows .row").first
    assert first.locator(".at-feature").inner_text() == str(pair["feature"])
    assert first.locator(".at-other").inner_text() == str(pair["other"])


def test_a_file_shows_the_same_feature(real: StoreProvider, watched: Watched, tmp_path: Path):
    i = densest(real)
    path = write_page(tmp_path / "page.html", real, [i])
    page = watched.open(f"{path.as_uri()}#/feature/{i}", ".example")
    assert page.locator(".example").count() == sum(len(group["examples"]) for group in real.feature(i)["groups"])
