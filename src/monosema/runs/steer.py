"""Steering with dictionaries that lie on disk: text beside text, and dose beside response."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monosema.analysis.dose import Response, dose_response
from monosema.analysis.steering import Mode, Steer, generate, steering
from monosema.device import pick_device
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import Table
from monosema.runs.evaluate import dictionaries_in, model_of, open_folder
from monosema.runs.features import first_named
from monosema.runs.prompts import one_model, prompt_ids

DOSE_TOKENS = 8192


@dataclass(frozen=True)
class Steered:
    """A continuation of a prompt, with and without steering."""

    prompt: str
    plain: str
    steered: str


def steer_folder(
    folder: str | Path,
    features: Sequence[int],
    prompt: str,
    *,
    value: float,
    mode: Mode = "add",
    name: str | None = None,
    tokens: int = 40,
    temperature: float = 0.0,
    seed: int = 0,
    model: str | None = None,
    device: str = "auto",
) -> Steered:
    """What the model writes after a prompt, and what it writes while features are steered.

    Args:
        folder: a dictionary's folder or address, or a run's.
        features: which, all by the same value.
        prompt: the text to go on from.
        value: how far: in units of the code, or a factor.
        mode: add, clamp, scale or ablate.
        name: which of a run's dictionaries; by default the first.
        tokens, temperature, seed: as `generate` takes them.
        model: another model.
        device: where to compute.

    Raises:
        InputError: no such dictionary or feature, or the model cannot be steered or has no tokenizer.
    """
    dictionaries = dictionaries_in(folder)
    chosen = first_named(list(dictionaries), name)[0]
    dictionary = dictionaries[chosen].to(pick_device(device)).eval()
    loaded = one_model(model_of({chosen: dictionary}, model=model, device=device), "steering")
    ids = prompt_ids(loaded, prompt)
    tokenizer = loaded.tokenizer
    assert tokenizer is not None  # or it could not have been tokenised
    plain = generate(loaded, ids, tokens, temperature=temperature, seed=seed)
    with steering(loaded, dictionary, [Steer(feature, value, mode) for feature in features]):
        steered = generate(loaded, ids, tokens, temperature=temperature, seed=seed)
    return Steered(prompt, str(tokenizer.decode(plain)), str(tokenizer.decode(steered)))


def dose_folder(
    folder: str | Path, feature: int, strengths: Sequence[float], *, name: str | None = None, **options: Any
) -> list[Response]:
    """What steering a feature more and more does, on held-out text, beside random directions.

    Args:
        folder: a dictionary's folder or address, or a run's.
        feature: which.
        strengths: in units of the code.
        name: which of a run's dictionaries; by default the first.
        options: those of `open_folder`.

    Raises:
        InputError: no such dictionary or feature, or nothing to measure on.
    """
    dictionaries, heldout = open_folder(folder, **{"tokens": DOSE_TOKENS, **options})
    dictionary: Dictionary = dictionaries[first_named(list(dictionaries), name)[0]].eval()
    if heldout.model is None or heldout.contexts is None:
        raise InputError(f"{folder}, which was made from a file of activations", expected="a model to steer")
    return dose_response(dictionary, one_model(heldout.model, "steering"), heldout.contexts, feature, strengths)


def dose_table(feature: int, responses: Sequence[Response]) -> Table:
    """A row for each strength, as text."""
    headers = [f"feature {feature}, strength", "Its tokens", "CE", "Random: its tokens", "Random: CE"]
    rows = [[f"{r.strength:g}", *(f"{x:+.3f}" for x in list(asdict(r).values())[1:])] for r in responses]
    notes = [
        "Changes in nats when strength × direction is added at every token: of the log-probability of the ten tokens "
        "that the feature promotes, together, and of the cross-entropy; and of random directions of its norm."
    ]
    return Table(headers, rows, notes)
