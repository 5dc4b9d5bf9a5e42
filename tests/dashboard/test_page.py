import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from monosema.dashboard import write_page
from monosema.dashboard.page import served_page
from monosema.errors import InputError
from tests.dashboard.hostile import SCRIPT, Hostile
from tests.dashboard.made_up import MadeUp


class Elements(HTMLParser):
    """The elements of a page: tag, attributes, text inside."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs), ""))
        self.inside = True

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            tag, attributes, text = self.found[-1]
            self.found[-1] = (tag, attributes, text + data)

    def text_of(self, tag: str, **attributes: str) -> str:
        (text,) = (text for t, own, text in self.found if t == tag and attributes.items() <= own.items())
        return text


def data_of(page: str) -> Any:
    return json.loads(Elements(page).text_of("script", id="data"))


def test_a_page_holds_the_overview_and_the_features_in_their_order(tmp_path: Path):
    provider = MadeUp()
    path = write_page(tmp_path / "deep" / "page.html", provider, [5, 3])
    data = data_of(path.read_text(encoding="utf-8"))
    assert [feature["feature"] for feature in data["features"]] == [5, 3]
    assert data["overview"]["columns"]["feature"] == list(range(512))
    assert (
        data["features"][1]["groups"][0]["examples"][0]["tokens"]
        == MadeUp().feature(3)["groups"][0]["examples"][0]["tokens"]
    )
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_file_claims_nothing_that_needs_a_server(tmp_path: Path):
    overview = data_of(write_page(tmp_path / "p.html", MadeUp(), [0]).read_text(encoding="utf-8"))["overview"]
    assert (overview["live"], overview["others"]) == (False, [])


def test_hostile_text_ends_no_element(tmp_path: Path):
    page = write_page(tmp_path / "p.html", Hostile(), range(10)).read_text(encoding="utf-8")
    found = Elements(page)
    assert [tag for tag, _, _ in found.found].count("script") == 2
    assert "img" not in [tag for tag, _, _ in found.found]
    assert found.text_of("title").startswith(SCRIPT)
    assert data_of(page)["overview"]["model"] == SCRIPT


@pytest.mark.parametrize("served", [False, True])
def test_the_policy_allows_the_pages_own_script_and_style_alone(tmp_path: Path, served: bool):
    page = served_page() if served else write_page(tmp_path / "p.html", MadeUp(), [0]).read_text(encoding="utf-8")
    found = Elements(page)
    (policy,) = (own["content"] for tag, own, _ in found.found if own.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    for rule, text in (("script-src", found.text_of("script", type="module")), ("style-src", found.text_of("style"))):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == ("'self'" if served else "'none'")


@pytest.mark.parametrize(
    ("features", "message"),
    [([], "no features"), ([512], "feature 512; expected 0 to 511"), ([-1], "feature -1"), ([4, 4], "feature 4 twice")],
)
def test_features_that_cannot_be_shown_are_refused_and_nothing_is_written(
    tmp_path: Path, features: list[int], message: str
):
    with pytest.raises(InputError, match=message):
        write_page(tmp_path / "p.html", MadeUp(), features)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_hundred_features_of_a_large_dictionary_take_less_than_fifteen_megabytes(tmp_path: Path):
    path = write_page(tmp_path / "p.html", MadeUp(32_768), range(100))
    assert 1e6 < path.stat().st_size < 15e6
