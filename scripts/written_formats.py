"""Writes random dictionaries of every kind in the formats of other libraries, with what monosema computes.

python scripts/written_formats.py FOLDER
peers/bin/python scripts/format_fixtures.py check FOLDER
"""

import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

from safetensors.torch import save_file

from monosema.dictionaries import Spec
from monosema.errors import InputError
from monosema.formats import save_as
from tests.dictionaries.strategies import ACTIVATIONS, build, random

AUTOENCODER = Spec(6, 6, 12, ("resid_post.2",), ("resid_post.2",))
SPECS = {
    "plain": AUTOENCODER,
    "shifted": replace(AUTOENCODER, subtracts_input_bias=True),
    "skip": replace(AUTOENCODER, subtracts_input_bias=True, skip=True),
    "layer_norm": replace(AUTOENCODER, subtracts_input_bias=True, normalisation="layer_norm"),
    "length": replace(AUTOENCODER, normalisation="length"),
    "blocks": replace(AUTOENCODER, encoder="block_diagonal", decoder="block_diagonal", blocks=3),
    "transcoder": Spec(6, 4, 12, ("mlp_in.2",), ("mlp_out.2",), "transcoder"),
    "transcoder_skip": Spec(6, 6, 12, ("mlp_in.2",), ("mlp_out.2",), "transcoder", True, True),
}


def main(out: Path) -> None:
    refused = 0
    for to, (name, spec), activation in product(
        ("saelens", "dictionary_learning", "sparsify"), SPECS.items(), ACTIVATIONS
    ):
        dictionary, x = build(spec, activation).float().eval(), random(1, 5, 6).float()
        folder = out / to / f"{name}_{activation}"
        try:
            if dictionary.activation.owns_biases:
                dictionary.b_enc.data.zero_()
            save_as(dictionary, folder, to)
        except InputError:
            refused += 1
            continue
        found = {"x": x, "codes": dictionary.encode(x).detach(), "out": dictionary(x).detach()}
        save_file(found, folder.with_name(f"{folder.name}.recorded.safetensors"))
    print(f"{len(list(out.glob('*/*.recorded.safetensors')))} written to {out}, {refused} refused")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
