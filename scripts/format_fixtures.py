"""Makes the fixtures of tests/formats with the libraries themselves, and checks what monosema wrote for them.

Runs in an environment of its own, with sae-lens 6.54.12, dictionary-learning 0.1.0, eai-sparsify 1.3.3 and
circuit-tracer 0.5.0:

    peers/bin/python scripts/format_fixtures.py make tests/formats/fixtures
    peers/bin/python scripts/format_fixtures.py check FOLDER

`make` writes random dictionaries, each with what its library computes: x, codes and out in `NAME.recorded.safetensors`.
Formats whose library is not on PyPI are written as their documentation lays them out; their numbers are those of the
equations there, in float64. `check` loads every dictionary of FOLDER with the library that its parent folder is named
after, and compares with the recorded numbers beside it; scripts/written_formats.py makes such a folder.
"""

# pyright: reportMissingImports=false
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from fixtures.documented import documented
from fixtures.from_circuit_tracer import traced
from fixtures.from_dictionary_learning import dictionary_learning, load_dictionary_learning
from fixtures.from_loaders import published, temporal
from fixtures.from_saelens import load_saelens, saelens
from fixtures.from_sparsify import load_sparsify, sparsify
from safetensors.torch import load_file

MAKERS: dict[str, Callable[[Path], None]] = {
    "saelens": saelens,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
    "circuit_tracer": traced,
    "temporal": temporal,
}
LOADERS = {"saelens": load_saelens, "dictionary_learning": load_dictionary_learning, "sparsify": load_sparsify}


def make(root: Path) -> None:
    with torch.no_grad():
        for name, maker in MAKERS.items():
            maker(root / name)
        documented(root)
        published(root)


def check(root: Path) -> None:
    checked = 0
    for path in sorted(root.glob("*/*.recorded.safetensors")):
        folder, recorded = path.with_name(path.name.removesuffix(".recorded.safetensors")), load_file(path)
        with torch.no_grad():
            codes, out = LOADERS[path.parent.name](folder, recorded["x"])
        for name, found in (("codes", codes), ("out", out)):
            torch.testing.assert_close(found, recorded[name], rtol=1e-5, atol=1e-5, msg=f"{name} of {folder}")
        checked += 1
    print(f"{checked} dictionaries are to their libraries what they are to monosema")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](Path(sys.argv[2]))
