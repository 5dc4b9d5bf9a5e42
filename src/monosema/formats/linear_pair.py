"""One `.pt` or `.pth` file with two linear layers, as Goodfire and others publish: ReLU, and no bias of the input."""

from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.formats.archives import is_pt, names_in, read_pt_tensors
from monosema.formats.format import Format, formats
from monosema.formats.outline import Layout, Outline, assemble, sizes, spec_of

_LAYOUTS: tuple[Layout, ...] = tuple(
    {
        f"encoder{suffix}.weight": "W_enc.T",
        f"encoder{suffix}.bias": "b_enc",
        f"decoder{suffix}.weight": "W_dec.T",
        f"decoder{suffix}.bias": "b_dec",
    }
    for suffix in ("", "_linear")
)


def load(path: Path) -> Dictionary:
    """The dictionary in a file.

    Raises:
        InputError: the file is missing, broken, or holds something else.
    """
    tensors = read_pt_tensors(path)
    layout = next((known for known in _LAYOUTS if next(iter(known)) in tensors), _LAYOUTS[0])
    encoder = next(iter(layout))
    d, width = sizes(tensors, encoder, path, transposed=True)
    metadata = {"source": {"format": "linear_pair", "path": path.name}}
    spec = spec_of(path, d_in=d, d_out=d, width=width)
    return assemble(Outline(spec, "relu", layout, metadata=metadata), tensors, path)


def _recognises(path: Path) -> bool:
    return is_pt(path) and any(set(layout) == names_in(path) for layout in _LAYOUTS)


formats.register("linear_pair")(Format(recognises=_recognises, load=load))
