"""A hook of the documentation's build: formulas become MathML, which browsers draw without a script or a download."""

import html
import re
from typing import Any

from latex2mathml.converter import convert  # pyright: ignore[reportMissingImports]
from mkdocs.exceptions import PluginError  # pyright: ignore[reportMissingImports]

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Replaces what `pymdownx.arithmatex` has marked, `$…$` in a line and `$$…$$` on lines of its own."""
    return _FORMULA.sub(lambda found: _mathml(html.unescape(found[3]), block=found[2] == "["), content)


def _mathml(formula: str, *, block: bool) -> str:
    made = convert(formula.strip(), display="block" if block else "inline")
    if "\\" in made:  # a command that the converter does not know stays as it is
        raise PluginError(f"a formula with a command that has no MathML here: {formula}")
    return made
