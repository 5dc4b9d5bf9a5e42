"""Documents with labels for `monosema probe --labelled`: held-out functions, and whether each catches errors.

python benchmarks/labelled_functions.py [--out build/functions.csv]
"""

import argparse
import ast
import csv
import random
from collections.abc import Iterator
from pathlib import Path

from monosema.tiny import documents

LEAST, MOST = 80, 700  # characters of a function


def functions() -> Iterator[tuple[str, str]]:
    """The source of each function, and whether there is a `try` in it."""
    for document in documents("heldout"):
        try:
            tree = ast.parse(document.text)
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            source = ast.get_source_segment(document.text, node) if isinstance(node, ast.FunctionDef) else None
            if source is not None and LEAST < len(source) < MOST:
                yield source, "yes" if any(isinstance(part, ast.Try) for part in ast.walk(node)) else "no"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("build/functions.csv"))
    out = parser.parse_args().out
    rows = list(functions())
    random.Random(0).shuffle(rows)
    with_try = [row for row in rows if row[1] == "yes"]
    without = [row for row in rows if row[1] == "no"][: 2 * len(with_try)]
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("code", "has_try"), *with_try, *without])
    print(f"{out}: {len(with_try)} functions with try, {len(without)} without")


if __name__ == "__main__":
    main()
