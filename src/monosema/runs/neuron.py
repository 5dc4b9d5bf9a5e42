"""Taking a neuron out of superposition with dictionaries that lie on disk."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.analysis import NeuronParts, neuron_parts
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import Table
from monosema.evaluation.evaluate import check_fits
from monosema.evaluation.splice import hook_points
from monosema.models import read
from monosema.progress import progress
from monosema.runs.data import Heldout
from monosema.runs.evaluate import open_folder

_CONTEXTS, _ROWS = 8, 4096  # read at once

Rows = Iterator[tuple[Float[Tensor, "batch d_in"], Float[Tensor, "batch d_out"]]]


def neuron_of_folder(
    folder: str | Path,
    neuron: int,
    *,
    point: str | None = None,
    model: str | None = None,
    text: str | None = None,
    activations: str | None = None,
    tokens: int | None = None,
    context: int | None = None,
    device: str = "auto",
) -> dict[str, NeuronParts]:
    """Which features make up a neuron, by dictionary: of a folder's those that write the neuron's hook point.

    Special tokens are left out, as in an evaluation.

    Args:
        folder: a dictionary's folder, or a run's.
        neuron: which entry of the activations.
        point: hook point of the neuron; needed where the dictionaries write several.
        model, text, activations, tokens, context, device: as `open_folder` takes them.

    Raises:
        InputError: no dictionary writes that hook point, or there is no such neuron, or nothing can be read.
    """
    dictionaries, heldout = open_folder(
        folder, model=model, text=text, activations=activations, tokens=tokens, context=context, device=device
    )
    chosen = _writing(dictionaries, point)
    _check(chosen, heldout, neuron)
    return {name: neuron_parts(dictionary, _rows(dictionary, heldout), neuron) for name, dictionary in chosen.items()}


def _writing(dictionaries: dict[str, Dictionary], point: str | None) -> dict[str, Dictionary]:
    """The dictionaries that write one hook point, and read one."""
    written = sorted({write for d in dictionaries.values() for write in d.spec.writes})
    if point is None and len(written) == 1:
        point = written[0]
    chosen = {name: d for name, d in dictionaries.items() if d.spec.writes == (point,) and len(d.spec.reads) == 1}
    if not chosen:
        given = "no hook point" if point is None else f"hook point {point!r}"
        raise InputError(
            given, expected=f"one that a dictionary there writes: {', '.join(written)}", hint="choose with --point"
        )
    return chosen


def _check(dictionaries: Mapping[str, Dictionary], heldout: Heldout, neuron: int) -> None:
    """Before anything is read."""
    for spec in (dictionary.spec for dictionary in dictionaries.values()):
        if not 0 <= neuron < spec.d_out:
            it_has = f"0 to {spec.d_out - 1}: it has {spec.d_out}"
            raise InputError(f"neuron {neuron} of {spec.writes[0]}", expected=it_has)
    if heldout.model is not None and heldout.contexts is not None:
        wires = {name: hook_points(dictionary) for name, dictionary in dictionaries.items()}
        check_fits(dictionaries, wires, heldout.model, heldout.contexts, _CONTEXTS)


def _rows(dictionary: Dictionary, heldout: Heldout) -> Rows:
    (reads,), (writes,) = dictionary.spec.reads, dictionary.spec.writes
    if heldout.model is None or heldout.contexts is None:
        assert heldout.rows is not None
        yield from zip(heldout.rows[reads].split(_ROWS), heldout.rows[writes].split(_ROWS), strict=True)
        return
    model = heldout.model
    with progress("reading", heldout.contexts.numel(), "tokens") as bar:
        for ids in heldout.contexts.split(_CONTEXTS):
            ids = ids.to(model.device)
            kept = not_special(ids, model.special_ids)
            found = read(model, ids, list({reads, writes}))
            yield found[reads][kept], found[writes][kept]
            bar.advance(ids.numel())


def as_json(parts: NeuronParts, n: int) -> dict[str, object]:
    """The figures and the top `n` features, as JSON values."""
    numbers = {name: value for name, value in vars(parts).items() if not isinstance(value, torch.Tensor)}
    return {**numbers, "features": [feature_figures(parts, feature) for feature in parts.top(n).tolist()]}


def feature_figures(parts: NeuronParts, feature: int) -> dict[str, float]:
    """What is known of one feature's part in the neuron."""
    return {
        "feature": feature,
        "share": parts.shares[feature].item(),
        "contribution": parts.contributions[feature].item(),
        "density": parts.density[feature].item(),
        "weight": parts.weights[feature].item(),
    }


def neuron_table(name: str, parts: NeuronParts, n: int) -> Table:
    """The top `n` features as text."""
    headers = [f"{name}, neuron {parts.neuron}", "Share (%)", "Contribution", "Density (%)", "Weight"]
    rows = [
        [
            f"feature {feature}",
            f"{100 * parts.shares[feature]:.2f}",
            f"{parts.contributions[feature]:+.3f}",
            f"{100 * parts.density[feature]:.2f}",
            f"{parts.weights[feature]:+.4f}",
        ]
        for feature in parts.top(n).tolist()
    ]
    shown = sum(parts.shares[feature].item() for feature in parts.top(n).tolist())
    notes = [
        f"All features explain {100 * parts.explained:.1f} % of the neuron's variance on {parts.rows:,} tokens; those "
        f"shown, {100 * shown:.1f} %.",
        "Contribution: mean of code · weight where the feature fires. The neuron's own mean is "
        f"{parts.mean:.3f}, its standard deviation {parts.variance**0.5:.3f}.",
    ]
    return Table(headers, rows, notes)
