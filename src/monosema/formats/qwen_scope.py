"""Qwen Scope: `layerL.sae.pt`, in repositories such as `SAE-Res-Qwen3-1.7B-Base-W32K-L0_50`, whose names say k."""

import re
from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.formats.archives import is_pt, read_pt_tensors
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, sizes, spec_of

_FILE = re.compile(r"layer(\d+)\.sae\.pt")
_REPOSITORY = re.compile(r"SAE-Res-([\w.-]+)-W\d+K-L0_(\d+)")
_LAYOUT = {"W_enc": "W_enc.T", "b_enc": "b_enc", "W_dec": "W_dec.T", "b_dec": "b_dec"}


def load(path: Path) -> Dictionary:
    """The dictionary in a file, somewhere below a folder with the repository's name.

    Raises:
        InputError: the file is missing, broken, or holds something else, or its path does not say k.
    """
    text = path.absolute().as_posix()
    layer, found = _FILE.fullmatch(path.name), list(_REPOSITORY.finditer(text))
    if layer is None or not found:
        raise InputError(
            f"nothing says how many features of {path} are active",
            expected="layerL.sae.pt in a folder called as its repository, such as SAE-Res-Qwen3-1.7B-Base-W32K-L0_50",
        )
    model, k = found[-1].groups()
    tensors, point = read_pt_tensors(path), f"resid_post.{layer[1]}"
    d, width = sizes(tensors, "W_enc", path, transposed=True)
    spec = spec_of(path, d_in=d, d_out=d, width=width, reads=(point,), writes=(point,))
    source = {"format": "qwen_scope", "path": f"{found[-1][0]}/{path.name}"}
    metadata = {"model": f"Qwen/{model}", "source": source}
    return assemble(Outline(spec, "topk", _LAYOUT, {"k": int(k)}, metadata), tensors, path)


formats.register("qwen_scope")(
    Format(recognises=lambda path: is_pt(path) and bool(_FILE.fullmatch(path.name)), load=load)
)
