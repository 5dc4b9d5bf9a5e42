"""Training toy models of superposition, and what they show: figures and pictures in a folder."""

from pathlib import Path
from typing import Any

from monosema.config import dump_yaml
from monosema.evaluation import Table
from monosema.files import write_atomically, write_json, write_tensors
from monosema.runs.folder import CONFIG, METRICS, check_free
from monosema.runs.toy_pictures import curves_picture, weights_picture
from monosema.synthetic import ToyConfig, ToyModels, train_toy

WEIGHTS, PICTURE, CURVES = "toy.safetensors", "weights.png", "curves.png"


def run_toy(config: ToyConfig, out: str | Path | None = None) -> ToyModels:
    """Trains toy models; into `out`, if it is given, go their weights, the figures and pictures.

    Raises:
        InputError: the folder is in use; nothing was trained or written.
    """
    folder = None if out is None else check_free(Path(out))
    models = train_toy(config)
    if folder is not None:
        _write(folder, models)
    return models


def toy_figures(models: ToyModels) -> list[dict[str, Any]]:
    """Of each density, its model's figures as JSON values."""
    norms, dimensions, shares = models.norms(), models.dimensions_per_feature(), models.dimensionality()
    return [
        {
            "density": density,
            "loss": models.loss[i].item(),
            "represented": models.represented()[i],
            "dimensions_per_feature": dimensions[i].item(),
            "norms": norms[i].tolist(),
            "dimensionality": shares[i].tolist(),
        }
        for i, density in enumerate(models.config.densities)
    ]


def toy_table(models: ToyModels) -> Table:
    """One row for each density."""
    headers = ["Density", "Features represented", "Dimensions per feature", "Loss (%)"]
    rows = [
        [
            f"{found['density']:g}",
            f"{found['represented']} of {models.config.features}",
            f"{found['dimensions_per_feature']:.3f}",
            f"{100 * found['loss']:.1f}",
        ]
        for found in toy_figures(models)
    ]
    notes = [
        f"{models.config.features} features in {models.config.d} dimensions. Represented: ‖Wᵢ‖ > 1/2. Dimensions per "
        "feature: d / ‖W‖². Loss: of the best constant's."
    ]
    return Table(headers, rows, notes)


def _write(folder: Path, models: ToyModels) -> None:
    tensors = {"W": models.W.contiguous(), "b": models.b.contiguous()}
    write_tensors(folder / WEIGHTS, tensors)
    pictures = {PICTURE: weights_picture(models), CURVES: curves_picture(models)}
    for name, png in pictures.items():
        write_atomically(folder / name, lambda path, png=png: path.write_bytes(png))
    dump_yaml(models.config, folder / CONFIG)
    write_json(folder / METRICS, {"models": toy_figures(models)})
