"""The page as one HTML file: style sheets, scripts and data are in it, and it asks for nothing else."""

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from monosema.dashboard.bundle import ASSETS, MAIN, script, styles
from monosema.dashboard.contract import Overview, Provider
from monosema.dashboard.embed import embedded_json
from monosema.errors import InputError
from monosema.files import write_text
from monosema.progress import progress


def write_page(path: str | Path, provider: Provider, features: Sequence[int]) -> Path:
    """Writes a page that opens anywhere, without a server: all features in its table, some of them in full.

    Args:
        path: of the file.
        provider: what the page shows.
        features: those to show in full, in the order in which one steps through them.

    Raises:
        InputError: there is no such feature, or one is named twice, or none.
    """
    overview = provider.overview()
    _check(features, overview["width"])
    alone: Overview = {**overview, "live": False, "others": [], "effects": False, "steers": False}
    details = []
    with progress("measuring features", len(features), "features") as bar:
        for feature in features:
            more = {"groups": provider.effects(feature)} if overview["effects"] else {}
            details.append({**provider.feature(feature), **more})
            bar.advance()
    data = {"overview": alone, "features": details}
    write_text(Path(path), html_page(overview["title"], data))
    return Path(path)


def _check(features: Sequence[int], width: int) -> None:
    if not features:
        raise InputError("no features", expected="at least one to show")
    for feature in features:
        if not 0 <= feature < width:
            raise InputError(f"feature {feature}", expected=f"0 to {width - 1}, as the dictionary has")
    if len(set(features)) < len(features):
        twice = next(feature for feature in features if list(features).count(feature) > 1)
        raise InputError(f"feature {twice} twice", expected="each feature once")


def served_page() -> str:
    """The page that asks a server for its data."""
    return html_page("monosema", {"served": True})


def html_page(title: str, data: Any, main: str = MAIN) -> str:
    """The page with its data, and the script that begins with a module."""
    style, code = _assets(main)
    return Template((ASSETS / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(title.encode(errors="replace").decode()),
        policy=content_policy(served="served" in data, main=main),
        style=style,
        script=code,
        data=embedded_json(data),
    )


def content_policy(*, served: bool, main: str = MAIN) -> str:
    """What a browser may run, show and ask for: the page's own script and styles; of a server, its data.

    No text can become markup by any way of the page's own scripts: `trusted-types` refuses it.
    """
    style, code = _assets(main)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {_hash(code)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            f"connect-src {_SELF if served else _NONE}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


_SELF, _NONE = "'self'", "'none'"


@cache
def _assets(main: str) -> tuple[str, str]:
    """The text inside the page's style element and inside its script element."""
    return styles(), script(main=main)


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
