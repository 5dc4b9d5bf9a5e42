"""Runs tutorials and writes their pages, with what they print and draw: docs/tutorials/NAME.md and its figures.

    python scripts/tutorials.py                      # all of them
    python scripts/tutorials.py 1_superposition      # some

Needs `pip install -e '.[tutorials]'`. A tutorial runs in an empty folder, as a reader would run it. What it writes to
standard error (progress) is left out of its page.
"""

import argparse
import re
import shutil
import tempfile
from pathlib import Path

import jupytext  # pyright: ignore[reportMissingImports]
from nbclient import NotebookClient  # pyright: ignore[reportMissingImports]
from nbconvert import MarkdownExporter  # pyright: ignore[reportMissingImports]
from nbformat import NotebookNode  # pyright: ignore[reportMissingImports]

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
MINUTES = 10


def executed(path: Path) -> NotebookNode:
    """The tutorial as a notebook with its outputs."""
    notebook = jupytext.read(path)
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, timeout=60 * MINUTES, kernel_name="python3", resources=resources)
        client.extra_arguments = ["--InlineBackend.figure_formats=retina"]
        client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = shown(cell.outputs)
    return notebook


def shown(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """What belongs on a page: no progress, and no value of a cell's last expression where the cell draws a figure."""
    draws = any(output.output_type == "display_data" for output in outputs)
    return [
        output
        for output in outputs
        if output.get("name") != "stderr" and not (draws and output.output_type == "execute_result")
    ]


def write_page(path: Path) -> None:
    """Writes the page beside the tutorial, and its figures into a folder of the same name."""
    figures = path.parent / "figures" / path.stem
    resources = {"unique_key": path.stem, "output_files_dir": f"figures/{path.stem}"}
    page, made = MarkdownExporter().from_notebook_node(executed(path), resources=resources)
    shutil.rmtree(figures, ignore_errors=True)
    for name, data in made["outputs"].items():
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_bytes(data)
    head, rest = page.strip().split("\n", 1)
    source = f"*This page is what [{path.name}]({path.name}) does: a script, and a notebook to Jupyter and VS Code.*"
    text = "\n".join(line.rstrip() for line in f"{head}\n\n{source}\n{rest}".splitlines())
    text = text.replace("![png](", "![What the code above draws](")
    parts = re.split(r"(^```python\n.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"\n{3,}", "\n\n", prose) for prose in parts[::2]]
    path.with_suffix(".md").write_text("".join(parts) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="tutorials without their ending; by default all")
    names = parser.parse_args().names or sorted(path.stem for path in TUTORIALS.glob("*.py"))
    for name in names:
        print(name, flush=True)
        write_page(TUTORIALS / f"{name}.py")


if __name__ == "__main__":
    main()
