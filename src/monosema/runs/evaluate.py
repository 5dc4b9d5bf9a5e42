"""Measuring dictionaries that lie on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monosema.device import pick_device
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import CrossEntropy, Metrics
from monosema.hub import Address, load, parse
from monosema.models import Readable, load_model, of_second
from monosema.runs.config import RunConfig
from monosema.runs.data import Heldout, first_rows, heldout_contexts, heldout_part, heldout_text, load_rows
from monosema.runs.folder import DICTIONARIES
from monosema.runs.measure import evaluate_heldout, measure_together
from monosema.runs.models import with_second


def evaluate_folder(
    folder: str | Path,
    *,
    model: str | None = None,
    second: str | None = None,
    text: str | None = None,
    activations: str | None = None,
    tokens: int | None = None,
    context: int | None = None,
    device: str = "auto",
) -> dict[str, Metrics]:
    """Measures a saved dictionary, or every dictionary of a run, on the model and held-out text it came from.

    The arguments are those of `open_folder`, as are the errors.
    """
    dictionaries, heldout = open_folder(
        folder,
        model=model,
        second=second,
        text=text,
        activations=activations,
        tokens=tokens,
        context=context,
        device=device,
    )
    return {name: found.metrics for name, found in evaluate_heldout(dictionaries, heldout).items()}


def evaluate_folder_together(folder: str | Path, **options: Any) -> tuple[CrossEntropy, int]:
    """The model's loss with all dictionaries of a run in it at once, and how many these are.

    The arguments are those of `open_folder`, as are the errors; also where two write one hook point.
    """
    dictionaries, heldout = open_folder(folder, **options)
    return measure_together(dictionaries, heldout), len(dictionaries)


def open_folder(
    folder: str | Path,
    *,
    model: str | None = None,
    second: str | None = None,
    text: str | None = None,
    activations: str | None = None,
    tokens: int | None = None,
    context: int | None = None,
    device: str = "auto",
) -> tuple[dict[str, Dictionary], Heldout]:
    """A saved dictionary, or every dictionary of a run, by name, and the held-out data that it came from.

    Args:
        folder: a dictionary's folder or address, or a run's folder.
        model: another model to read.
        second: another second model, for dictionaries that read one.
        text: another text to read.
        activations: a file of activations to read, in place of model and text.
        tokens: tokens (or rows of activations) to read; by default as in the run.
        context: tokens that the model reads at once; by default as in training.
        device: where to compute.

    Raises:
        InputError: no dictionary there, or its model or text cannot be used.
    """
    if tokens is not None and tokens < 1:
        raise InputError(f"{tokens} tokens to measure on", expected="at least 1")
    where = pick_device(device)
    dictionaries = {name: dictionary.to(where) for name, dictionary in dictionaries_in(folder).items()}
    origin = common_origin(dictionaries)
    if tokens is None:
        tokens = int(origin["heldout_tokens"] or RunConfig.heldout_tokens)
    if activations or (origin["activations"] and model is None and text is None):
        return dictionaries, Heldout(rows=first_rows(_rows(dictionaries, activations, origin), tokens))
    if not ((model or origin["model"]) and (text or origin["text"])):
        raise InputError(
            f"{folder} does not say which model and text it came from", expected="--model and --text, or --activations"
        )
    loaded = model_of(dictionaries, model=model, second=second, device=device)
    measured_on = text or origin["heldout"] or heldout_text(origin["text"])
    contexts = heldout_contexts(loaded, measured_on, context or origin["context"] or RunConfig.context, tokens)
    return dictionaries, Heldout(loaded, contexts)


def model_of(
    dictionaries: Mapping[str, Dictionary], *, model: str | None = None, second: str | None = None, device: str = "auto"
) -> Readable:
    """The model that dictionaries were trained on, or another one that is named, and the second one, if they read two.

    Raises:
        InputError: they come from different models, do not say which, or it cannot be loaded.
    """
    origin = common_origin(dictionaries)
    if not (model or origin["model"]):
        raise InputError(f"{', '.join(dictionaries)}, which do not say what model they are of", expected="--model")
    points = {point for d in dictionaries.values() for point in (*d.spec.reads, *d.spec.writes)}
    if second is not None and not any(map(of_second, points)):
        raise InputError(f"a second model, {second}, with dictionaries of one", hint="--model names another one")
    return _load_model(model, second, origin, any(map(of_second, points)), device)


def _load_model(
    model: str | None, second: str | None, origin: Mapping[str, Any], of_both: bool, device: str
) -> Readable:
    """The models that were named, or those that the dictionaries came from, as precise as they were then."""
    if model is not None:
        first = load_model(model, device=device)
    else:
        first = load_model(origin["model"], revision=origin["revision"], dtype=origin["dtype"] or "auto", device=device)
    if not of_both:
        return first
    if second is not None:
        return with_second(first, second, None, device)
    return with_second(first, origin["second"], origin["second_revision"], device)


def _rows(
    dictionaries: Mapping[str, Dictionary], activations: str | None, origin: Mapping[str, Any]
) -> dict[str, Float[Tensor, "rows d"]]:
    """The activations in a file, or those that the run held out."""
    points = sorted({p for d in dictionaries.values() for p in (*d.spec.reads, *d.spec.writes)})
    rows = load_rows(activations or origin["heldout"] or origin["activations"], points)
    return rows if activations or origin["heldout"] else heldout_part(rows)


def dictionaries_in(folder: str | Path) -> dict[str, Dictionary]:
    """The dictionary in a folder or at an address, or all of a run's, by name."""
    place = parse(folder)
    if isinstance(place, Address):
        return {str(folder): load(str(folder))}
    folder, below = place, place / DICTIONARIES
    if not below.is_dir():
        dictionary = load(folder)
        return {str(dictionary.metadata.get("name") or folder.name): dictionary}
    found = {path.name: load(path) for path in sorted(below.iterdir()) if path.is_dir()}
    if not found:
        raise InputError(f"the run in {folder} holds no dictionary", expected="a finished run")
    return found


def common_origin(dictionaries: Mapping[str, Dictionary]) -> dict[str, Any]:
    """What dictionaries say of their model and text, None where they do not.

    Raises:
        InputError: they do not say the same.
    """
    keys = ("model", "revision", "dtype", "text", "activations", "heldout", "heldout_tokens", "context")
    keys += ("second", "second_revision")
    origins = [{key: d.metadata.get(key) for key in keys} for d in dictionaries.values()]
    if any(origin != origins[0] for origin in origins):
        raise InputError(
            f"dictionaries of different models or texts: {', '.join(dictionaries)}",
            expected="dictionaries of one run",
            hint="evaluate each dictionary's own folder",
        )
    return origins[0]
