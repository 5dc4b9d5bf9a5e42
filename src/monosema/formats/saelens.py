"""SAELens: `cfg.json`, `sae_weights.safetensors` and, perhaps, `sparsity.safetensors`, of every version."""

from pathlib import Path

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.dictionaries.saving import check_names, check_tensor
from monosema.errors import InputError
from monosema.files import read_json, read_tensors, write_tensors, write_text
from monosema.formats.equal import fold_decoder_norms_, fold_whitening_, take_raw_
from monosema.formats.format import Format, formats
from monosema.formats.outline import Outline, assemble, scalar
from monosema.formats.saelens_config import Config
from monosema.formats.saelens_save import as_saelens

CONFIG, WEIGHTS, SPARSITY, SCALER, WHITENING = (
    "cfg.json",
    "sae_weights.safetensors",
    "sparsity.safetensors",
    "activation_scaler.json",
    "activation_whitening.safetensors",
)


def load(path: Path) -> Dictionary:
    """The dictionary in a folder.

    Raises:
        InputError: a file is missing or broken, contradicts another, or says what no dictionary here can do.
    """
    config, where = Config.read(path / CONFIG), path / WEIGHTS
    tensors = read_tensors(where)
    scale = _finetuned_scale(tensors, config, where)
    if config.tied:
        check_names(tensors, ["W_dec", "b_dec"], where)
        check_tensor("W_dec", tensors["W_dec"], [config.width, config.values.whole("d_in")], where)
        tensors["W_enc"] = tensors["W_dec"].mT
    if config.one_threshold:
        tensors["threshold"] = _one_threshold(tensors, path, config)
    outline = Outline(
        config.spec(), config.activation(), config.layout(), config.options(), config.metadata(_density(path, config))
    )
    dictionary = assemble(outline, tensors, where)
    if config.normalised_by_average:
        _take_raw_(dictionary, _factor(path, config), config)
    if config.rescales:
        fold_decoder_norms_(dictionary)
    if config.whitened:
        fold_whitening_(dictionary, *_whitening(path, config))
    if config.tied and not dictionary.spec.subtracts_input_bias:
        dictionary.b_dec.data.zero_()  # SAELens adds it where it subtracts it, and else ignores it
    if scale is not None:
        with torch.no_grad():
            dictionary.W_dec.mul_(scale[:, None].to(dictionary.W_dec.dtype))
    return dictionary


def save(dictionary: Dictionary, path: Path) -> None:
    """Writes a folder that SAELens loads.

    Raises:
        InputError: SAELens has no class for such a dictionary.
    """
    config, tensors, density = as_saelens(dictionary)
    write_tensors(path / WEIGHTS, tensors)
    if density is not None:
        write_tensors(path / SPARSITY, {"sparsity": density})
    write_text(path / CONFIG, config)


def _finetuned_scale(tensors: dict[str, Tensor], config: Config, where: Path) -> Tensor | None:
    """The factors by which codes are multiplied before decoding, in files of SAELens before 6, if they do anything."""
    scale = tensors.pop("scaling_factor", None)
    if scale is None:
        return None
    check_tensor("scaling_factor", scale, [config.width], where)
    if torch.equal(scale, torch.ones_like(scale)):
        return None
    if not config.finetuned:
        raise InputError(
            f"tensor 'scaling_factor' of {where} is not 1, but finetuning_scaling_factor is not true in {config.path}",
            expected="files that agree",
        )
    return scale


def _one_threshold(tensors: dict[str, Tensor], path: Path, config: Config) -> Tensor:
    """The threshold that training had come to, for every feature, as SAELens saves it at the end."""
    threshold = scalar("topk_threshold", tensors, path / WEIGHTS)
    del tensors["topk_threshold"]
    if config.rescales and config.normalised_by_average:  # it is of codes in the units of what is decoded
        threshold /= _factor(path, config)
    check_names(tensors, ["W_enc", "b_enc", "W_dec", "b_dec"], path / WEIGHTS)
    bias = tensors["b_enc"]
    return torch.full(bias.shape, threshold, dtype=torch.float64).to(bias.dtype)


@torch.no_grad()
def _take_raw_(dictionary: Dictionary, factor: float, config: Config) -> None:
    """Makes a dictionary for activations times a factor take raw ones, as SAELens does."""
    if config.tied:  # the directions serve both sides, and codes have the units of activations
        dictionary.b_dec.div_(factor)
        dictionary.activation.rescale_(1 / factor)
    else:
        take_raw_(dictionary, factor, 1.0 if config.transcodes else factor)


def _whitening(path: Path, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, matrix and its inverse, from the file that a checkpoint has beside it."""
    where = path / WHITENING
    if not where.is_file():
        raise InputError(
            f"{config.path} has normalize_activations = covariance_whitening, and nothing says which",
            expected=f"{where}, as a checkpoint of SAELens has it",
            hint="if it is folded into the weights already, set normalize_activations to none",
        )
    found, d = read_tensors(where), config.values.whole("d_in")
    shapes = {"mean": [d], "matrix": [d, d], "inverse_matrix": [d, d]}
    check_names(found, shapes, where)
    for name, shape in shapes.items():
        check_tensor(name, found[name], shape, where)
    return found["mean"], found["matrix"], found["inverse_matrix"]


def _factor(path: Path, config: Config) -> float:
    """The factor that activations were multiplied by in training, from the file that a checkpoint has beside it."""
    if config.norm_scaling_factor is not None:
        if not config.norm_scaling_factor > 0:
            raise config.values.refused("norm_scaling_factor", "a number above zero")
        return config.norm_scaling_factor
    found = read_json(path / SCALER) if (path / SCALER).is_file() else {}
    factor = found.get("scaling_factor") if isinstance(found, dict) else None
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
        raise InputError(
            f"{config.path} has normalize_activations = expected_average_only_in, and nothing says by which factor",
            expected=f"scaling_factor in {path / SCALER}, or norm_scaling_factor in {config.path}",
            hint="if the factor is in the weights already, set normalize_activations to none",
        )
    return float(factor)


def _density(path: Path, config: Config) -> list[float] | None:
    """Of each feature the decimal logarithm of how often it is active, if that was measured."""
    if not (path / SPARSITY).is_file():
        return None
    tensors = read_tensors(path / SPARSITY)
    check_names(tensors, ["sparsity"], path / SPARSITY)
    check_tensor("sparsity", tensors["sparsity"], [config.width], path / SPARSITY)
    return tensors["sparsity"].float().tolist()


formats.register("saelens")(
    Format(
        recognises=lambda path: (path / CONFIG).is_file() and not (path / "sae.safetensors").is_file(),
        load=load,
        save=save,
    )
)
