"""sparsify: `cfg.json` and `sae.safetensors`, in a folder that is named after the hook point."""

import re
from pathlib import Path
from typing import Any

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.files import read_tensors, write_json, write_tensors
from monosema.formats import own
from monosema.formats.equal import dense, with_input_bias
from monosema.formats.format import Format, formats
from monosema.formats.outline import Layout, Outline, assemble, spec_of, tensors_of
from monosema.formats.settings import Settings

CONFIG, WEIGHTS = "cfg.json", "sae.safetensors"
_LAYOUT = {"encoder.weight": "W_enc.T", "encoder.bias": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
_ACTIVATIONS = ("topk", "groupmax")
_FOLDER = re.compile(r"(?:layers|h)\.(\d+)(\.\w+)*")


def load(path: Path) -> Dictionary:
    """The dictionary in a folder.

    Raises:
        InputError: a file is missing or broken, or contradicts the other.
    """
    config = Settings.read(path / CONFIG)
    d, transcodes = config.whole("d_in"), config.flag("transcode", False)
    width = config.whole("num_latents", 0, least=0) or d * config.whole("expansion_factor", 32)
    activation = config.text("activation", "topk", among=_ACTIVATIONS)
    if config.flag("signed", False):  # of versions that had no other activation function
        activation = "abs_topk"
    skip, tensors = config.flag("skip_connection", False), read_tensors(path / WEIGHTS)
    older = skip and "transcode" not in config  # versions that had the flag elsewhere: their transcoders alone skip
    across = transcodes or older
    spec = spec_of(
        config.path,
        d_in=d,
        d_out=d,
        width=width,
        wiring=own.wiring(config, "transcoder" if across else "autoencoder"),
        subtracts_input_bias=not transcodes,
        skip=skip,
        **own.points(config, *_points(path.name, across)),
    )
    metadata = own.metadata(config, "sparsify")
    layout = _layout(skip)
    if older and "b_dec" in tensors:  # sparsify subtracts the one bias from what another module is given
        tensors, layout = {**tensors, "b_in": tensors["b_dec"]}, {**layout, "b_in": "b_in"}
    outline = Outline(spec, activation, layout, {"k": config.whole("k", 32)}, metadata)
    return assemble(outline, tensors, path / WEIGHTS)


def save(dictionary: Dictionary, path: Path) -> None:
    """Writes a folder that sparsify loads.

    Raises:
        InputError: sparsify cannot do what the dictionary does.
    """
    spec, kind = dictionary.spec, dictionary.activation
    if kind.name not in _ACTIVATIONS or spec.d_in != spec.d_out or spec.normalisation != "none":
        normalised = f" after {spec.normalisation}" if spec.normalisation != "none" else ""
        raise InputError(
            f"sparsify has no {kind.name} from {spec.d_in} to {spec.d_out} numbers{normalised}",
            expected=f"{' or '.join(_ACTIVATIONS)}, of one size on both sides",
            hint="--to monosema keeps it",
        )
    transcodes = not spec.writes_what_it_reads
    written = with_input_bias(dense(dictionary), "none" if transcodes else "b_dec")
    write_tensors(path / WEIGHTS, tensors_of(written, _layout(spec.skip)))
    write_json(path / CONFIG, _written_config(dictionary, transcodes))


def _layout(skip: bool) -> Layout:
    return {**_LAYOUT, "W_skip": "W_skip.T"} if skip else _LAYOUT


def _points(folder: str, transcodes: bool) -> tuple[str | None, str | None]:
    """The hook points that a folder is named after: a module, which a transcoder reads and predicts the output of."""
    if folder == "embed_tokens":
        return "embed", None
    match = _FOLDER.fullmatch(folder)
    if match is None:
        return None, None
    if match[2] == ".mlp":
        return (f"mlp_in.{match[1]}", f"mlp_out.{match[1]}") if transcodes else (f"mlp_out.{match[1]}", None)
    stream = f"resid_post.{match[1]}" if not match[2] else folder
    return (f"{folder}:in", stream) if transcodes else (stream, None)


def _written_config(dictionary: Dictionary, transcodes: bool) -> dict[str, Any]:
    spec = dictionary.spec
    return {
        "activation": dictionary.activation.name,
        "expansion_factor": max(spec.width // spec.d_in, 1),
        "normalize_decoder": False,
        "num_latents": spec.width,
        "k": dictionary.activation.options()["k"],
        "multi_topk": False,
        "skip_connection": spec.skip,
        "transcode": transcodes,
        "d_in": spec.d_in,
        own.ENTRY: own.entry(spec, dictionary.metadata),
    }


formats.register("sparsify")(
    Format(recognises=lambda path: (path / WEIGHTS).is_file(), load=load, save=save),
)
