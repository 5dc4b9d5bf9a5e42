"""Qwen Scope: `layerL.sae.pt`; k is in the `config.json` beside it, and in the repository's name.

Repositories are called `SAE-Res-Qwen3-1.7B-Base-W32K-L0_50` and the like.
"""

import re
from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.formats.archives import is_pt, read_pt_tensors
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, sizes, spec_of
from monosema.formats.settings import Settings

CONFIG = "config.json"
_FILE = re.compile(r"layer(\d+)\.sae\.pt")
_REPOSITORY = re.compile(r"SAE-Res-([\w.-]+)-W\d+K-L0_(\d+)")
_LAYOUT = {"W_enc": "W_enc.T", "b_enc": "b_enc", "W_dec": "W_dec.T", "b_dec": "b_dec"}


def load(path: Path) -> Dictionary:
    """The dictionary in a file, with its `config.json`, or somewhere below a folder with the repository's name.

    Raises:
        InputError: the file is missing, broken, or holds something else; nothing says k, or two things do and differ.
    """
    layer = _FILE.fullmatch(path.name)
    if layer is None:
        raise InputError(f"{path}", expected="layerL.sae.pt")
    model, k = _described(path)
    tensors, point = read_pt_tensors(path), f"resid_post.{layer[1]}"
    d, width = sizes(tensors, "W_enc", path, transposed=True)
    spec = spec_of(path, d_in=d, d_out=d, width=width, reads=(point,), writes=(point,))
    metadata = {"source": {"format": "qwen_scope", "path": path.name}} | ({"model": model} if model else {})
    return assemble(Outline(spec, "topk", _LAYOUT, {"k": k}, metadata), tensors, path)


def _described(path: Path) -> tuple[str | None, int]:
    """The model, where it is known, and k."""
    beside = path.with_name(CONFIG)
    config = Settings.read(beside) if beside.is_file() else Settings({}, beside)
    config.text("model_type", "topk_sae", among=("topk_sae",))
    config.text("hook_point", "resid_post", among=("resid_post",))
    *_, named = (None, *_REPOSITORY.finditer(path.absolute().as_posix()))
    model = config.text("base_model", named and f"Qwen/{named[1]}")
    k = config.whole("k", named and int(named[2]))
    if k is None:
        raise InputError(
            f"nothing says how many features of {path} are active",
            expected=f"k in {beside}, or a folder called as its repository, such as SAE-Res-Qwen3-1.7B-Base-W32K-L0_50",
        )
    if named and k != int(named[2]):
        raise config.refused("k", f"{named[2]}, as the folder's name says")
    return model, k


formats.register("qwen_scope")(
    Format(recognises=lambda path: is_pt(path) and bool(_FILE.fullmatch(path.name)), load=load)
)
