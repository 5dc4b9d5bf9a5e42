"""One script from the page's JavaScript modules, so that a page is one file.

A module is a function here, and what it exports is what the function returns. Modules keep to two forms, one a line:
`import {a, b} from "./other.js";` and `export` before `function`, `async function`, `class` or `const`.
"""

import re
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
MAIN = "main.js"
_IMPORT = re.compile(r'^import \{ ?([\w, ]+?) ?\} from "\./([\w-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|class|const) (\w+)", re.MULTILINE)
_LEFT = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def styles(folder: Path = ASSETS) -> str:
    """All style sheets, in the order of their names."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.css")))


def script(folder: Path = ASSETS, main: str = MAIN) -> str:
    """A module and all that it imports, each after what it imports, as one script."""
    linked: dict[str, str] = {}
    _link(folder, main, linked, ())
    return '"use strict";\n' + "".join(linked.values())


def _link(folder: Path, name: str, linked: dict[str, str], importers: tuple[str, ...]) -> None:
    if name in importers:
        raise ValueError(f"{name} imports itself, by {' and '.join(importers)}")
    if name in linked:
        return
    text = (folder / name).read_text(encoding="utf-8")
    for _, imported in _IMPORT.findall(text):
        _link(folder, imported, linked, (*importers, name))
    linked[name] = _as_function(name, text)


def _as_function(name: str, text: str) -> str:
    exports = ", ".join(exported for _, exported in _EXPORT.findall(text))
    body = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};", text)
    body = _EXPORT.sub(r"\1 \2", body)
    if left := _LEFT.search(body):
        raise ValueError(f"{name} has a line that cannot be linked: {left[0]}")
    return f"const {_variable(name)} = (() => {{\n{body}return {{{exports}}};\n}})();\n"


def _variable(name: str) -> str:
    return "of_" + name.removesuffix(".js").replace("-", "_")
