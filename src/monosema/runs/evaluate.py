"""Measuring dictionaries that lie on disk."""

from collections.abc import Mapping
from pathlib import Path

from monosema.device import pick_device
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import Metrics
from monosema.formats import load
from monosema.models import load_model
from monosema.runs.data import Heldout, heldout_contexts, heldout_text, load_rows
from monosema.runs.measure import evaluate_heldout
from monosema.runs.train import DICTIONARIES


def evaluate_folder(
    folder: str | Path,
    *,
    model: str | None = None,
    text: str | None = None,
    activations: str | None = None,
    tokens: int = 65_536,
    context: int | None = None,
    device: str = "auto",
) -> dict[str, Metrics]:
    """Measures a saved dictionary, or every dictionary of a run, on the model and held-out text it came from.

    Args:
        folder: a dictionary's folder, or a run's.
        model: another model to measure on.
        text: another text to measure on.
        activations: a file of activations to measure on, in place of model and text.
        tokens: tokens (or rows of activations) to measure on.
        context: tokens that the model reads at once; by default as in training.
        device: where to compute.

    Raises:
        InputError: no dictionary there, or its model or text cannot be used.
    """
    where = pick_device(device)
    dictionaries = {name: dictionary.to(where) for name, dictionary in _load_all(Path(folder)).items()}
    origin = _common_origin(dictionaries)
    activations = activations or (origin["activations"] if model is None and text is None else None)
    if activations is not None:
        points = {p for d in dictionaries.values() for p in (*d.spec.reads, *d.spec.writes)}
        return _metrics(dictionaries, Heldout(rows=load_rows(activations, points, tokens)))
    model, trained_on = model or origin["model"], origin["text"]
    if model is None or (text is None and trained_on is None):
        raise InputError(
            f"{folder} does not say which model and text it came from", expected="--model and --text, or --activations"
        )
    loaded = load_model(model, revision=origin["revision"], device=device)
    contexts = heldout_contexts(loaded, text or heldout_text(trained_on), context or origin["context"] or 256, tokens)
    return _metrics(dictionaries, Heldout(loaded, contexts))


def _metrics(dictionaries: Mapping[str, Dictionary], heldout: Heldout) -> dict[str, Metrics]:
    return {name: found.metrics for name, found in evaluate_heldout(dictionaries, heldout).items()}


def _load_all(folder: Path) -> dict[str, Dictionary]:
    """The dictionary in a folder, or all of a run's, by name."""
    below = folder / DICTIONARIES
    if not below.is_dir():
        dictionary = load(folder)
        return {str(dictionary.metadata.get("name") or folder.name): dictionary}
    found = {path.name: load(path) for path in sorted(below.iterdir()) if path.is_dir()}
    if not found:
        raise InputError(f"the run in {folder} holds no dictionary", expected="a finished run")
    return found


def _common_origin(dictionaries: Mapping[str, Dictionary]) -> dict:
    keys = ("model", "revision", "text", "activations", "context")
    origins = [{key: d.metadata.get(key) for key in keys} for d in dictionaries.values()]
    if any(origin != origins[0] for origin in origins):
        raise InputError(
            f"dictionaries of different models or texts: {', '.join(dictionaries)}",
            expected="dictionaries of one run",
            hint="evaluate each dictionary's own folder",
        )
    return origins[0]
