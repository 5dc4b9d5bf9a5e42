"""The attention dictionaries of Kissane, Krzyzanowski and others: one `NAME.pt`, and `NAME_cfg.json` beside it."""

from pathlib import Path

from monosema.dictionaries import Dictionary
from monosema.files import read_json
from monosema.formats import own
from monosema.formats.archives import is_pt, read_pt_tensors
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, spec_of
from monosema.formats.settings import Settings

_LAYOUT = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}


def load(path: Path) -> Dictionary:
    """The dictionary in a file: of the outputs of all heads of a layer, side by side.

    Raises:
        InputError: a file is missing or broken, or contradicts the other.
    """
    beside = _beside(path)
    config = Settings(read_json(beside), beside)
    d, point = config.whole("act_size"), config.text("act_name", None)
    spec = spec_of(
        beside,
        d_in=d,
        d_out=d,
        width=config.whole("dict_size"),
        subtracts_input_bias=True,
        **own.points(config, point, None),
    )
    found = {"model": own.hub_name(config.text("model_name", None)), "context": config.whole("seq_len", None)}
    metadata = own.metadata(config, "connor_rob", **found)
    return assemble(Outline(spec, "relu", _LAYOUT, metadata=metadata), read_pt_tensors(path), path)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}_cfg.json")


formats.register("connor_rob")(Format(recognises=lambda path: is_pt(path) and _beside(path).is_file(), load=load))
