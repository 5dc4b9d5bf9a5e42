"""Every tutorial runs from beginning to end in an empty folder, and its page shows the code that ran."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*.py"))


def cells(source: str) -> list[tuple[bool, str]]:
    """Whether it is prose, and its text, of each cell of a py:percent file."""
    parts = re.split(r"^# %%(.*)\n", source, flags=re.MULTILINE)[1:]
    return [(kind.strip() == "[markdown]", text.strip()) for kind, text in zip(parts[::2], parts[1::2], strict=True)]


def prose(text: str) -> str:
    """A cell of prose without the signs that make it a comment."""
    return "\n".join(line.removeprefix("#").removeprefix(" ").rstrip() for line in text.splitlines())


def test_there_are_tutorials():
    assert len(TUTORIALS) == 9


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_from_beginning_to_end(path: Path, tmp_path: Path):
    environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run([sys.executable, path], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_its_page_shows_this_code_and_this_prose_in_this_order(path: Path):
    page, at = path.with_suffix(".md").read_text(), 0
    for is_prose, text in cells(path.read_text()):
        lines = [line.rstrip() for line in (prose(text) if is_prose else text).splitlines()]
        if at == 0:  # the title, behind which the page says where it comes from
            at = page.index(lines[0]) + len(lines[0])
            lines = lines[1:]
        wanted = "\n".join(lines).strip()
        found = page.find(wanted, at)
        assert found >= 0, f"run `python scripts/tutorials.py {path.stem}`: its page lacks\n{wanted}"
        at = found + len(wanted)


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_its_page_has_the_figures_that_it_names(path: Path):
    figures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", path.with_suffix(".md").read_text())
    assert figures
    assert [name for name in figures if not (FOLDER / name).exists()] == []
