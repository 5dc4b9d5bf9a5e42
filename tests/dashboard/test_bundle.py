import re
from pathlib import Path

import pytest

from monosema.dashboard import circuit_page
from monosema.dashboard.bundle import ASSETS, script, styles

LONGEST = 150  # lines of a module


def write(folder: Path, **modules: str) -> None:
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")


def test_modules_come_after_what_they_import_and_each_once(tmp_path: Path):
    write(
        tmp_path,
        main='import { a } from "./left.js";\nimport { b, c } from "./right.js";\na(b, c);\n',
        left='import { b } from "./right.js";\nexport function a() {}\n',
        right="export const b = 1;\nexport class c {}\n",
    )
    text = script(tmp_path)
    places = [text.index(f"const of_{name} =") for name in ("right", "left", "main")]
    assert places == sorted(places)
    assert text.count("const of_right =") == 1
    assert "const {b, c} = of_right;" in text
    assert "return {b, c};" in text
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)


def test_a_circle_of_imports_is_refused(tmp_path: Path):
    write(tmp_path, main='import { a } from "./other.js";\n', other='import { b } from "./main.js";\n')
    with pytest.raises(ValueError, match=r"main\.js imports itself, by main\.js and other\.js"):
        script(tmp_path)


@pytest.mark.parametrize(
    "line",
    ['import * as a from "./a.js";', "export default 1;", "export { a };", 'import "./a.js";', "export let a = 1;"],
)
def test_other_forms_of_modules_are_refused(tmp_path: Path, line: str):
    write(tmp_path, main=f"{line}\n", a="")
    with pytest.raises(ValueError, match=r"main\.js has a line that cannot be linked"):
        script(tmp_path)


def test_every_module_is_used_and_short():
    text = script() + script(main=circuit_page.MAIN)
    for path in ASSETS.glob("*.js"):
        assert f"const of_{path.stem} =" in text
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_nothing_could_end_the_elements_or_come_from_elsewhere():
    code, style = script() + script(main=circuit_page.MAIN), styles()
    assert not re.search(r"</script|<!--|https?://(?!www\.w3\.org/2000/svg)|@import|url\(", code + style, re.IGNORECASE)
    assert "</style" not in style
    assert not re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval)\b", code)
